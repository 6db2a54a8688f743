"""Executions of this host from their place in the queue to their end: begun in their turns, interrupted, let go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from moorage.models.execution import ExecutionState, TaskOutcome
from moorage.orchestrator import outcomes, progress
from moorage.orchestrator.conductor import Conductor, Ending
from moorage.orchestrator.job import Job
from moorage.orchestrator.presence import Presence
from moorage.orchestrator.progress import ProgressWriter
from moorage.orchestrator.queues import Queues
from moorage.orchestrator.recorder import Recorder
from moorage.owned import OwnedTasks


@dataclass
class Dispatcher:
    presence: Presence
    queues: Queues
    conductor: Conductor
    recorder: Recorder
    progress: ProgressWriter
    #: Who holds a task for each that runs, or whose end is recorded.
    tasks: OwnedTasks
    #: Told of one that was disowned, and that this host may have again.
    reclaim: Callable[[str], None]
    _followed: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    def start(self, job: Job) -> None:
        """Its turn has come."""
        self.tasks.start(self._conduct(job), f"execution {job.id}")

    def called(self, job: Job) -> TaskOutcome | None:
        """What it is to end with at once, instead of waiting for its turn."""
        return job.interruption.result() if job.interruption.done() else self.presence.call

    def interrupt(self, job: Job, outcome: TaskOutcome, *, call_off: bool = False) -> None:
        """``call_off``: it has no further attempt, even if this one ends otherwise first."""
        job.called_off = job.called_off or call_off
        if self.queues.withdraw(job):
            self.tasks.start(self._drop(job, outcome), f"execution {job.id}")
        else:
            job.interrupt(outcome)

    def interrupt_all(self) -> None:
        """The host stops, and does not wait any longer."""
        for job in self.queues.of():
            self.interrupt(job, outcomes.cancelled_by_stop() if job.running else outcomes.postponed())

    def postpone_all(self) -> None:
        """What has not begun is left to the next host."""
        self._let_go(self.recorder.postpone)
        for job in self.queues.of():
            if not job.running:
                self.interrupt(job, outcomes.postponed())

    def disown_all(self) -> None:
        self._let_go(self.recorder.disown)
        for job in self.queues.of():
            self.interrupt(job, outcomes.DISOWNED)

    def follow(self, job: Job, fraction: float, message: str) -> None:
        """A running task reports; the newest report counts."""
        progress.reported(job, fraction, message)
        if job.id not in self._followed:
            self._followed[job.id] = self.tasks.start(self._follow(job), f"progress {job.id}")

    async def _follow(self, job: Job) -> None:
        try:
            await self.progress.follow(job)
        finally:
            self._followed.pop(job.id, None)

    async def _conduct(self, job: Job) -> None:
        ending = Ending.OVER
        try:
            ending = await self.conductor.conduct(job)
        finally:
            self._after(job, ending)

    def _after(self, job: Job, ending: Ending) -> None:
        if ending is Ending.OVER:
            self.queues.stopped(job)
            self._leave(job)
            return
        called = self.called(job)
        if called is not None:
            self.queues.stopped(job)
            self.tasks.start(self._drop(job, called), f"execution {job.id}")
        elif ending is Ending.AGAIN:
            self.queues.again(job)
        else:
            self.queues.hinder(job)

    def _let_go(self, each: Callable[[Job], None]) -> None:
        """What waits stays in the store as it is: there may be very many, and nothing is to be written."""
        waiting = [job for job in self.queues.of() if self.queues.withdraw(job)]
        for job in waiting:
            each(job)
            self._leave(job)

    async def _drop(self, job: Job, outcome: TaskOutcome) -> None:
        """It left the queue before its turn."""
        try:
            if outcome is outcomes.DISOWNED:
                self.recorder.disown(job)
            elif outcome.state is ExecutionState.QUEUED:
                await self.recorder.put_back(job)
            else:
                await self.recorder.outcome(job, outcome)
        finally:
            self._leave(job)

    def _leave(self, job: Job) -> None:
        """Nothing is left to do for it here."""
        follower = self._followed.pop(job.id, None)
        if follower is not None:
            follower.cancel()
        self.queues.leave(job)
        if self.presence.works and job.disowned:
            # The lease is back already, and it may be this host's after all.
            self.reclaim(job.id)
