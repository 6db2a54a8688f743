from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_link import SCOPE, connected, grants
from probe_contract import METHODS

from moorage.broker.broker import Broker
from moorage.broker.quota import Quota, TokenBucket
from moorage.config.settings import InstallationSettings
from moorage.models.manifest import Limits
from moorage_proto import config_pb2
from moorage_proto.errors import CallError, Reason

RATES = st.floats(min_value=0.1, max_value=1e6)
#: (seconds since the last, amount)
STEPS = st.lists(st.tuples(st.floats(0, 10), st.floats(0, 1e6)), max_size=50)


@given(RATES, STEPS)
def test_what_passes_in_a_span_is_bounded_by_size_rate_and_the_largest_excess(rate: float, steps) -> None:
    bucket = TokenBucket(rate, now=0.0)
    now = passed = excess = 0.0
    for elapsed, amount in steps:
        now += elapsed
        if bucket.take(amount, now):
            passed += amount
            excess = max(excess, amount - bucket.size)
    assert passed <= (bucket.size + rate * now + max(0.0, excess)) * (1 + 1e-9)


@given(RATES, STEPS, st.floats(0, 1e6))
def test_every_amount_passes_after_a_long_enough_wait(rate: float, steps, amount: float) -> None:
    bucket = TokenBucket(rate, now=0.0)
    now = 0.0
    for elapsed, before in steps:
        now += elapsed
        bucket.take(before, now)
    assert bucket.take(amount, now + 1e9 / rate)


@given(RATES, STEPS)
def test_a_charge_tells_how_long_until_the_debt_is_paid(rate: float, steps) -> None:
    bucket = TokenBucket(rate, now=0.0)
    now = 0.0
    for elapsed, amount in steps:
        now += elapsed
        delay = bucket.charge(amount, now)
        assert delay >= 0
        now += delay
    assert bucket.charge(0, now) <= 1e-6 * (1 + now)


@given(RATES, st.floats(0, 1e5), st.floats(0, 1e5))
def test_a_clock_that_goes_back_gives_nothing(rate: float, start: float, back: float) -> None:
    bucket = TokenBucket(rate, now=start)
    assert bucket.take(bucket.size, start)
    assert not bucket.take(bucket.size, start - back)


@given(st.lists(st.booleans(), max_size=200), st.integers(1, 5))
def test_calls_in_flight_never_exceed_the_limit_and_never_leak(arrivals: list[bool], limit: int) -> None:
    quota = Quota("churn", Limits(calls_in_flight=limit, calls_per_second=1e9), clock=lambda: 0.0)
    expected = 0
    for arrives in arrivals:
        if arrives and expected < limit:
            quota.admit(1)
            expected += 1
        elif arrives:
            with pytest.raises(CallError):
                quota.admit(1)
        elif expected:
            quota.leave(1)
            expected -= 1
        assert quota.in_flight == expected


def test_other_limits_count_from_now_on_and_forget_no_call_in_flight() -> None:
    quota = Quota("churn", Limits(calls_in_flight=2, calls_per_second=1), clock=lambda: 0.0)
    quota.admit(0)
    quota.relimit(Limits(calls_in_flight=1, calls_per_second=100))
    with pytest.raises(CallError, match="calls in flight"):
        quota.admit(0)
    quota.leave(0)
    quota.admit(0)
    assert quota.in_flight == 1


def test_a_refused_call_is_admitted_when_time_has_passed() -> None:
    now = 0.0
    quota = Quota("churn", Limits(calls_per_second=2), clock=lambda: now)
    quota.admit(0)
    quota.admit(0)
    with pytest.raises(CallError) as refused:
        quota.admit(0)
    assert refused.value.reason == Reason.QUOTA_EXCEEDED
    now = 0.5
    quota.admit(0)


def test_replies_are_charged_and_make_later_calls_wait() -> None:
    now = 0.0
    quota = Quota("churn", Limits(bytes_per_second=1000), clock=lambda: now)
    quota.admit(10)
    assert quota.charge(5000) == pytest.approx(4.01)
    with pytest.raises(CallError, match="bytes per second"):
        quota.admit(10)
    now = 5.1
    quota.admit(10)


def test_requests_that_wait_are_bounded_in_bytes_together() -> None:
    quota = Quota("churn", Limits(), clock=lambda: 0.0)
    mebibyte = 1024 * 1024
    for _ in range(2):
        quota.admit(16 * mebibyte)
    with pytest.raises(CallError, match="32 MiB together") as refused:
        quota.admit(1)
    assert refused.value.reason == Reason.QUOTA_EXCEEDED
    assert refused.value.retryable
    assert quota.in_flight == 2
    quota.leave(16 * mebibyte)
    quota.admit(16 * mebibyte)
    for _ in range(2):
        quota.leave(16 * mebibyte)
    assert (quota.in_flight, quota.bytes_in_flight) == (0, 0)


def test_the_operator_s_settings_count_in_the_place_of_the_manifest_s() -> None:
    manifest = Limits(calls_per_second=10, calls_in_flight=5, bytes_per_second=10_000)
    own = InstallationSettings(calls_per_second=2.5, bytes_per_second=20_000)
    assert own.quota(manifest) == replace(manifest, calls_per_second=2.5, bytes_per_second=20_000)
    assert InstallationSettings().quota(manifest) == manifest


async def test_what_the_operator_makes_of_the_limits_counts_at_the_gate(probe, audit) -> None:
    broker = Broker([probe], audit, quota=lambda name, limits: replace(limits, calls_per_second=1.0))
    await broker.open()
    key = config_pb2.GetSettingRequest(key="greeting")
    async with connected(broker, grants("config.read:**")) as link:
        await link.worker.call(METHODS["peek"], key, scope=SCOPE)
        with pytest.raises(CallError, match=r"1 calls per second\. .*installations\.churn in its settings"):
            await link.worker.call(METHODS["peek"], key, scope=SCOPE)
    await broker.close()
