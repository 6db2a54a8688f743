"""What schedules and sources bring is never rejected because it cannot run now: it waits, or comes again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from moorage.errors import Conflict
from moorage.events.bus import CAPACITY, EventBus
from moorage.events.events import DesiredChanged, GrantsChanged, Loaded, Removed
from moorage.models.execution import ExecutionState
from moorage.models.incarnation import Verdict, VerdictKind
from moorage.models.installation import DesiredState
from moorage.orchestrator.orchestrator import ROOM_PATIENCE, Orchestrator
from moorage.orchestrator.triggers.base import NotNow
from moorage.store.errors import InstallationUnknown
from moorage.store.store import Store
from moorage.supervisor.errors import StartFailed

from .conftest import FakeClock, Sessions, forever, request, until

pytestmark = pytest.mark.timeout(20)

NOT_GRANTED = Conflict("churn does not run: it requires what was not granted.")


def released() -> DesiredChanged:
    return DesiredChanged("churn", DesiredState(enabled=False), DesiredState(), "", "dana")


@pytest.mark.parametrize("desired", [DesiredState(enabled=False), DesiredState(held_reason="INC-1", held_by="dana")])
async def test_what_may_not_run_now_is_not_taken_and_leaves_nothing(
    orchestrator: Orchestrator, store: Store, desired: DesiredState
) -> None:
    await store.installations.set_desired("churn", desired)
    with pytest.raises(NotNow, match=r"churn is (disabled|held)"):
        await orchestrator.submit(request(patient=True))
    assert await store.executions.list() == ()
    await store.installations.set_desired("churn", DesiredState())
    assert (await orchestrator.run(request(patient=True))).state is ExecutionState.SUCCEEDED


async def test_a_full_queue_is_no_rejection(orchestrator: Orchestrator, sessions: Sessions, store: Store) -> None:
    sessions.run = forever
    accepted = [await orchestrator.submit(request()) for _ in range(4)]
    with pytest.raises(NotNow, match="The queue of churn is full"):
        await orchestrator.submit(request(patient=True))
    assert len(await store.executions.list()) == 4
    for each in accepted:
        await orchestrator.cancel(each.id)
    assert (await orchestrator.submit(request(patient=True))).state is ExecutionState.QUEUED


async def test_a_host_that_stops_takes_nothing(orchestrator: Orchestrator, store: Store) -> None:
    await orchestrator.stop()
    with pytest.raises(NotNow, match="The host is stopping"):
        await orchestrator.submit(request(patient=True))
    assert await store.executions.list() == ()


@pytest.mark.parametrize(
    "announcement", [released(), GrantsChanged("churn", 2, "dana")], ids=lambda each: type(each).__name__
)
async def test_what_waits_when_it_may_not_run_any_more_goes_on_waiting(
    orchestrator: Orchestrator, sessions: Sessions, events: EventBus, announcement: DesiredChanged
) -> None:
    sessions.run = forever
    before = await orchestrator.submit(request())
    patient = [await orchestrator.submit(request(patient=True)) for _ in range(2)]
    await sessions.until(lambda: bool(sessions.running))
    sessions.refusal, sessions.run = NOT_GRANTED, sessions.succeed
    await orchestrator.cancel(before.id)
    impatient = await orchestrator.run(request())
    assert (impatient.state, impatient.error and impatient.error.message) == ("rejected", str(NOT_GRANTED))
    await until(lambda: not orchestrator._queues._turns.lines["churn"].running)
    assert [each.id for each in orchestrator.open_ones()] == [each.id for each in patient]
    with pytest.raises(NotNow, match="churn does not run at present: churn does not run: it requires"):
        await orchestrator.submit(request(patient=True))

    sessions.refusal = None
    events.announce(announcement)
    ended = [await orchestrator.wait(each.id) for each in patient]
    assert [each.state for each in ended] == [ExecutionState.SUCCEEDED] * 2
    assert sessions.ran == [each.id for each in (before, *patient)]
    assert {each.attempt for each in ended} == {1}


NOT_STARTED = StartFailed("churn", Verdict(VerdictKind.SIGNALLED, "It died."))


async def test_a_worker_that_does_not_start_is_no_outcome_of_what_is_patient(
    orchestrator: Orchestrator, sessions: Sessions, events: EventBus
) -> None:
    sessions.refusal = NOT_STARTED
    patient = [await orchestrator.submit(request(patient=True))]
    impatient = await orchestrator.run(request())
    assert (impatient.state, impatient.error and impatient.error.type) == (ExecutionState.FAILED, "start_failed")
    await until(lambda: bool(orchestrator._queues._turns.lines["churn"].paused))
    assert (await orchestrator.wait(impatient.id)).state is ExecutionState.FAILED
    sessions.refusal = None
    events.announce(Loaded("churn", None))  # type: ignore[arg-type] - what it says of the worker is not looked at
    async with asyncio.timeout(5):
        ended = [await orchestrator.wait(each.id) for each in patient]
    assert [(each.state, each.attempt) for each in ended] == [(ExecutionState.SUCCEEDED, 1)]


async def test_what_waits_is_tried_again_although_nothing_is_announced(
    orchestrator: Orchestrator, sessions: Sessions, clock: FakeClock
) -> None:
    sessions.refusal = NOT_GRANTED
    patient = await orchestrator.submit(request(patient=True))
    await until(lambda: bool(orchestrator._queues._turns.lines["churn"].paused))
    sessions.refusal = None
    clock.advance(minutes=1)
    assert (await orchestrator.wait(patient.id)).state is ExecutionState.SUCCEEDED
    assert clock.pending == 0


async def test_what_waits_is_tried_again_when_an_announcement_was_lost(
    orchestrator: Orchestrator, sessions: Sessions, events: EventBus
) -> None:
    sessions.refusal = NOT_GRANTED
    patient = await orchestrator.submit(request(patient=True))
    await until(lambda: bool(orchestrator._queues._turns.lines["churn"].paused))
    sessions.refusal = None
    events.announce(GrantsChanged("churn", 2, "dana"))
    for number in range(CAPACITY):
        events.announce(GrantsChanged("other", number, "dana"))
    async with asyncio.timeout(5):
        assert (await orchestrator.wait(patient.id)).state is ExecutionState.SUCCEEDED


async def test_what_waits_for_an_installation_that_is_removed_is_rejected(
    orchestrator: Orchestrator, sessions: Sessions, events: EventBus
) -> None:
    sessions.refusal = NOT_GRANTED
    patient = await orchestrator.submit(request(patient=True))
    await until(lambda: bool(orchestrator._queues._turns.lines["churn"].paused))
    sessions.refusal = InstallationUnknown("churn")
    events.announce(Removed("churn", "dana"))
    assert (await orchestrator.wait(patient.id)).state is ExecutionState.REJECTED


async def test_what_waits_can_be_cancelled(orchestrator: Orchestrator, sessions: Sessions) -> None:
    sessions.refusal = NOT_GRANTED
    patient = await orchestrator.submit(request(patient=True))
    await until(lambda: bool(orchestrator._queues._turns.lines["churn"].paused))
    assert (await orchestrator.cancel(patient.id)).state is ExecutionState.CANCELLED


# -- room ---------------------------------------------------------------------------------------------------------


async def waits_for_room(orchestrator: Orchestrator, change: Callable[[], None]) -> None:
    waiting = asyncio.ensure_future(orchestrator.room("churn"))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not waiting.done()
    change()
    async with asyncio.timeout(5):
        await waiting


async def test_there_is_room_at_once_where_there_is(orchestrator: Orchestrator, clock: FakeClock) -> None:
    await orchestrator.room("churn")
    await orchestrator.room("unknown")
    await asyncio.sleep(0)
    assert clock.pending == 0


async def test_room_is_waited_for(orchestrator: Orchestrator, sessions: Sessions) -> None:
    sessions.run = forever
    accepted = [await orchestrator.submit(request()) for _ in range(4)]
    cancelling: list[asyncio.Future[object]] = []
    await waits_for_room(
        orchestrator, lambda: cancelling.append(asyncio.ensure_future(orchestrator.cancel(accepted[1].id)))
    )
    assert (await orchestrator.submit(request(patient=True))).state is ExecutionState.QUEUED
    await cancelling[0]


async def test_of_many_who_wait_one_is_woken_for_each_place(orchestrator: Orchestrator, sessions: Sessions) -> None:
    sessions.run = forever
    accepted = [await orchestrator.submit(request()) for _ in range(4)]
    waiting = [asyncio.ensure_future(orchestrator.room("churn")) for _ in range(5)]
    await until(lambda: len(orchestrator._queues.rooms._waiting["churn"]) == 5)
    await orchestrator.cancel(accepted[1].id)
    await until(waiting[0].done)
    assert [each.done() for each in waiting] == [True, False, False, False, False]
    # One that is woken, and cancelled before it has seen it, wakes the next.
    cancelling = asyncio.ensure_future(orchestrator.cancel(accepted[2].id))
    await until(lambda: next(iter(orchestrator._queues.rooms._waiting["churn"])).done())
    waiting[1].cancel()
    await until(waiting[2].done)
    await cancelling
    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert not orchestrator._queues.rooms._waiting


async def test_it_is_waited_for_that_it_may_run(
    orchestrator: Orchestrator, sessions: Sessions, events: EventBus
) -> None:
    sessions.refusal = NOT_GRANTED
    await orchestrator.submit(request(patient=True))
    await until(lambda: bool(orchestrator._queues._turns.lines["churn"].paused))
    sessions.refusal = None
    await waits_for_room(orchestrator, lambda: events.announce(released()))


async def test_the_wait_for_room_is_bounded_and_may_be_cancelled(
    orchestrator: Orchestrator, sessions: Sessions, clock: FakeClock
) -> None:
    sessions.run = forever
    accepted = [await orchestrator.submit(request()) for _ in range(4)]
    await sessions.until(lambda: len(sessions.running) == 1)
    pending = clock.pending
    await waits_for_room(orchestrator, lambda: clock.advance(seconds=ROOM_PATIENCE.total_seconds()))
    for steps in range(8):
        waiting = asyncio.ensure_future(orchestrator.room("churn"))
        for _ in range(steps):
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    for _ in range(3):
        await asyncio.sleep(0)
    assert clock.pending == pending
    await asyncio.gather(*(orchestrator.cancel(each.id) for each in accepted))
    assert not orchestrator._queues.rooms._waiting


async def test_nobody_finds_room_in_a_host_that_stops(orchestrator: Orchestrator, clock: FakeClock) -> None:
    await orchestrator.stop()
    await waits_for_room(orchestrator, lambda: clock.advance(seconds=ROOM_PATIENCE.total_seconds()))
