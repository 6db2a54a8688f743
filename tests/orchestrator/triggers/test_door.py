"""What becomes of signals."""

from __future__ import annotations

import asyncio

import pytest
from fake_clock import FakeClock
from hypothesis import given
from hypothesis import strategies as st

from moorage.models.execution import ExecutionState
from moorage.models.installation import DesiredState
from moorage.models.policy import Overlap, RunPolicy
from moorage.orchestrator.triggers.base import Fate, NotNow, Signal
from moorage.orchestrator.triggers.door import ATTEMPTS, TriggerDoor, key_of
from moorage.store.errors import InstallationUnknown, NotStorable, StoreFailed

from .conftest import Runs, advanced, door_parts, installation, state

SIGNAL = Signal("orders/0/17", {"id": 1}, "orders/0 at 17")


@pytest.mark.parametrize(
    ("outcome", "fate"),
    [
        (ExecutionState.SUCCEEDED, Fate.DONE),
        (ExecutionState.CANCELLED, Fate.DONE),
        (ExecutionState.FAILED, Fate.POISON),
        (ExecutionState.TIMED_OUT, Fate.POISON),
        (ExecutionState.CRASHED, Fate.POISON),
        (ExecutionState.ABANDONED, Fate.POISON),
        (ExecutionState.REJECTED, Fate.POISON),
    ],
)
async def test_a_fate_for_each_outcome(runs: Runs, outcome: ExecutionState, fate: Fate) -> None:
    runs.outcome = outcome
    taken = await TriggerDoor(state(), door_parts(runs, installation())).take(SIGNAL)
    assert (taken.fate, taken.execution.state) == (fate, outcome)


async def test_what_is_asked_for(runs: Runs) -> None:
    door = TriggerDoor(state(options={"attempts": 2, "overlap": "skip"}), door_parts(runs, installation()))
    await door.take(SIGNAL)
    (request,) = runs.requests
    assert (request.installation, request.task, request.input, request.trigger) == (
        "churn",
        "execute",
        {"id": 1},
        "kafka",
    )
    assert (request.trigger_id, request.key, request.patient, request.attempts) == (
        "churn/orders",
        "churn/orders#orders/0/17",
        True,
        2,
    )
    assert request.overlap is Overlap.SKIP


async def test_a_signal_without_an_input_has_the_triggers_own(runs: Runs) -> None:
    door = TriggerDoor(state(input={"mode": "full"}), door_parts(runs, installation()))
    await door.take(Signal("a", None))
    await door.take(Signal("b", 0))
    assert [each.input for each in runs.requests] == [{"mode": "full"}, 0]


@pytest.mark.parametrize(("retries", "attempts"), [(0, ATTEMPTS), (3, None)])
async def test_a_source_tries_several_times_unless_the_policy_says_how_often(
    runs: Runs, retries: int, attempts: int | None
) -> None:
    await TriggerDoor(state(), door_parts(runs, installation(), policy=RunPolicy(retries=retries))).take(SIGNAL)
    assert runs.requests[0].attempts == attempts


async def test_a_signal_that_comes_again_is_told_of_the_execution_and_counted_once(
    runs: Runs, clock: FakeClock
) -> None:
    door = TriggerDoor(state(), door_parts(runs, installation()))
    first = await door.take(SIGNAL)
    clock.advance(seconds=1)
    assert await door.take(SIGNAL) == first
    assert runs.fired == [first.execution.id]
    assert (await door.take(Signal("orders/0/18", 1))).execution.id != first.execution.id


async def test_one_that_was_cancelled_is_told_of_the_execution_when_it_comes_again(runs: Runs) -> None:
    runs.outcome = None
    door = TriggerDoor(state(), door_parts(runs, installation()))
    taking = asyncio.create_task(door.take(SIGNAL))
    await runs.until(lambda: len(runs.executions) == 1)
    taking.cancel()
    await asyncio.wait([taking])
    again = asyncio.create_task(door.take(SIGNAL))
    await runs.until(lambda: len(runs.requests) == 1)
    await runs.end("e-1", ExecutionState.SUCCEEDED)
    assert (await again).execution.id == "e-1"


async def test_a_full_queue_is_waited_for(runs: Runs, clock: FakeClock) -> None:
    runs.refusals = [NotNow("the queue is full")] * 3
    taking = asyncio.create_task(TriggerDoor(state(), door_parts(runs, installation())).take(SIGNAL))
    await advanced(clock, taking.done)
    assert taking.result().fate is Fate.DONE
    assert len(runs.requests) == 4


@pytest.mark.parametrize(
    "refusal", [StoreFailed("disk full"), InstallationUnknown("churn"), NotNow("held")], ids=["store", "gone", "held"]
)
async def test_what_is_not_the_signals_fault_leaves_it_where_it_is(runs: Runs, refusal: Exception) -> None:
    held = installation(desired=DesiredState(held_reason="INC-1"))
    runs.refusals = [refusal]
    door = TriggerDoor(state(), door_parts(runs, held))
    with pytest.raises(NotNow):
        await door.take(SIGNAL)
    assert runs.fired == []
    assert (await door.take(SIGNAL)).fate is Fate.DONE


async def test_what_has_no_form_in_the_store_goes_to_the_dead_letter(runs: Runs) -> None:
    runs.refusals = [NotStorable("it is nested deeper than 64 levels")]
    taken = await TriggerDoor(state(), door_parts(runs, installation())).take(SIGNAL)
    assert taken.fate is Fate.POISON
    assert taken.execution.error is not None
    assert "No execution was made of orders/0 at 17: The value cannot be stored" in taken.execution.error.message
    assert runs.dropped == 1


async def test_what_the_overlap_policy_skips_is_done_and_counted(runs: Runs) -> None:
    runs.outcome = None
    taking = asyncio.create_task(TriggerDoor(state(), door_parts(runs, installation())).take(SIGNAL))
    await runs.until(lambda: len(runs.executions) == 1)
    await runs.end("e-1", ExecutionState.REJECTED, "skipped")
    assert (await taking).fate is Fate.DONE
    assert runs.dropped == 1


async def test_one_that_selects_has_an_execution_for_each(runs: Runs) -> None:
    runs.outcome = None
    parts = door_parts(runs, installation("a"), installation("b"))
    door = TriggerDoor(state(installation=""), parts)
    taking = asyncio.create_task(door.take(SIGNAL))
    await runs.until(lambda: len(runs.executions) == 2)
    assert [each.key for each in runs.requests] == ["orders@a#orders/0/17", "orders@b#orders/0/17"]
    await runs.end("e-1", ExecutionState.SUCCEEDED)
    assert not taking.done()
    await runs.end("e-2", ExecutionState.FAILED)
    taken = await taking
    assert (taken.fate, taken.execution.installation) == (Fate.POISON, "b")
    with pytest.raises(NotNow, match="No installation that orders is for may run now"):
        await TriggerDoor(state(installation=""), door_parts(runs)).take(SIGNAL)


@pytest.mark.parametrize(
    ("policy", "slots"),
    [
        (RunPolicy(), 10),
        (RunPolicy(queue=0), 1),
        (RunPolicy(concurrency=4), 16),
        (RunPolicy(concurrency=4, queue=2), 6),
    ],
)
def test_slots(runs: Runs, policy: RunPolicy, slots: int) -> None:
    assert TriggerDoor(state(), door_parts(runs, installation(), policy=policy)).slots == slots


@given(st.text(min_size=1), st.text(min_size=1))
def test_keys_tell_signals_apart_and_fit(one: str, other: str) -> None:
    found = {key_of(state(), key, "churn") for key in (one, other, one * 400, other * 400)}
    assert len(found) == len({one, other, one * 400, other * 400})
    assert all(len(key) <= 600 for key in found)
    assert key_of(state(), "", "churn") == ""
