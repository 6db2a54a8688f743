"""Whatever raises, and wherever it is cancelled: one recorded outcome for each execution."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from moorage.events.bus import EventBus
from moorage.events.events import ExecutionEnded
from moorage.models.execution import Execution, ExecutionState, TaskOutcome
from moorage.models.policy import RunPolicy
from moorage.orchestrator import conductor
from moorage.orchestrator.orchestrator import Orchestrator
from moorage.store.errors import StoreFailed
from moorage.store.store import Store

from .conftest import SUCCEEDED, FakeClock, Sessions, request

pytestmark = pytest.mark.timeout(20)


class Failing:
    """Wraps a method of the store, which fails so many times before it works."""

    def __init__(self, work: Callable[..., Awaitable[Any]], times: int, *, after: bool = False) -> None:
        self._work, self._times, self._after = work, times, after
        self.called = 0

    async def __call__(self, *arguments: Any, **named: Any) -> Any:
        self.called += 1
        if self.called > self._times:
            return await self._work(*arguments, **named)
        if self._after:
            await self._work(*arguments, **named)
        raise StoreFailed("database or disk is full")


async def ticking(clock: FakeClock, awaitable: Awaitable[Any]) -> Any:
    """Lets the clock run while something waits for it."""
    waiting = asyncio.ensure_future(awaitable)
    async with asyncio.timeout(10):
        while not waiting.done():
            clock.advance(seconds=1)
            await asyncio.sleep(0.001)
    return await waiting


async def test_a_store_that_fails_to_accept_leaves_nothing(
    orchestrator: Orchestrator, store: Store, monkeypatch: pytest.MonkeyPatch, sessions: Sessions
) -> None:
    monkeypatch.setattr(store.executions, "create", Failing(store.executions.create, 10))
    for _ in range(10):
        with pytest.raises(StoreFailed, match="disk is full"):
            await orchestrator.submit(request())
    assert sessions.ran == []
    # None of them keeps a place in the queue.
    ended = await asyncio.gather(*(orchestrator.run(request()) for _ in range(4)))
    assert {found.state for found in ended} == {ExecutionState.SUCCEEDED}


@pytest.mark.parametrize(("key", "outcome"), [("", ExecutionState.REJECTED), ("k", ExecutionState.SUCCEEDED)])
async def test_one_that_was_written_though_the_store_failed_gets_its_outcome(
    orchestrator: Orchestrator,
    store: Store,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    sessions: Sessions,
    key: str,
    outcome: ExecutionState,
) -> None:
    create = store.executions.create
    monkeypatch.setattr(store.executions, "create", Failing(create, 1, after=True))
    get = Failing(store.executions.get, 2)
    monkeypatch.setattr(store.executions, "get", get)
    with pytest.raises(StoreFailed):
        await orchestrator.submit(request(key=key))
    (written,) = await store.executions.list()
    assert written.state is ExecutionState.QUEUED

    ended = await ticking(clock, outcome_of(store, written.id))
    assert ended.state is outcome
    assert sessions.ran == ([] if outcome is ExecutionState.REJECTED else [written.id])


async def outcome_of(store: Store, execution: str) -> Execution:
    while True:
        (found,) = [each for each in await store.executions.list() if each.id == execution]
        if found.state.is_outcome:
            return found


async def test_work_does_not_begin_when_its_start_cannot_be_recorded(
    orchestrator: Orchestrator, store: Store, monkeypatch: pytest.MonkeyPatch, sessions: Sessions
) -> None:
    monkeypatch.setattr(store.executions, "started", Failing(store.executions.started, 1))
    execution = await orchestrator.run(request())
    assert (execution.state, execution.error and execution.error.type) == (ExecutionState.FAILED, "store_failed")
    assert sessions.ran == []
    assert await store.executions.get(execution.id) == execution


@pytest.mark.parametrize("written", [False, True])
async def test_a_patient_one_whose_start_cannot_be_recorded_waits_until_it_can(
    orchestrator: Orchestrator,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    sessions: Sessions,
    clock: FakeClock,
    written: bool,
) -> None:
    soon = clock.now() + timedelta(seconds=1)
    monkeypatch.setattr(store.executions, "started", Failing(store.executions.started, 3, after=written))
    submitted = [await orchestrator.submit(request(patient=True, due_at=soon)) for _ in range(3)]
    ended = [await ticking(clock, orchestrator.wait(each.id)) for each in submitted]
    assert {(each.state, each.attempt) for each in ended} == {(ExecutionState.SUCCEEDED, 1)}
    assert sessions.ran == [each.id for each in submitted]


async def test_an_outcome_that_nobody_waits_for_any_more_is_recorded_all_the_same(
    orchestrator: Orchestrator, store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = Failing(store.executions.finished, 9)
    monkeypatch.setattr(store.executions, "finished", fails)
    accepted = await orchestrator.submit(request())
    with pytest.raises(StoreFailed):
        await ticking(clock, orchestrator.wait(accepted.id))
    assert orchestrator.open_ones() == ()
    assert (await store.executions.get(accepted.id)).state is ExecutionState.RUNNING

    async def recorded() -> Execution:
        while not (found := await store.executions.get(accepted.id)).state.is_outcome:
            await asyncio.sleep(0.001)
        return found

    assert (await ticking(clock, recorded())).state is ExecutionState.SUCCEEDED
    assert fails.called == 10


async def test_an_outcome_is_recorded_when_the_store_is_back(
    orchestrator: Orchestrator, store: Store, monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    finished = Failing(store.executions.finished, 3)
    monkeypatch.setattr(store.executions, "finished", finished)
    execution = await ticking(clock, orchestrator.run(request(timeout=timedelta(hours=1))))
    assert execution.state is ExecutionState.SUCCEEDED
    assert finished.called == 4
    assert await store.executions.get(execution.id) == execution


async def test_an_outcome_that_was_written_although_the_store_said_no_is_not_written_twice(
    orchestrator: Orchestrator, store: Store, monkeypatch: pytest.MonkeyPatch, clock: FakeClock, events: EventBus
) -> None:
    monkeypatch.setattr(store.executions, "finished", Failing(store.executions.finished, 2, after=True))
    execution = await ticking(clock, orchestrator.run(request(timeout=timedelta(hours=1))))
    assert execution.state is ExecutionState.SUCCEEDED
    assert await store.executions.get(execution.id) == execution


async def test_a_store_that_stays_away_is_told_and_recovery_gives_the_outcome(
    orchestrator: Orchestrator, store: Store, monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(store.executions, "finished", Failing(store.executions.finished, 1_000))
        submitted = await orchestrator.submit(request(timeout=timedelta(hours=1)))
        with pytest.raises(StoreFailed):
            await ticking(clock, orchestrator.wait(submitted.id))
    assert orchestrator.open_ones() == ()
    (recovered,) = await orchestrator.recover()
    assert (recovered.id, recovered.state) == (submitted.id, ExecutionState.ABANDONED)


async def test_a_result_that_cannot_be_stored_is_a_failure(orchestrator: Orchestrator, sessions: Sessions) -> None:
    async def odd(execution: Execution, timeout: timedelta) -> TaskOutcome:
        return TaskOutcome(ExecutionState.SUCCEEDED, result=object())

    sessions.run = odd
    execution = await orchestrator.run(request())
    assert execution.error is not None
    assert (execution.state, execution.error.type) == (ExecutionState.FAILED, "result_not_storable")


@pytest.mark.parametrize("state", [ExecutionState.QUEUED, ExecutionState.RUNNING])
async def test_an_open_state_from_a_session_is_a_failure(
    orchestrator: Orchestrator, sessions: Sessions, state: ExecutionState
) -> None:
    async def open_state(execution: Execution, timeout: timedelta) -> TaskOutcome:
        return TaskOutcome(state)

    sessions.run = open_state
    execution = await orchestrator.run(request())
    assert (execution.state, execution.error and execution.error.type) == (ExecutionState.FAILED, "internal")


async def test_a_session_that_ends_badly_does_not_change_the_outcome(
    orchestrator: Orchestrator, sessions: Sessions
) -> None:
    async def explodes() -> None:
        raise RuntimeError("at exit")

    sessions.at_exit = explodes
    assert (await orchestrator.run(request())).state is ExecutionState.SUCCEEDED


async def test_a_session_that_never_ends_does_not_change_the_outcome(
    orchestrator: Orchestrator, sessions: Sessions, clock: FakeClock
) -> None:
    entered = asyncio.Event()

    async def hangs() -> None:
        entered.set()
        await asyncio.Event().wait()

    sessions.at_exit = hangs
    running = asyncio.ensure_future(orchestrator.run(request()))
    async with asyncio.timeout(5):
        await entered.wait()
    clock.advance(seconds=60)
    assert (await running).state is ExecutionState.SUCCEEDED


@pytest.mark.parametrize("error", [RuntimeError("boom"), asyncio.CancelledError(), TimeoutError(), OSError(5, "io")])
async def test_whatever_the_session_raises_is_an_outcome(
    orchestrator: Orchestrator, sessions: Sessions, store: Store, error: BaseException
) -> None:
    async def raises(execution: Execution, timeout: timedelta) -> TaskOutcome:
        raise error

    sessions.run = raises
    execution = await orchestrator.run(request())
    expected = ExecutionState.CANCELLED if isinstance(error, asyncio.CancelledError) else ExecutionState.FAILED
    assert execution.state is expected
    assert await store.executions.get(execution.id) == execution


async def test_an_outcome_given_by_another_before_it_began_stands(
    orchestrator: Orchestrator, sessions: Sessions, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = store.executions.started

    async def overtaken(execution_id: str, **named: Any) -> bool:
        execution = await store.executions.get(execution_id)
        ended = conductor.states.ended(execution, conductor.outcomes.cancelled("eve"), at=execution.queued_at)
        await store.executions.finished(ended)
        return await inside(execution_id, **named)

    monkeypatch.setattr(store.executions, "started", overtaken)
    execution = await orchestrator.run(request())
    assert (execution.state, execution.error and execution.error.message) == (
        ExecutionState.CANCELLED,
        "It was cancelled by eve.",
    )
    assert sessions.ran == []


@pytest.mark.parametrize("how", ["cancelled by a person", "host's loop ends", "timeout", "host stops"])
async def test_interrupted_at_every_step_there_is_one_outcome(store: Store, sessions: Sessions, how: str) -> None:
    """Interrupts after 0, 2, 4... turns of the event loop, when the task has begun, and at last when it is over.

    What the task was never called for is taken up by the next host, once.
    """
    outcomes = set()
    for steps in [*range(0, 60, 2), "begun", None]:
        bus, clock = EventBus(), FakeClock()
        orchestrator = Orchestrator(store, sessions, bus, clock=clock)
        ended = bus.subscribe(ExecutionEnded)
        sessions.run = slow
        submitted = await orchestrator.submit(request())
        if steps is None:
            await orchestrator.wait(submitted.id)
        # How many turns that takes is the store's thread's to say.
        while steps == "begun" and submitted.id not in sessions.ran:
            await asyncio.sleep(0)
        for _ in range(steps if isinstance(steps, int) else 0):
            await asyncio.sleep(0)
        if how == "cancelled by a person":
            await orchestrator.cancel(submitted.id)
        elif how == "timeout":
            clock.advance(hours=1)
        elif how == "host stops":
            stopping = asyncio.ensure_future(orchestrator.stop(timedelta(seconds=1)))
            await asyncio.sleep(0)
            clock.advance(seconds=1)
            await stopping
        else:
            for task in tuple(orchestrator._tasks._tasks):
                task.cancel()
        await orchestrator._tasks.settled()
        begun = submitted.id in sessions.ran
        heir = Orchestrator(store, sessions, bus, clock=clock)
        await heir.recover()
        heir.resume()

        stored = await heir.wait(submitted.id)
        assert stored.state.is_outcome
        assert stored == await store.executions.get(submitted.id)
        if begun or how in ("cancelled by a person", "timeout"):
            assert sessions.ran.count(submitted.id) <= 1
            assert begun or stored.state is not ExecutionState.SUCCEEDED
        else:
            assert stored.state is ExecutionState.SUCCEEDED or stored.state is ExecutionState.ABANDONED
        ended.close()
        announced = [event.execution async for event in ended]
        # A host whose loop ends may have no time left to announce what it has written.
        assert announced == [stored] or (how == "host's loop ends" and not announced)
        outcomes.add(stored.state)
    assert len(outcomes) > 1


async def slow(execution: Execution, timeout: timedelta) -> TaskOutcome:
    for _ in range(10):
        await asyncio.sleep(0)
    return SUCCEEDED


# -- attempts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [False, True], ids=["not written", "written"])
async def test_an_attempt_whose_end_the_store_does_not_take_at_once_is_followed_by_the_next(
    store: Store, sessions: Sessions, events: EventBus, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    fails = Failing(store.executions.again, 3, after=after)
    monkeypatch.setattr(store.executions, "again", fails)
    orchestrator = Orchestrator(store, sessions, events, clock=clock, policy_of=lambda _: RETRYING)
    sessions.run = fails_once
    execution = await ticking(clock, orchestrator.run(request(timeout=timedelta(hours=1))))
    assert (execution.state, execution.attempt) == (ExecutionState.SUCCEEDED, 2)
    assert [each.number for each in await store.attempts.list(execution.id)] == [1, 2]
    assert fails.called == 4


async def test_an_attempt_whose_end_is_never_written_is_judged_by_the_next_host(
    store: Store, sessions: Sessions, events: EventBus, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    orchestrator = Orchestrator(store, sessions, events, clock=clock, policy_of=lambda _: RETRYING)
    sessions.run = fails_once
    with monkeypatch.context() as patch:
        patch.setattr(store.executions, "again", Failing(store.executions.again, 1_000))
        submitted = await orchestrator.submit(request(patient=True, timeout=timedelta(hours=1)))
        with pytest.raises(StoreFailed):
            await ticking(clock, orchestrator.wait(submitted.id))
    assert orchestrator.open_ones() == ()
    heir = Orchestrator(store, sessions, events, clock=clock, policy_of=lambda _: RETRYING)
    await heir.recover()
    heir.resume()
    ended = await ticking(clock, heir.wait(submitted.id))
    assert (ended.state, ended.attempt) == (ExecutionState.SUCCEEDED, 2)


@pytest.mark.parametrize("how", ["cancelled by a person", "host's loop ends", "host stops", "lease is lost"])
async def test_interrupted_at_every_step_between_attempts_there_is_one_outcome(
    store: Store, sessions: Sessions, how: str
) -> None:
    """Interrupts after 0, 3, 6... turns of the event loop; then the host after it takes up what is left."""
    outcomes = set()
    for steps in range(0, 90, 3):
        bus, clock = EventBus(), FakeClock()
        orchestrator = Orchestrator(store, sessions, bus, clock=clock, policy_of=lambda _: RETRYING)
        ended = bus.subscribe(ExecutionEnded)
        sessions.run = fails_once
        submitted = await orchestrator.submit(request(patient=True))
        for _ in range(steps):
            await asyncio.sleep(0)
        if how == "cancelled by a person":
            cancelled = await orchestrator.cancel(submitted.id)
            assert cancelled.state.is_outcome
        elif how == "host stops":
            await ticking(clock, orchestrator.stop(timedelta(seconds=1)))
        elif how == "lease is lost":
            orchestrator.lease_lost()
        else:
            for task in tuple(orchestrator._tasks._tasks):
                task.cancel()
        await ticking(clock, orchestrator._tasks.settled())
        orchestrator._queues.silence()
        heir = Orchestrator(store, sessions, bus, clock=clock, policy_of=lambda _: RETRYING)
        await heir.recover()
        heir.resume()

        stored = await ticking(clock, heir.wait(submitted.id))
        assert stored.state.is_outcome
        assert stored == await store.executions.get(submitted.id)
        tried = [each.number for each in await store.attempts.list(submitted.id)]
        assert tried == (list(range(1, stored.attempt + 1)) if stored.attempt > 1 else [])
        assert stored.attempt <= 1 + RETRYING.retries
        ended.close()
        announced = [event.execution async for event in ended]
        assert announced == [stored] or (how == "host's loop ends" and not announced)
        outcomes.add(stored.state)
    assert how == "cancelled by a person" or ExecutionState.SUCCEEDED in outcomes


RETRYING = RunPolicy(retries=4, backoff_first=timedelta(0))


async def fails_once(execution: Execution, timeout: timedelta) -> TaskOutcome:
    await asyncio.sleep(0)
    if execution.attempt == 1:
        raise RuntimeError("the first time")
    return SUCCEEDED
