"""When locks are renewed, by a clock that stands still."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from fake_clock import FakeClock

from moorage.broker.services.servicebus.failures import lock_lost, unavailable
from moorage.orchestrator.triggers.lock_renewal import LONGEST_WAIT, RETRY_WAIT, SKEWED_WAIT, kept, wait_of
from moorage_proto.servicebus_names import Entity


class Namespace:
    def __init__(self, clock: FakeClock, seconds: float) -> None:
        self._clock = clock
        self._lock = timedelta(seconds=seconds)
        self.renewed: list[timedelta] = []
        self.answers: list[Exception] = []

    async def renew(self):
        self.renewed.append(self._clock.elapsed())
        if self.answers:
            raise self.answers.pop(0)
        return self.until

    @property
    def until(self):
        return self._clock.now() + self._lock


async def pass_seconds(clock: FakeClock, seconds: int) -> None:
    await _settled()
    for _ in range(seconds):
        clock.advance(seconds=1)
        await _settled()


async def _settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


async def test_a_lock_is_renewed_well_before_it_ends(clock):
    namespace = Namespace(clock, 10)
    async with kept(namespace.renew, namespace.until, clock) as lock:
        await pass_seconds(clock, 31)
        assert [at.total_seconds() for at in namespace.renewed] == [5, 10, 15, 20, 25, 30]
        assert not lock.is_lost
    assert clock.pending == 0


async def test_nothing_is_renewed_after_the_end(clock):
    namespace = Namespace(clock, 10)
    async with kept(namespace.renew, namespace.until, clock):
        pass
    await pass_seconds(clock, 30)
    assert namespace.renewed == []


async def test_a_renewal_that_fails_is_tried_again(clock):
    namespace = Namespace(clock, 10)
    namespace.answers = [unavailable("main", "did not answer"), unavailable("main", "did not answer")]
    async with kept(namespace.renew, namespace.until, clock) as lock:
        await pass_seconds(clock, 8)
        wait = RETRY_WAIT.total_seconds()
        assert [at.total_seconds() for at in namespace.renewed] == [5, 5 + wait, 5 + 2 * wait]
        assert not lock.is_lost


async def test_a_lock_that_was_lost_is_left_alone(clock):
    namespace = Namespace(clock, 10)
    namespace.answers = [lock_lost(Entity("orders"))]
    async with kept(namespace.renew, namespace.until, clock) as lock:
        await pass_seconds(clock, 30)
        assert lock.is_lost
        assert len(namespace.renewed) == 1


def test_clocks_that_differ(clock):
    now = clock.now()
    assert wait_of(now + timedelta(hours=1), now) == LONGEST_WAIT
    assert wait_of(now - timedelta(hours=1), now) == wait_of(None, now) == SKEWED_WAIT
    assert wait_of(now + timedelta(seconds=0.01), now) >= timedelta(seconds=0.05)
