"""One execution from its turn in the queue to its recorded outcome.

The work is done in a task of its own, so that what interrupts it (a person, its timeout, the host's stop) is told to it
and not to the one who must record how it ended. Whatever raises, wherever it is cancelled: there is one outcome.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from moorage.clock import Clock, sleep
from moorage.errors import ExitCode, Invalid, MoorageError
from moorage.events.bus import EventBus
from moorage.events.events import ExecutionEnded, ExecutionStarted
from moorage.models.execution import Execution, ExecutionState, TaskOutcome
from moorage.models.installation import InstallationId
from moorage.orchestrator import outcomes, states
from moorage.orchestrator.job import Job
from moorage.orchestrator.session import SessionSource, WorkerSession
from moorage.owned import OwnedTasks
from moorage.store.errors import StoreFailed
from moorage.store.executions import Executions
from moorage.telemetry.plain import neutralise

log = logging.getLogger(__name__)

#: How long interrupted work may take to end before its outcome is recorded without it.
GRACE = timedelta(seconds=15)

#: Waits between attempts to record an outcome, while the store fails.
RECORD_DELAYS = tuple(timedelta(seconds=seconds) for seconds in (0.05, 0.2, 1, 5, 20))


class NotQueued(Exception):
    """Somebody gave it an outcome, or took it back, before it began; it must not run."""


class ExecutionPostponed(MoorageError):
    """Told to whoever waits for an execution that this host will not begin any more."""

    code = "execution_postponed"
    exit_code = ExitCode.UNAVAILABLE
    http_status = 503

    def __init__(self, execution: str) -> None:
        super().__init__(
            f"{execution} has not begun, and the host stops. It stays queued, and runs when the host is back; see: "
            f"moorage execution {execution}"
        )
        self.execution = execution


def _nobody(_: Execution) -> None:
    """Outcomes are announced all the same."""


def harmless(_: InstallationId, text: str) -> str:
    return neutralise(text)


@dataclass(frozen=True)
class Conductor:
    executions: Executions
    sessions: SessionSource
    events: EventBus
    clock: Clock
    #: Who holds the tasks in which the work is done. One that ignores its cancellation may outlive its execution.
    works: OwnedTasks
    #: Told of each outcome after it was recorded: for the plugin's log.
    tell: Callable[[Execution], None] = _nobody
    #: A text of an installation's as people may see it.
    plain: Callable[[InstallationId, str], str] = harmless

    async def conduct(self, job: Job) -> None:
        """Returns when its outcome is recorded, or cannot be: then ``job.recorded`` holds the store's error.

        One that was postponed before its task was called is queued again instead.
        """
        patience = job.worker_patience
        job.interrupt_after(self.clock, patience, outcomes.no_worker(job.execution.installation, patience))
        work = self.works.start(self._work(job), f"work {job.id}")
        cancelled = False
        try:
            await asyncio.wait((work, job.interruption), return_when=asyncio.FIRST_COMPLETED)
            outcome = await self._conclude(job, work)
        except asyncio.CancelledError:
            # Only the end of the event loop does that; the owner of this task uses `interruption`.
            cancelled = True
            work.cancel()
            stopped = outcomes.cancelled_by_stop() if job.running else outcomes.postponed()
            outcome = outcomes.after_interruption(stopped, _result(work))
        job.silence()
        if outcome.state is ExecutionState.QUEUED:
            await self.put_back(job)
        else:
            await self.record(job, outcome)
        if cancelled:
            raise asyncio.CancelledError

    async def record(self, job: Job, outcome: TaskOutcome) -> None:
        """Writes the outcome, then announces it. Settles ``job.recorded``."""
        try:
            await self._record(job, outcome)
        except Exception as error:  # noqa: BLE001 - whoever waits for the outcome is told, whatever the store raised
            log.error("%s: its outcome %s was not recorded: %s", job.id, outcome.state, error)
            job.recorded.set_exception(error)
            # Nobody may be waiting.
            job.recorded.exception()
        finally:
            if not job.recorded.done():
                job.recorded.cancel()

    async def put_back(self, job: Job) -> None:
        """Leaves it to the next host, and tells who waits for it."""
        try:
            await self.executions.requeued(job.id)
        except MoorageError as error:
            log.error("%s: it has not begun, and could not be queued again: %s", job.id, error)
        job.recorded.set_exception(ExecutionPostponed(job.id))
        # Nobody may be waiting.
        job.recorded.exception()

    async def _work(self, job: Job) -> TaskOutcome:
        outcome: TaskOutcome | None = None
        try:
            async with self.sessions.session(job.execution.installation) as session:
                await self._begin(job, session)
                outcome = await session.run_task(job.execution, job.timeout)
        except asyncio.CancelledError:
            if outcome is None:
                raise
        except Exception as error:
            if outcome is None:
                log.info("%s: %s", job.id, error)
                return outcomes.from_error(error, running=job.running)
            log.exception("%s: its session did not end well", job.id)
        if outcome is None or not states.may_follow(job.execution.state, outcome.state):
            return outcomes.impossible(job.execution.state if outcome is None else outcome.state)
        return outcome

    async def _begin(self, job: Job, session: WorkerSession) -> None:
        running = states.started(job.execution, at=self.clock.now(), worker=session.facts)
        assert running.started_at is not None
        if not await self.executions.started(job.id, at=running.started_at, worker=session.facts):
            raise NotQueued
        if job.interruption.done():
            # Its task is not called any more: whatever stopped it was there first.
            raise NotQueued
        job.execution = running
        self.events.announce(ExecutionStarted(running.installation, running))
        job.interrupt_after(self.clock, job.timeout, outcomes.timed_out(job.timeout))

    async def _conclude(self, job: Job, work: asyncio.Task[TaskOutcome]) -> TaskOutcome:
        if not work.done():
            work.cancel()
            await self._wait_for(work)
        worked = _result(work)
        if job.interruption.done():
            return outcomes.after_interruption(job.interruption.result(), worked)
        return worked or outcomes.cancelled("")

    async def _wait_for(self, work: asyncio.Task[TaskOutcome]) -> None:
        grace = asyncio.ensure_future(sleep(self.clock, GRACE))
        try:
            await asyncio.wait((work, grace), return_when=asyncio.FIRST_COMPLETED)
        finally:
            grace.cancel()
        if not work.done():
            log.error(
                "%s: goes on %s after it was cancelled; its outcome is recorded without it", work.get_name(), GRACE
            )

    async def _record(self, job: Job, outcome: TaskOutcome) -> None:
        clean = partial(self.plain, job.execution.installation)
        ended = states.ended(job.execution, outcomes.cleaned(outcome, clean), at=self.clock.now())
        delays = iter(RECORD_DELAYS)
        while True:
            try:
                return await self._finish(job, ended)
            except Invalid as error:
                if ended.result is None:
                    raise
                ended = states.ended(job.execution, outcomes.not_storable(str(error)), at=self.clock.now())
            except Exception as error:
                delay = next(delays, None)
                if delay is None:
                    if isinstance(error, StoreFailed):
                        self.works.start(self._finish_later(job, ended), f"outcome of {job.id}")
                    raise
                log.warning("%s: recording its outcome failed, and is tried again: %s", job.id, error)
                await sleep(self.clock, delay)

    async def _finish_later(self, job: Job, ended: Execution) -> None:
        """Nobody waits any more; but left as it is, it would be said to run until the next host calls it abandoned."""
        while True:
            await sleep(self.clock, RECORD_DELAYS[-1])
            try:
                if await self.executions.finished(ended):
                    self.tell(ended)
                    self.events.announce(ExecutionEnded(ended.installation, ended))
                    log.warning("%s: its outcome %s is recorded at last", job.id, ended.state)
            except StoreFailed:
                continue
            except Exception as error:  # noqa: BLE001 - the store is closed: the next host says what became of it
                log.error("%s: its outcome %s is lost: %s", job.id, ended.state, error)
            return

    async def _finish(self, job: Job, ended: Execution) -> None:
        if await self.executions.finished(ended):
            job.execution = ended
            self.tell(ended)
            self.events.announce(ExecutionEnded(ended.installation, ended))
        else:
            # The outcome that was there first stands, whoever recorded it.
            job.execution = await self.executions.get(job.id)
        job.recorded.set_result(job.execution)


def _result(work: asyncio.Task[TaskOutcome]) -> TaskOutcome | None:
    """None: it was cancelled, or has not ended."""
    return work.result() if work.done() and not work.cancelled() else None
