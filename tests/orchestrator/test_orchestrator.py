from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from moorage.errors import Conflict, MoorageError
from moorage.events.bus import EventBus
from moorage.events.events import ExecutionEnded, ExecutionEvent
from moorage.models.execution import Execution, ExecutionError, ExecutionState, TaskOutcome
from moorage.models.installation import DesiredState
from moorage.orchestrator import outcomes
from moorage.orchestrator.orchestrator import Orchestrator
from moorage.orchestrator.policies import declared_policy
from moorage.orchestrator.recorder import ExecutionPostponed
from moorage.store.errors import ExecutionUnknown, InstallationUnknown, NotStorable
from moorage.store.store import Store

from .conftest import FACTS, SUCCEEDED, FakeClock, Sessions, forever, installation, request

pytestmark = pytest.mark.timeout(20)


async def test_a_run_is_recorded_and_announced(
    orchestrator: Orchestrator, store: Store, events: EventBus, clock: FakeClock
) -> None:
    announced = events.subscribe(ExecutionEvent)

    execution = await orchestrator.run(request(task="count", input={"since": clock.now()}, trigger="api"))

    assert execution.state is ExecutionState.SUCCEEDED
    assert execution.result == {"users": 3}
    assert (execution.task, execution.trigger, execution.version) == ("count", "api", "1.2.0")
    assert execution.worker == FACTS
    assert execution.duration == timedelta(0)
    assert await store.executions.get(execution.id) == execution
    announced.close()
    seen = [(type(event).__name__, event.execution.state) async for event in announced]
    assert seen == [
        ("ExecutionAccepted", "queued"),
        ("ExecutionStarted", "running"),
        ("ExecutionEnded", "succeeded"),
    ]
    assert clock.pending == 0


async def test_the_row_is_there_before_the_work(orchestrator: Orchestrator, store: Store, sessions: Sessions) -> None:
    rows = []

    async def looks(execution: Execution, timeout: timedelta) -> TaskOutcome:
        rows.append(await store.executions.get(execution.id))
        assert timeout == timedelta(seconds=60)
        return SUCCEEDED

    sessions.run = looks
    submitted = await orchestrator.submit(request())
    assert submitted.state is ExecutionState.QUEUED
    await orchestrator.wait(submitted.id)
    assert [(row.id, row.state, row.worker) for row in rows] == [(submitted.id, ExecutionState.RUNNING, FACTS)]


@pytest.mark.parametrize(
    "outcome",
    [
        TaskOutcome(ExecutionState.FAILED, error=ExecutionError("churn.NoUsers", "None.", "Trace", "add one")),
        TaskOutcome(ExecutionState.CRASHED, error=ExecutionError("signalled", "It was killed by SIGSEGV.")),
        TaskOutcome(ExecutionState.REJECTED, error=ExecutionError("task_unknown", "There is no task 'x'.")),
        TaskOutcome(ExecutionState.CANCELLED),
        TaskOutcome(ExecutionState.TIMED_OUT),
    ],
    ids=lambda outcome: outcome.state,
)
async def test_what_the_session_reports_is_the_outcome(
    orchestrator: Orchestrator, store: Store, sessions: Sessions, outcome: TaskOutcome
) -> None:
    async def reports(execution: Execution, timeout: timedelta) -> TaskOutcome:
        return outcome

    sessions.run = reports
    execution = await orchestrator.run(request())
    assert (execution.state, execution.error) == (outcome.state, outcome.error)
    assert await store.executions.get(execution.id) == execution


async def test_a_plugins_error_is_harmless_to_read(orchestrator: Orchestrator, sessions: Sessions) -> None:
    async def raises(execution: Execution, timeout: timedelta) -> TaskOutcome:
        return TaskOutcome(ExecutionState.FAILED, error=ExecutionError("E", "\x1b[2Jgone", "\u202etrace", "\x00"))

    sessions.run = raises
    execution = await orchestrator.run(request())
    assert execution.error == ExecutionError("E", "\\x1b[2Jgone", "\\u202etrace", "\\x00")


@pytest.mark.parametrize(
    ("desired", "reason", "sentence"),
    [
        (DesiredState(enabled=False), "disabled", "is disabled"),
        (DesiredState(held_reason="INC-4711", held_by="dana"), "held", "held by dana: INC-4711"),
        (DesiredState(quarantined="It died 5 times."), "quarantined", "It died 5 times"),
    ],
)
async def test_what_may_not_run_is_rejected_and_recorded(
    orchestrator: Orchestrator, store: Store, sessions: Sessions, desired: DesiredState, reason: str, sentence: str
) -> None:
    await store.installations.set_desired("churn", desired)

    execution = await orchestrator.submit(request())

    assert execution.state is ExecutionState.REJECTED
    assert execution.error is not None
    assert execution.error.type == reason
    assert sentence in execution.error.message
    assert execution.error.remedy.startswith("moorage ")
    assert await store.executions.get(execution.id) == execution == await orchestrator.wait(execution.id)
    assert sessions.ran == []
    await store.installations.set_desired("churn", DesiredState())
    assert (await orchestrator.run(request())).state is ExecutionState.SUCCEEDED


async def test_a_supervisor_that_refuses_rejects_and_one_that_fails_fails(
    orchestrator: Orchestrator, sessions: Sessions
) -> None:
    sessions.refusal = Conflict("churn does not run: it requires what was not granted.")
    rejected = await orchestrator.run(request())
    sessions.refusal = MoorageError("churn did not start. It raised ImportError.")
    failed = await orchestrator.run(request())
    sessions.refusal = RuntimeError("a bug")
    broken = await orchestrator.run(request())

    assert [(found.state, found.error and found.error.message) for found in (rejected, failed, broken)] == [
        (ExecutionState.REJECTED, "churn does not run: it requires what was not granted."),
        (ExecutionState.FAILED, "churn did not start. It raised ImportError."),
        (ExecutionState.FAILED, "The host failed to run it: RuntimeError: a bug. The host's log has the details."),
    ]


async def test_an_unknown_installation_and_an_odd_input_leave_no_row(orchestrator: Orchestrator, store: Store) -> None:
    with pytest.raises(InstallationUnknown):
        await orchestrator.submit(replace(request(), installation="ghost"))
    with pytest.raises(NotStorable):
        await orchestrator.submit(request(input=object()))
    assert await store.executions.list() == ()
    assert (await orchestrator.run(request(input=[1]))).state is ExecutionState.SUCCEEDED


async def test_the_queue_is_first_in_first_out_and_bounded(orchestrator: Orchestrator, sessions: Sessions) -> None:
    release = asyncio.Event()

    async def waits(execution: Execution, timeout: timedelta) -> TaskOutcome:
        await release.wait()
        return SUCCEEDED

    sessions.run = waits
    accepted = [await orchestrator.submit(request()) for _ in range(4)]
    refused = await orchestrator.submit(request())

    assert refused.state is ExecutionState.REJECTED
    assert refused.error is not None
    assert refused.error.message == "The queue of churn is full: 3 executions wait. Try again when some are done."
    assert [found.id for found in orchestrator.open_ones("churn")] == [found.id for found in accepted]
    release.set()
    ended = [await orchestrator.wait(found.id) for found in accepted]
    assert {found.state for found in ended} == {ExecutionState.SUCCEEDED}
    assert sessions.ran == [found.id for found in accepted]
    assert sessions.most_at_once == 1
    assert orchestrator.open_ones() == ()
    assert (await orchestrator.run(request())).state is ExecutionState.SUCCEEDED


async def test_many_at_one_time_keep_the_bounds(store: Store, sessions: Sessions, events: EventBus) -> None:
    await store.installations.replace(installation(concurrency=3))
    await store.installations.add(installation("other"))
    orchestrator = Orchestrator(
        store, sessions, events, policy_of=lambda found: replace(declared_policy(found), queue=5)
    )

    both = [replace(request(), installation=name) for name in ["churn", "other"] * 20]
    ended = await asyncio.gather(*(orchestrator.run(each) for each in both))

    by_state = [found.state for found in ended]
    assert by_state.count(ExecutionState.SUCCEEDED) + by_state.count(ExecutionState.REJECTED) == 40
    assert sessions.most_at_once <= 4
    assert len(await store.executions.list(limit=100)) == 40
    assert await store.executions.open_ones() == ()


async def test_a_timeout_ends_it(orchestrator: Orchestrator, sessions: Sessions, clock: FakeClock) -> None:
    sessions.run = forever
    running = asyncio.ensure_future(orchestrator.run(request(timeout=timedelta(seconds=5))))
    await sessions.until(lambda: bool(sessions.running))

    clock.advance(seconds=4)
    await asyncio.sleep(0)
    assert sessions.running
    clock.advance(seconds=1)

    execution = await running
    assert execution.state is ExecutionState.TIMED_OUT
    assert execution.error is not None
    assert "5 s" in execution.error.message
    assert execution.duration == timedelta(seconds=5)
    assert not sessions.running


async def test_the_manifests_timeout_is_the_default(
    orchestrator: Orchestrator, sessions: Sessions, clock: FakeClock
) -> None:
    sessions.run = forever
    running = asyncio.ensure_future(orchestrator.run(request()))
    await sessions.until(lambda: bool(sessions.running))
    clock.advance(seconds=60)
    assert (await running).state is ExecutionState.TIMED_OUT


async def test_a_worker_that_never_comes_is_not_waited_for_forever(
    orchestrator: Orchestrator, sessions: Sessions, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted = await orchestrator.submit(request())
    sessions.session = lambda name: _NeverReady()  # type: ignore[assignment,return-value]
    never = await orchestrator.submit(request())
    await orchestrator.wait(submitted.id)
    waiting = asyncio.ensure_future(orchestrator.wait(never.id))
    while clock.pending == 0:
        await asyncio.sleep(0)
    clock.advance(hours=1)
    execution = await waiting
    assert (execution.state, execution.error and execution.error.type) == (ExecutionState.FAILED, "no_worker")


class _NeverReady:
    async def __aenter__(self) -> None:
        await asyncio.Event().wait()

    async def __aexit__(self, *error: object) -> None:
        raise AssertionError


async def test_cancelling_what_waits_and_what_runs(orchestrator: Orchestrator, sessions: Sessions) -> None:
    sessions.run = forever
    running = await orchestrator.submit(request())
    waiting = await orchestrator.submit(request())
    await sessions.until(lambda: bool(sessions.running))

    ended = [await orchestrator.cancel(found.id, by="dana") for found in (waiting, running)]

    assert [found.state for found in ended] == [ExecutionState.CANCELLED] * 2
    assert [found.error and found.error.message for found in ended] == ["It was cancelled by dana."] * 2
    assert ended[0].started_at is None
    assert sessions.ran == [running.id]
    assert await orchestrator.cancel(running.id) == ended[1]
    with pytest.raises(ExecutionUnknown):
        await orchestrator.cancel("e-ghost")


async def test_cancelling_the_caller_does_not_cancel_the_execution(
    orchestrator: Orchestrator, sessions: Sessions, store: Store
) -> None:
    release = asyncio.Event()

    async def waits(execution: Execution, timeout: timedelta) -> TaskOutcome:
        await release.wait()
        return SUCCEEDED

    sessions.run = waits
    for steps in range(12):
        caller = asyncio.ensure_future(orchestrator.run(request()))
        for _ in range(steps):
            await asyncio.sleep(0)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        release.set()
        await orchestrator._tasks.settled()
        release.clear()
    stored = await store.executions.list(limit=100)
    assert {found.state for found in stored} == {ExecutionState.SUCCEEDED}


async def test_what_was_committed_before_the_cancel_has_succeeded(
    orchestrator: Orchestrator, sessions: Sessions
) -> None:
    async def commits_anyway(execution: Execution, timeout: timedelta) -> TaskOutcome:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return SUCCEEDED
        raise AssertionError

    sessions.run = commits_anyway
    submitted = await orchestrator.submit(request())
    await sessions.until(lambda: bool(sessions.running))
    assert (await orchestrator.cancel(submitted.id)).state is ExecutionState.SUCCEEDED


async def test_work_that_ignores_its_cancellation_is_not_waited_for_forever(
    orchestrator: Orchestrator, sessions: Sessions, clock: FakeClock
) -> None:
    release = asyncio.Event()

    async def stubborn(execution: Execution, timeout: timedelta) -> TaskOutcome:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return SUCCEEDED

    sessions.run = stubborn
    submitted = await orchestrator.submit(request())
    await sessions.until(lambda: bool(sessions.running))
    cancelling = asyncio.ensure_future(orchestrator.cancel(submitted.id))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not cancelling.done()
    clock.advance(seconds=15)
    assert (await cancelling).state is ExecutionState.CANCELLED
    release.set()


async def test_progress_is_shown_while_it_runs_and_kept(
    orchestrator: Orchestrator, sessions: Sessions, store: Store, events: EventBus, clock: FakeClock
) -> None:
    release = asyncio.Event()

    async def reports(execution: Execution, timeout: timedelta) -> TaskOutcome:
        orchestrator.progressed(execution.id, 0.1, "begun\x1b")
        await release.wait()
        orchestrator.progressed(execution.id, 1.0, "sent")
        return SUCCEEDED

    sessions.run = reports
    announced = events.subscribe(ExecutionEvent)
    submitted = await orchestrator.submit(request())
    async with asyncio.timeout(5):
        while (await store.executions.get(submitted.id)).progress is None:
            await asyncio.sleep(0)
    shown = await store.executions.get(submitted.id)
    assert (shown.progress, shown.progress_message) == (0.1, "begun\\x1b")

    for step in range(100):
        orchestrator.progressed(submitted.id, step / 100, "counting")
    clock.advance(seconds=0.25)
    async with asyncio.timeout(5):
        while (await store.executions.get(submitted.id)).progress != 0.99:
            await asyncio.sleep(0)
    release.set()
    ended = await orchestrator.wait(submitted.id)
    orchestrator.progressed(submitted.id, 0.5, "too late")

    assert (ended.progress, ended.progress_message) == (1.0, "sent")
    assert await store.executions.get(submitted.id) == ended
    announced.close()
    seen = [(type(event).__name__, event.execution.progress) async for event in announced]
    assert seen == [
        ("ExecutionAccepted", None),
        ("ExecutionStarted", None),
        ("ExecutionProgressed", 0.1),
        ("ExecutionProgressed", 0.99),
        ("ExecutionEnded", 1.0),
    ]


async def test_what_a_dead_host_had_begun_is_abandoned_and_the_rest_is_taken_up_in_order(
    orchestrator: Orchestrator, store: Store, sessions: Sessions, events: EventBus, clock: FakeClock
) -> None:
    queued = Execution("e-0", "churn", "churn", "1.2.0", "execute", "manual", ExecutionState.QUEUED, clock.now())
    # More than the queue holds: what was accepted once keeps its place.
    waiting = [replace(queued, id=f"e-{number}", input=number) for number in (0, 2, 3, 4, 5)]
    for execution in (*waiting, replace(queued, id="e-1")):
        await store.executions.create(execution)
    await store.executions.started("e-1", at=clock.now(), worker=FACTS)
    announced = events.subscribe(ExecutionEvent)

    (recovered,) = await orchestrator.recover()

    assert (recovered.id, recovered.state, recovered.worker) == ("e-1", "abandoned", FACTS)
    assert await store.executions.get("e-1") == recovered
    assert [execution.id for execution in orchestrator.open_ones("churn")] == [each.id for each in waiting]
    assert await orchestrator.recover() == ()
    assert sessions.ran == []

    orchestrator.resume()
    orchestrator.resume()
    ended = [await orchestrator.wait(execution.id) for execution in waiting]

    assert sessions.ran == [execution.id for execution in waiting]
    assert {(found.state, found.attempt) for found in ended} == {(ExecutionState.SUCCEEDED, 1)}
    assert [found.input for found in ended] == [0, 2, 3, 4, 5]
    announced.close()
    seen = [event.execution.id async for event in announced if isinstance(event, ExecutionEnded)]
    assert seen == ["e-1", *(execution.id for execution in waiting)]


async def test_what_waits_for_a_removed_installation_is_rejected(orchestrator: Orchestrator, store: Store) -> None:
    await store.installations.add(installation("gone"))
    submitted = Execution(
        "e-0", "gone", "churn", "1.2.0", "execute", "manual", ExecutionState.QUEUED, FakeClock().now()
    )
    await store.executions.create(submitted)
    await store.installations.remove("gone")

    (recovered,) = await orchestrator.recover()

    assert recovered.state is ExecutionState.REJECTED
    assert recovered.error is not None
    assert "gone was removed while it waited" in recovered.error.message


async def test_the_timeout_of_the_request_counts_in_the_next_host_too(
    orchestrator: Orchestrator, sessions: Sessions, store: Store, events: EventBus, clock: FakeClock
) -> None:
    given = []

    async def notes(execution: Execution, timeout: timedelta) -> TaskOutcome:
        given.append(timeout)
        return SUCCEEDED

    submitted = await orchestrator.submit(request(timeout=timedelta(seconds=5)))
    await orchestrator.stop()
    sessions.run = notes
    heir = Orchestrator(store, sessions, events, clock=clock)
    await heir.recover()
    heir.resume()

    assert (await heir.wait(submitted.id)).state is ExecutionState.SUCCEEDED
    assert given == [timedelta(seconds=5)]


async def test_stopping_drains_what_runs_and_leaves_what_waits_to_the_next_host(
    orchestrator: Orchestrator, sessions: Sessions, store: Store
) -> None:
    release = asyncio.Event()

    async def waits(execution: Execution, timeout: timedelta) -> TaskOutcome:
        await release.wait()
        return SUCCEEDED

    sessions.run = waits
    running = await orchestrator.submit(request())
    waiting = await orchestrator.submit(request())
    await sessions.until(lambda: bool(sessions.running))
    caller = asyncio.ensure_future(orchestrator.wait(waiting.id))
    await asyncio.sleep(0)

    stopping = asyncio.ensure_future(orchestrator.stop())
    with pytest.raises(ExecutionPostponed, match=f"{waiting.id} is not done, and the host stops"):
        await caller
    rejected = await orchestrator.submit(request())
    assert not stopping.done()
    release.set()
    await stopping
    await orchestrator.stop()

    assert (await store.executions.get(running.id)).state is ExecutionState.SUCCEEDED
    assert await store.executions.get(waiting.id) == waiting
    assert await store.executions.open_ones() == (waiting,)
    with pytest.raises(ExecutionPostponed):
        await orchestrator.wait(waiting.id)
    assert rejected.state is ExecutionState.REJECTED
    assert rejected.error is not None
    assert "The host is stopping" in rejected.error.message


async def test_what_waits_for_its_worker_when_the_host_stops_has_not_begun(
    orchestrator: Orchestrator, sessions: Sessions, store: Store
) -> None:
    sessions.session = lambda name: _NeverReady()  # type: ignore[assignment,return-value]
    submitted = await orchestrator.submit(request())
    for _ in range(5):
        await asyncio.sleep(0)

    await orchestrator.stop()

    assert await store.executions.open_ones() == (submitted,)


async def test_a_second_stop_with_less_time_cuts_the_first_short(
    orchestrator: Orchestrator, sessions: Sessions, store: Store, clock: FakeClock
) -> None:
    sessions.run = forever
    running = await orchestrator.submit(request())
    await sessions.until(lambda: bool(sessions.running))
    first = asyncio.ensure_future(orchestrator.stop(timedelta(hours=1)))
    await asyncio.sleep(0)
    second = asyncio.ensure_future(orchestrator.stop(timedelta(0)))
    await asyncio.sleep(0)
    assert not first.done()
    clock.advance(seconds=0)
    await asyncio.gather(first, second)
    assert (await store.executions.get(running.id)).state is ExecutionState.CANCELLED


async def test_stopping_cancels_what_does_not_end_in_time(
    orchestrator: Orchestrator, sessions: Sessions, store: Store, clock: FakeClock
) -> None:
    sessions.run = forever
    running = await orchestrator.submit(request())
    await sessions.until(lambda: bool(sessions.running))
    stopping = asyncio.ensure_future(orchestrator.stop(timedelta(seconds=3)))
    await asyncio.sleep(0)
    assert not stopping.done()
    clock.advance(seconds=3)
    await stopping
    found = await store.executions.get(running.id)
    assert (found.state, found.error and found.error.type) == (ExecutionState.CANCELLED, "host_stopped")


@pytest.mark.parametrize(
    ("state", "error", "line"),
    [
        (ExecutionState.SUCCEEDED, None, ""),
        (ExecutionState.CANCELLED, ExecutionError("cancelled", "It was cancelled."), ""),
        (ExecutionState.REJECTED, ExecutionError("held", "It is held."), ""),
        (ExecutionState.FAILED, ExecutionError("LookupError", "no users"), "execute failed: LookupError: no users"),
        (ExecutionState.TIMED_OUT, ExecutionError("timed_out", "Too long."), "execute timed out: Too long."),
        (ExecutionState.CRASHED, None, "execute crashed."),
    ],
)
def test_what_failed_is_one_line_for_the_plugins_log(
    state: ExecutionState, error: ExecutionError | None, line: str
) -> None:
    execution = Execution("e-1", "churn", "churn", "1.0", "execute", "manual", state, queued_at=datetime.now(UTC))
    assert outcomes.in_log(replace(execution, error=error)) == line
