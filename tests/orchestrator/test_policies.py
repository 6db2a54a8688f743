"""What the policy of an installation makes of its executions: order, rate, overlap, attempts, turns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.events.bus import EventBus
from moorage.events.events import ExecutionEvent
from moorage.models.execution import Execution, ExecutionError, ExecutionState, ResourceUse, TaskOutcome
from moorage.models.manifest import Limits, Manifest
from moorage.models.policy import Overlap, Rate, RunPolicy
from moorage.orchestrator import retries
from moorage.orchestrator.orchestrator import Orchestrator
from moorage.orchestrator.policies import manifest_policy
from moorage.store.store import Store

from .conftest import SUCCEEDED, FakeClock, Sessions, ended_with, forever, installation, request, until

pytestmark = pytest.mark.timeout(20)

FAILED = TaskOutcome(ExecutionState.FAILED, error=ExecutionError("churn.NoUsers", "None."))
CRASHED = TaskOutcome(ExecutionState.CRASHED, error=ExecutionError("signalled", "Killed."))
REJECTED = TaskOutcome(ExecutionState.REJECTED, error=ExecutionError("task_unknown", "No such task."))


class Host:
    """An orchestrator whose policy a test changes."""

    def __init__(self, store: Store, sessions: Sessions, events: EventBus, clock: FakeClock, **given: Any) -> None:
        self.policy = RunPolicy(timeout=timedelta(seconds=60))
        self.orchestrator = Orchestrator(store, sessions, events, clock=clock, policy_of=lambda _: self.policy, **given)

    def set(self, **values: Any) -> None:
        self.policy = replace(self.policy, **values)


@pytest.fixture
async def host(store: Store, sessions: Sessions, events: EventBus, clock: FakeClock) -> AsyncIterator[Host]:
    made = Host(store, sessions, events, clock)
    yield made
    await ended_with(made.orchestrator, clock)


def outcomes_in_turn(*outcomes: TaskOutcome) -> Callable[[Execution, timedelta], Awaitable[TaskOutcome]]:
    left = iter(outcomes)

    async def run(execution: Execution, timeout: timedelta) -> TaskOutcome:
        return next(left)

    return run


# -- attempts ----------------------------------------------------------------------------------------------------


async def test_what_fails_is_tried_again_after_a_growing_pause(
    host: Host, sessions: Sessions, store: Store, events: EventBus, clock: FakeClock
) -> None:
    host.set(retries=2, backoff_first=timedelta(seconds=10), backoff_most=timedelta(minutes=1))
    sessions.run = outcomes_in_turn(FAILED, CRASHED, SUCCEEDED)
    sessions.use = ResourceUse(0.5, 1000, 3, 1, 200)
    announced = events.subscribe(ExecutionEvent)
    submitted = await host.orchestrator.submit(request())

    for number, (least, most) in enumerate(((5, 10), (10, 20)), start=1):
        await until(lambda number=number: host.orchestrator.open_ones()[0].attempt == number + 1)
        (waiting,) = host.orchestrator.open_ones()
        assert host.orchestrator._queues._alarms.keys() == {waiting.id}
        assert await store.executions.get(submitted.id) == waiting
        assert waiting.state is ExecutionState.QUEUED
        assert waiting.due_at is not None
        assert timedelta(seconds=least) <= waiting.due_at - clock.now() <= timedelta(seconds=most)
        assert len(sessions.ran) == number
        clock.advance(seconds=(waiting.due_at - clock.now()).total_seconds())

    ended = await host.orchestrator.wait(submitted.id)
    assert (ended.state, ended.attempt, ended.result) == (ExecutionState.SUCCEEDED, 3, {"users": 3})
    assert ended.use == ResourceUse(1.5, 1000, 9, 3, 600)
    assert await store.executions.get(submitted.id) == ended
    tried = await store.attempts.list(submitted.id)
    assert [(each.number, each.state) for each in tried] == [(1, "failed"), (2, "crashed"), (3, "succeeded")]
    assert tried[0].error == FAILED.error
    assert {each.use for each in tried} == {sessions.use}
    announced.close()
    seen = [type(event).__name__ async for event in announced]
    assert seen == [
        "ExecutionAccepted",
        *["ExecutionStarted", "ExecutionRetried"] * 2,
        "ExecutionStarted",
        "ExecutionEnded",
    ]


async def test_a_pause_between_attempts_is_as_long_as_it_is_when_the_clock_is_set_back(
    host: Host, sessions: Sessions, clock: FakeClock
) -> None:
    host.set(retries=1)
    sessions.run = outcomes_in_turn(FAILED, SUCCEEDED)
    submitted = await host.orchestrator.submit(request())
    await until(lambda: bool(host.orchestrator._queues._alarms))
    clock.set(clock.now() - timedelta(days=1))
    clock.advance(seconds=1)
    async with asyncio.timeout(5):
        assert (await host.orchestrator.wait(submitted.id)).state is ExecutionState.SUCCEEDED


async def test_what_is_said_of_an_attempt_is_as_people_may_see_it(
    store: Store, sessions: Sessions, events: EventBus, clock: FakeClock
) -> None:
    host = Host(store, sessions, events, clock, plain=lambda _, text: text.replace("hunter2", "***"))
    host.set(retries=1, backoff_first=timedelta(0))
    told = TaskOutcome(ExecutionState.FAILED, error=ExecutionError("Error", "hunter2 is wrong", "raise hunter2"))
    sessions.run = outcomes_in_turn(told, SUCCEEDED)
    ended = await host.orchestrator.run(request())
    (first, _) = await store.attempts.list(ended.id)
    assert first.error == ExecutionError("Error", "*** is wrong", "raise ***")
    await ended_with(host.orchestrator, clock)


async def test_the_last_attempt_is_the_outcome(host: Host, sessions: Sessions, store: Store) -> None:
    host.set(retries=1, backoff_first=timedelta(0))
    sessions.run = outcomes_in_turn(FAILED, CRASHED)
    ended = await host.orchestrator.run(request())
    assert (ended.state, ended.attempt) == (ExecutionState.CRASHED, 2)
    assert [each.state for each in await store.attempts.list(ended.id)] == ["failed", "crashed"]


async def test_one_attempt_leaves_no_row(host: Host, sessions: Sessions, store: Store) -> None:
    sessions.run = outcomes_in_turn(FAILED)
    ended = await host.orchestrator.run(request())
    assert (ended.state, ended.attempt) == (ExecutionState.FAILED, 1)
    assert await store.attempts.list(ended.id) == ()


async def test_the_request_says_how_often(host: Host, sessions: Sessions) -> None:
    host.set(retries=5, backoff_first=timedelta(0))
    sessions.run = outcomes_in_turn(FAILED, FAILED, FAILED)
    assert (await host.orchestrator.run(request(attempts=1))).attempt == 1
    assert (await host.orchestrator.run(request(attempts=2))).attempt == 2


@pytest.mark.parametrize("outcome", [REJECTED, TaskOutcome(ExecutionState.CANCELLED)], ids=lambda each: each.state)
async def test_rejections_and_cancellations_are_not_tried_again(
    host: Host, sessions: Sessions, outcome: TaskOutcome
) -> None:
    host.set(retries=3)
    sessions.run = outcomes_in_turn(outcome)
    ended = await host.orchestrator.run(request())
    assert (ended.state, ended.attempt) == (outcome.state, 1)


async def test_a_timeout_is_tried_again_by_the_policy_of_then(host: Host, sessions: Sessions, clock: FakeClock) -> None:
    host.set(retries=1, backoff_first=timedelta(0))
    sessions.run = forever
    submitted = await host.orchestrator.submit(request())
    await sessions.until(lambda: len(sessions.ran) == 1)
    host.set(timeout=timedelta(seconds=5))
    clock.advance(seconds=60)
    await sessions.until(lambda: len(sessions.ran) == 2)
    clock.advance(seconds=5)
    ended = await host.orchestrator.wait(submitted.id)
    assert (ended.state, ended.attempt) == (ExecutionState.TIMED_OUT, 2)


async def test_a_cancel_between_attempts_is_the_outcome(host: Host, sessions: Sessions, store: Store) -> None:
    host.set(retries=3)
    sessions.run = outcomes_in_turn(FAILED)
    submitted = await host.orchestrator.submit(request())
    await until(lambda: host.orchestrator.open_ones()[0].attempt == 2)
    ended = await host.orchestrator.cancel(submitted.id, by="dana")
    assert (ended.state, ended.error and ended.error.message) == (ExecutionState.CANCELLED, "It was cancelled by dana.")
    assert [each.state for each in await store.attempts.list(submitted.id)] == ["failed", "cancelled"]


async def test_what_a_person_called_off_is_not_tried_again_however_it_ends(host: Host, sessions: Sessions) -> None:
    host.set(retries=3)

    async def fails_when_cancelled(execution: Execution, timeout: timedelta) -> TaskOutcome:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise RuntimeError("at the end") from None
        raise AssertionError

    sessions.run = fails_when_cancelled
    submitted = await host.orchestrator.submit(request())
    await sessions.until(lambda: bool(sessions.running))
    assert (await host.orchestrator.cancel(submitted.id)).state is ExecutionState.CANCELLED
    assert sessions.ran == [submitted.id]


async def test_what_is_called_off_while_it_times_out_is_not_tried_again(
    host: Host, sessions: Sessions, clock: FakeClock
) -> None:
    host.set(retries=3, timeout=timedelta(seconds=5))
    stopping, released = asyncio.Event(), asyncio.Event()

    async def slow_to_stop(execution: Execution, timeout: timedelta) -> TaskOutcome:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            stopping.set()
            await released.wait()
        return FAILED

    sessions.run = slow_to_stop
    submitted = await host.orchestrator.submit(request())
    await sessions.until(lambda: bool(sessions.running))
    clock.advance(seconds=5)
    async with asyncio.timeout(5):
        await stopping.wait()
        cancelling = asyncio.ensure_future(host.orchestrator.cancel(submitted.id, by="dana"))
        await asyncio.sleep(0)
        released.set()
        assert (await cancelling).state is ExecutionState.TIMED_OUT
    assert sessions.ran == [submitted.id]


async def test_what_was_committed_by_the_attempt_before_is_not_done_again(
    store: Store, sessions: Sessions, events: EventBus, clock: FakeClock
) -> None:
    """Its failure was that the answer to the commit was lost."""
    asked = []

    async def committed(execution: str) -> bool:
        asked.append(execution)
        return True

    host = Host(store, sessions, events, clock, committed=committed)
    host.set(retries=1, backoff_first=timedelta(0))
    sessions.run = outcomes_in_turn(FAILED)
    ended = await host.orchestrator.run(request())
    assert (ended.state, ended.attempt, sessions.ran, asked) == (ExecutionState.SUCCEEDED, 2, [ended.id], [ended.id])
    await ended_with(host.orchestrator, clock)


def execution(**values: Any) -> Execution:
    clock = FakeClock()
    return Execution("e-1", "churn", "churn", "1.0", "execute", "manual", ExecutionState.RUNNING, clock.now(), **values)


@given(
    attempt=st.integers(1, 200),
    first=st.timedeltas(timedelta(0), timedelta(days=30)),
    most=st.timedeltas(timedelta(0), timedelta(days=30)),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_a_pause_grows_up_to_its_bound(attempt: int, first: timedelta, most: timedelta, chance: float) -> None:
    policy = RunPolicy(backoff_first=first, backoff_most=most)
    pause = retries.backoff(attempt, policy, lambda: chance)
    steady = min(first.total_seconds() * 2.0 ** (attempt - 1), most.total_seconds())
    assert steady / 2 - 1e-5 <= pause.total_seconds() <= steady + 1e-5


@pytest.mark.parametrize(
    ("values", "policy", "expected"),
    [
        ({}, RunPolicy(), False),
        ({"patient": True}, RunPolicy(), False),
        ({"patient": True, "attempts": 2}, RunPolicy(), True),
        ({"patient": True, "attempts": 2, "attempt": 2}, RunPolicy(), False),
        ({"attempts": 2}, RunPolicy(), False),
        ({}, RunPolicy(retries=3), False),
        ({}, RunPolicy(idempotent=True), True),
        ({"attempt": 9}, RunPolicy(idempotent=True), True),
        ({"attempt": 10}, RunPolicy(idempotent=True), False),
    ],
)
def test_what_outlives_its_host(values: dict[str, Any], policy: RunPolicy, expected: bool) -> None:
    assert retries.outlives(execution(**values), policy) is expected


# -- order, rate, time -------------------------------------------------------------------------------------------


async def test_it_does_not_begin_before_it_is_due(host: Host, sessions: Sessions, clock: FakeClock) -> None:
    later = await host.orchestrator.submit(request(due_at=clock.now() + timedelta(hours=5)))
    now = await host.orchestrator.run(request())
    assert sessions.ran == [now.id]
    clock.advance(hours=4.9)
    await asyncio.sleep(0)
    assert sessions.ran == [now.id]
    for _ in range(12):
        clock.advance(minutes=1)
    assert (await host.orchestrator.wait(later.id)).state is ExecutionState.SUCCEEDED
    assert clock.pending == 0


async def test_a_rate_bounds_beginnings(host: Host, sessions: Sessions, clock: FakeClock) -> None:
    host.set(rate=Rate(2, timedelta(seconds=10)), concurrency=5)
    submitted = [await host.orchestrator.submit(request()) for _ in range(5)]
    for count, seconds in ((2, 9), (2, 1), (4, 10), (5, 0)):
        await until(lambda count=count: len(sessions.ran) == count)
        clock.advance(seconds=seconds)
    for each in submitted:
        await host.orchestrator.wait(each.id)
    assert sessions.ran == [each.id for each in submitted]


async def test_another_rate_counts_for_what_waits_for_the_one_before(
    host: Host, sessions: Sessions, clock: FakeClock
) -> None:
    host.set(rate=Rate(1, timedelta(hours=1)))
    submitted = [await host.orchestrator.submit(request()) for _ in range(2)]
    await host.orchestrator.wait(submitted[0].id)
    host.set(rate=Rate(1, timedelta(seconds=10)))
    await host.orchestrator.reconsider("churn")
    assert sessions.ran == [submitted[0].id]
    clock.advance(seconds=10)
    async with asyncio.timeout(5):
        await host.orchestrator.wait(submitted[1].id)
    assert clock.pending == 0


async def test_another_policy_counts_for_what_begins_afterwards(
    host: Host, sessions: Sessions, clock: FakeClock
) -> None:
    sessions.run = forever
    submitted = [await host.orchestrator.submit(request()) for _ in range(3)]
    await sessions.until(lambda: len(sessions.running) == 1)
    host.set(concurrency=3, timeout=timedelta(seconds=5))
    await host.orchestrator.reconsider("churn")
    await sessions.until(lambda: len(sessions.running) == 3)
    clock.advance(seconds=5)
    ended = [await host.orchestrator.wait(each.id) for each in submitted[1:]]
    assert {each.state for each in ended} == {ExecutionState.TIMED_OUT}
    assert sessions.running == [submitted[0].id]
    await host.orchestrator.cancel(submitted[0].id)


async def test_a_bound_for_all_is_shared_fairly(
    store: Store, sessions: Sessions, events: EventBus, clock: FakeClock
) -> None:
    names = ("busy", "calm", "quiet")
    for name in names:
        await store.installations.add(installation(name, concurrency=4))
    orchestrator = Orchestrator(store, sessions, events, clock=clock, concurrency=2)
    began: list[str] = []
    release = asyncio.Event()

    async def notes(execution: Execution, timeout: timedelta) -> TaskOutcome:
        began.append(execution.installation)
        await release.wait()
        return SUCCEEDED

    sessions.run = notes
    order = ["busy"] * 6 + ["calm", "quiet"]
    submitted = [await orchestrator.submit(replace(request(), installation=name)) for name in order]
    await sessions.until(lambda: len(sessions.running) == 2)
    assert began == ["busy", "busy"]
    release.set()
    for each in submitted:
        await orchestrator.wait(each.id)
    assert set(began[2:5]) == set(names)
    assert sessions.most_at_once == 2
    await ended_with(orchestrator, clock)


# -- overlap -----------------------------------------------------------------------------------------------------


async def test_a_request_may_overlap_otherwise_than_the_policy_says(host: Host, sessions: Sessions) -> None:
    sessions.run = forever
    for overlap, state in ((None, "queued"), (Overlap.SKIP, "rejected")):
        found = await host.orchestrator.submit(request(trigger_id="churn/nightly", overlap=overlap))
        assert found.state == state


async def test_skip_rejects_what_comes_while_another_is_open(host: Host, sessions: Sessions, store: Store) -> None:
    host.set(overlap=Overlap.SKIP, concurrency=5)
    sessions.run = forever
    first = await host.orchestrator.submit(request(trigger_id="churn/nightly"))
    # A patient one is skipped too: to come again would be to queue.
    skipped = await host.orchestrator.submit(request(trigger_id="churn/nightly", patient=True))
    other = await host.orchestrator.submit(request(trigger_id="churn/hourly"))
    by_hand = await host.orchestrator.submit(request())
    another_task = await host.orchestrator.submit(request(task="count"))
    assert skipped.state is ExecutionState.REJECTED
    assert skipped.error is not None
    assert (skipped.error.type, first.id in skipped.error.message) == ("skipped", True)
    assert await store.executions.get(skipped.id) == skipped
    for each in (first, other, by_hand, another_task):
        assert (await host.orchestrator.cancel(each.id)).state is ExecutionState.CANCELLED
    again = await host.orchestrator.submit(request(trigger_id="churn/nightly"))
    assert again.state is ExecutionState.QUEUED
    # What is skipped keeps no place in the queue.
    host.set(queue=1)
    for _ in range(10):
        await host.orchestrator.submit(request(trigger_id="churn/nightly"))
    assert (await host.orchestrator.submit(request())).state is ExecutionState.QUEUED


async def test_of_two_that_come_together_one_is_skipped(host: Host, sessions: Sessions) -> None:
    host.set(overlap=Overlap.SKIP)
    sessions.run = forever
    both = await asyncio.gather(*(host.orchestrator.submit(request()) for _ in range(2)))
    assert sorted(each.state for each in both) == ["queued", "rejected"]


async def test_skip_sees_what_other_hosts_have(
    store: Store, sessions: Sessions, events: EventBus, clock: FakeClock
) -> None:
    here, there = (Host(store, sessions, events, clock, host=name) for name in ("here", "there"))
    here.set(overlap=Overlap.SKIP)
    sessions.run = forever
    first = await there.orchestrator.submit(request())
    skipped = await here.orchestrator.submit(request())
    assert skipped.error is not None
    assert "another host" in skipped.error.message
    await there.orchestrator.cancel(first.id)
    sessions.run = outcomes_in_turn(SUCCEEDED)
    assert (await here.orchestrator.run(request())).state is ExecutionState.SUCCEEDED
    for host in (here, there):
        await ended_with(host.orchestrator, clock)


async def test_replace_cancels_what_is_open_and_begins_when_it_is_gone(host: Host, sessions: Sessions) -> None:
    host.set(overlap=Overlap.REPLACE, concurrency=2)
    gone = asyncio.Event()

    async def slow_to_go(execution: Execution, timeout: timedelta) -> TaskOutcome:
        if execution.input == "last":
            assert gone.is_set()
            return SUCCEEDED
        try:
            await asyncio.Event().wait()
        finally:
            await gone.wait()
        raise AssertionError

    sessions.run = slow_to_go
    first = await host.orchestrator.submit(request())
    await sessions.until(lambda: bool(sessions.running))
    second = await host.orchestrator.submit(request())
    last = await host.orchestrator.submit(request(input="last"))
    replaced = await host.orchestrator.wait(second.id)
    gone.set()
    assert (await host.orchestrator.wait(last.id)).state is ExecutionState.SUCCEEDED
    first_ended = await host.orchestrator.wait(first.id)
    assert [each.state for each in (first_ended, replaced)] == [ExecutionState.CANCELLED] * 2
    assert first_ended.error is not None
    assert replaced.error is not None
    assert (first_ended.error.type, second.id in first_ended.error.message) == ("replaced", True)
    assert last.id in replaced.error.message
    assert sessions.ran == [first.id, last.id]


# -- what is declared --------------------------------------------------------------------------------------------


def test_the_manifest_declares_a_policy() -> None:
    limits = Limits(concurrency=3, timeout=timedelta(seconds=7))
    manifest = Manifest("churn", "1.0", "churn:plugin", limits=limits)
    assert manifest_policy(manifest) == RunPolicy(concurrency=3, timeout=timedelta(seconds=7))
    manifest = replace(manifest, policy={"retries": 2, "overlap": Overlap.SKIP, "concurrency": 1})
    assert manifest_policy(manifest) == RunPolicy(
        concurrency=1, timeout=timedelta(seconds=7), retries=2, overlap=Overlap.SKIP
    )
