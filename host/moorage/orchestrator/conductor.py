"""One attempt of an execution, from its turn in the queue to what came of it.

The work is done in a task of its own, so that what interrupts it (a person, its timeout, the host's stop) is told to it
and not to the one who must record how it ended. Whatever raises, wherever it is cancelled: there is one outcome.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from moorage.clock import Clock, sleep
from moorage.events.bus import EventBus
from moorage.events.events import ExecutionStarted
from moorage.models.execution import ExecutionState, TaskOutcome
from moorage.orchestrator import outcomes, retries, states
from moorage.orchestrator.job import Job
from moorage.orchestrator.recorder import Recorder
from moorage.orchestrator.session import SessionSource, WorkerSession
from moorage.owned import OwnedTasks
from moorage.store.executions import Executions

log = logging.getLogger(__name__)

#: How long interrupted work may take to end before its outcome is recorded without it.
GRACE = timedelta(seconds=15)

#: Whether the work of an execution is noted as committed in a database. Raises when that cannot be asked.
Committed = Callable[[str], Awaitable[bool]]


async def nothing_noted(_: str) -> bool:
    """Where no database notes commits."""
    return False


class NotQueued(Exception):
    """Somebody gave it an outcome, or took it back, before it began; it must not run."""


class Ending(Enum):
    """What came of an attempt."""

    #: Nothing is left to do for it in this host: its outcome is recorded, or is the store's or another host's to say.
    OVER = "over"
    #: It is queued for its next attempt.
    AGAIN = "again"
    #: It did not begin, because its installation may not run; it waits.
    NOT_NOW = "not now"


@dataclass(frozen=True)
class Conductor:
    executions: Executions
    sessions: SessionSource
    events: EventBus
    clock: Clock
    #: Who holds the tasks in which the work is done. One that ignores its cancellation may outlive its execution.
    works: OwnedTasks
    recorder: Recorder
    committed: Committed = nothing_noted

    async def conduct(self, job: Job) -> Ending:
        """Returns when what came of it is recorded, or cannot be: then ``job.recorded`` holds the store's error.

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
        job.renew()
        ending = await self._settle(job, outcome, ended=work.done())
        if cancelled:
            raise asyncio.CancelledError
        return ending

    async def _settle(self, job: Job, outcome: TaskOutcome, *, ended: bool) -> Ending:
        if outcome is outcomes.DISOWNED:
            self.recorder.disown(job)
        elif outcome.state is ExecutionState.QUEUED and outcome.error is not None:
            job.hindrance = outcome.error.message
            return Ending.NOT_NOW
        elif outcome.state is ExecutionState.QUEUED:
            await self.recorder.put_back(job)
        else:
            # Of one whose work goes on nobody knows when another try would not meet it.
            delay = retries.after(job.execution, outcome, job.policy) if ended and not job.called_off else None
            if delay is None:
                await self.recorder.outcome(job, outcome)
            elif await self.recorder.again(job, outcome, delay):
                return Ending.AGAIN
        return Ending.OVER

    async def _work(self, job: Job) -> TaskOutcome:
        outcome: TaskOutcome | None = None
        try:
            if job.execution.attempt > 1 and await self.committed(job.id):
                # The answer to the commit of the attempt before was lost; it must not be done twice.
                return outcomes.committed()
            async with self.sessions.session(job.execution.installation) as session:
                await self._begin(job, session)
                outcome = await self._run(job, session)
        except asyncio.CancelledError:
            if outcome is None:
                raise
        except Exception as error:
            if outcome is None:
                log.info("%s: %s", job.id, error)
                if outcomes.waits(error, job.execution) and not job.running:
                    return outcomes.not_now(str(error))
                return outcomes.from_error(error, running=job.running)
            log.exception("%s: its session did not end well", job.id)
        if outcome is None or not outcome.state.is_outcome or not states.may_follow(job.execution.state, outcome.state):
            return outcomes.impossible(job.execution.state if outcome is None else outcome.state)
        if outcome.state is ExecutionState.FAILED and await self._committed_meanwhile(job):
            return outcomes.committed()
        return outcome

    async def _committed_meanwhile(self, job: Job) -> bool:
        """By an attempt before, on a host that only seemed dead: its database has refused this one's commit then."""
        try:
            return job.execution.attempt > 1 and await self.committed(job.id)
        except Exception as error:  # noqa: BLE001 - whatever a database's driver raises, it was not asked
            log.warning("%s: whether an attempt before has committed could not be asked: %s", job.id, error)
            return False

    async def _run(self, job: Job, session: WorkerSession) -> TaskOutcome:
        try:
            return await session.run_task(job.execution, job.timeout)
        finally:
            job.use = session.use_of(job.id)

    async def _begin(self, job: Job, session: WorkerSession) -> None:
        running = states.started(job.execution, at=self.clock.now(), worker=session.facts)
        assert running.started_at is not None
        began = await self.executions.started(
            job.id, at=running.started_at, worker=session.facts, host=job.execution.host
        )
        if not began and not await self._began_before(job):
            raise NotQueued
        if job.interruption.done():
            # Its task is not called any more: whatever stopped it was there first.
            raise NotQueued
        job.execution = running
        self.events.announce(ExecutionStarted(running.installation, running))
        job.interrupt_after(self.clock, job.timeout, outcomes.timed_out(job.timeout))

    async def _began_before(self, job: Job) -> bool:
        """Whether its beginning was written when the store said that it was not."""
        mine, stored = job.execution, await self.executions.get(job.id)
        return (stored.state, stored.attempt, stored.host) == (ExecutionState.RUNNING, mine.attempt, mine.host)

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


def _result(work: asyncio.Task[TaskOutcome]) -> TaskOutcome | None:
    """None: it was cancelled, or has not ended."""
    return work.result() if work.done() and not work.cancelled() else None
