"""The restart policy: budget, backoff, forgiveness, quarantine."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.models.incarnation import Verdict, VerdictKind
from moorage.supervisor.restarts import Decision, History, Policy, after_end, delay_of

DEATH = Verdict(VerdictKind.EXITED, "The worker exited with code 3.")
PLANNED = Verdict(VerdictKind.PLANNED_STOP, "Stopped: a person asked for it.")
POLICY = Policy()

POLICIES = st.builds(
    Policy,
    restarts=st.integers(0, 10),
    window=st.timedeltas(timedelta(seconds=1), timedelta(hours=1)),
    stable_after=st.timedeltas(timedelta(seconds=1), timedelta(hours=1)),
    backoff_first=st.timedeltas(timedelta(0), timedelta(minutes=1)),
    backoff_most=st.timedeltas(timedelta(0), timedelta(hours=1)),
)
LUCK = st.floats(0, 1)
SPANS = st.timedeltas(timedelta(0), timedelta(minutes=10))


def die(times: int, policy: Policy, *, apart: timedelta, was_ready: timedelta = timedelta()) -> list[Decision]:
    """Each death so long after the one before."""
    history, decisions = History(), []
    for number in range(times):
        decision = after_end(history, DEATH, policy, at=number * apart, was_ready=was_ready, luck=0.5)
        history = decision.history
        decisions.append(decision)
    return decisions


@given(POLICIES, st.integers(1, 1000), LUCK)
def test_a_delay_lies_between_half_of_its_step_and_the_whole(policy: Policy, streak: int, luck: float) -> None:
    delay = delay_of(streak, policy, luck)
    step = min(policy.backoff_first * 2 ** min(streak - 1, 20), policy.backoff_most)
    assert step / 2 <= delay <= step


@given(POLICIES, st.integers(1, 100), LUCK)
def test_delays_never_shrink(policy: Policy, streak: int, luck: float) -> None:
    assert delay_of(streak, policy, luck) <= delay_of(streak + 1, policy, luck)


@given(POLICIES)
def test_exactly_one_death_more_than_the_budget_is_the_last(policy: Policy) -> None:
    decisions = die(policy.restarts + 1, policy, apart=timedelta(0))
    assert [bool(decision.quarantine) for decision in decisions] == [False] * policy.restarts + [True]
    assert "exited with code 3" in decisions[-1].quarantine


@given(POLICIES, st.lists(st.tuples(SPANS, SPANS, LUCK), max_size=30))
def test_quarantine_means_more_deaths_within_the_window_than_the_budget(policy: Policy, lives) -> None:
    history, now, deaths = History(), timedelta(), []
    for pause, was_ready, luck in lives:
        now += pause + was_ready
        if was_ready >= policy.stable_after:
            deaths = []
        deaths = [*(death for death in deaths if now - death < policy.window), now]
        decision = after_end(history, DEATH, policy, at=now, was_ready=was_ready, luck=luck)
        history = decision.history
        assert bool(decision.quarantine) == (len(deaths) > policy.restarts)


@given(POLICIES, st.lists(SPANS, max_size=10))
def test_planned_ends_change_nothing(policy: Policy, ready: list[timedelta]) -> None:
    history = die(1, policy, apart=timedelta(0))[0].history
    for was_ready in ready:
        assert after_end(history, PLANNED, policy, at=timedelta(hours=9), was_ready=was_ready, luck=0.5) == Decision(
            history
        )


def test_deaths_further_apart_than_the_window_allows_go_on_for_ever() -> None:
    policy = Policy(restarts=2, window=timedelta(seconds=10), stable_after=timedelta(hours=1))
    assert not any(decision.quarantine for decision in die(50, policy, apart=timedelta(seconds=5)))
    assert any(decision.quarantine for decision in die(50, policy, apart=timedelta(seconds=4.9)))


def test_being_ready_for_long_enough_forgets_all_and_a_successful_start_nothing() -> None:
    stable, nearly = POLICY.stable_after, POLICY.stable_after - timedelta(seconds=1)
    assert not any(each.quarantine for each in die(50, POLICY, apart=timedelta(0), was_ready=stable))
    assert [each.delay for each in die(3, POLICY, apart=timedelta(0), was_ready=stable)] == [
        timedelta(seconds=0.15)
    ] * 3
    assert any(each.quarantine for each in die(50, POLICY, apart=timedelta(0), was_ready=nearly))


def test_a_forbidden_system_call_is_forgiven_in_development_alone() -> None:
    verdict = Verdict(VerdictKind.FORBIDDEN_SYSTEM_CALL, "It called ptrace.")
    assert after_end(History(), verdict, POLICY, at=timedelta(), luck=0).quarantine == "It called ptrace."
    assert not after_end(History(), verdict, Policy(forgiving=True), at=timedelta(), luck=0).quarantine


@pytest.mark.parametrize("kind", [VerdictKind.SANDBOX_FAILED, VerdictKind.ZYGOTE_LOST, VerdictKind.HOST_DIED])
def test_what_the_plugin_cannot_help_is_waited_for_and_never_held_against_it(kind: VerdictKind) -> None:
    history, delays = History(), []
    for _ in range(20):
        decision = after_end(history, Verdict(kind, "No."), POLICY, at=timedelta(), luck=1)
        assert not decision.quarantine
        history = decision.history
        delays.append(decision.delay)
    assert delays[:3] == [timedelta(seconds=seconds) for seconds in (0.2, 0.4, 0.8)]
    assert delays[-1] == POLICY.backoff_most
