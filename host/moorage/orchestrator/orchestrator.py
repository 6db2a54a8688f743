"""The door: whoever wants something run comes here, and whoever asks how it ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

from moorage.clock import Clock, SystemClock
from moorage.events.bus import EventBus
from moorage.events.events import ExecutionAccepted, ExecutionEnded
from moorage.models.execution import Execution, ExecutionRequest, ExecutionState, TaskOutcome
from moorage.models.installation import Installation, InstallationId
from moorage.orchestrator import outcomes, progress, states
from moorage.orchestrator.conductor import Conductor, ExecutionPostponed, harmless
from moorage.orchestrator.identifiers import ExecutionIds
from moorage.orchestrator.job import Job
from moorage.orchestrator.line import Line
from moorage.orchestrator.session import SessionSource
from moorage.owned import OwnedTasks
from moorage.store.store import Store

#: Executions of one installation that may wait.
QUEUE_CAPACITY = 1_000

#: How long running work may go on when the host stops.
DRAIN = timedelta(seconds=10)


class Orchestrator:
    """The one writer of executions. Each is written down before its work begins, and ends in one recorded outcome.

    All methods are called on the event loop's thread. Cancelling a caller never cancels an execution.
    """

    def __init__(
        self,
        store: Store,
        sessions: SessionSource,
        events: EventBus,
        *,
        clock: Clock | None = None,
        queue_capacity: int = QUEUE_CAPACITY,
        tell: Callable[[Execution], None] | None = None,
        plain: Callable[[InstallationId, str], str] = harmless,
    ) -> None:
        """``tell`` is called with each execution that has got its outcome, after that was recorded. ``plain`` gives a
        text of an installation's as people may see it: harmless, and without its secrets.
        """
        self._store = store
        self._events = events
        self._clock = clock or SystemClock()
        self._queue_capacity = queue_capacity
        self._plain = plain
        self._conductor = Conductor(store.executions, sessions, events, self._clock, OwnedTasks(), plain=plain)
        if tell is not None:
            self._conductor = replace(self._conductor, tell=tell)
        self._progress = progress.ProgressWriter(store.executions, events, self._clock)
        self._ids = ExecutionIds()
        self._lines: dict[InstallationId, Line] = {}
        self._jobs: dict[str, Job] = {}
        self._tasks = OwnedTasks()
        self._followed: dict[str, asyncio.Task[None]] = {}
        self._stopping = False

    async def recover(self) -> tuple[Execution, ...]:
        """Takes up what the host before left open; to be called before anything is submitted.

        What it had begun is abandoned. What it had not begun waits again, in the same order, as the same execution; its
        turn comes with ``resume``. Returns those that got an outcome.
        """
        found = []
        for execution in await self._store.executions.open_ones():
            if execution.id in self._jobs:
                continue
            outcome = outcomes.abandoned()
            if execution.state is ExecutionState.QUEUED:
                installation = await self._store.installations.find(execution.installation)
                if installation is not None:
                    self._take_up(execution, installation)
                    continue
                outcome = outcomes.installation_gone(execution.installation)
            ended = states.ended(execution, outcome, at=self._clock.now())
            if await self._store.executions.finished(ended):
                self._events.announce(ExecutionEnded(ended.installation, ended))
                found.append(ended)
        return tuple(found)

    def resume(self) -> None:
        """Begins what was taken up, once the installations are as they should be. May be called twice."""
        for installation in tuple(self._lines):
            self._begin(installation)

    async def submit(self, request: ExecutionRequest) -> Execution:
        """Accepts it, and returns when it is written down: queued, or rejected with the reason.

        Raises InstallationUnknown, NotStorable (of the input) and StoreFailed; there is no execution then.
        """
        return await asyncio.shield(self._tasks.start(self._accept(request), f"accept {request.installation}"))

    async def run(self, request: ExecutionRequest) -> Execution:
        """Submits, and returns when there is an outcome. Raises what ``submit`` and ``wait`` raise."""
        return await self.wait((await self.submit(request)).id)

    async def wait(self, execution_id: str) -> Execution:
        """Returns when it has its outcome.

        Raises ExecutionUnknown; ExecutionPostponed when the host stops before it has begun; StoreFailed when the
        outcome could not be recorded.
        """
        job = self._jobs.get(execution_id)
        if job is None:
            stored = await self._store.executions.get(execution_id)
            if self._stopping and not stored.state.is_outcome:
                raise ExecutionPostponed(execution_id)
            return stored
        return await asyncio.shield(job.recorded)

    async def cancel(self, execution_id: str, *, by: str = "") -> Execution:
        """Returns with its outcome: cancelled, or the one that it had or reached first.

        Raises as ``wait``.
        """
        job = self._jobs.get(execution_id)
        if job is not None:
            self._interrupt(job, outcomes.cancelled(by))
        return await self.wait(execution_id)

    def progressed(self, execution_id: str, fraction: float, message: str) -> None:
        """A running task reports what part of it is done, 0.0 to 1.0. Returns at once; the newest report counts."""
        job = self._jobs.get(execution_id)
        if job is None or not job.running:
            return
        progress.reported(job, fraction, self._plain(job.execution.installation, message))
        if execution_id not in self._followed:
            follower = self._tasks.start(self._follow(job), f"progress {execution_id}")
            self._followed[execution_id] = follower

    @contextlib.contextmanager
    def held(self, installation: InstallationId, execution_id: str = "") -> Iterator[None]:
        """The time of an execution stands still, or of all of an installation: a developer looks into its plugin."""
        with contextlib.ExitStack() as holds:
            for job in tuple(self._jobs.values()):
                if job.id == execution_id or (not execution_id and job.execution.installation == installation):
                    holds.enter_context(job.held(self._clock))
            yield

    def open_ones(self, installation: InstallationId | None = None) -> tuple[Execution, ...]:
        """Queued and running ones of this host, oldest first."""
        return tuple(job.execution for job in self._jobs.values() if installation in (None, job.execution.installation))

    async def stop(self, drain: timedelta = DRAIN) -> None:
        """Rejects what comes, leaves what has not begun to the next host, lets what runs go on for so long, and cancels
        the rest.

        Returns when each has its outcome or is queued in the store. May be called again, with less time.
        """
        self._stopping = True
        for job in tuple(self._jobs.values()):
            if not job.running:
                self._interrupt(job, outcomes.postponed())
        alarm = self._clock.call_later(drain, self._interrupt_all)
        try:
            await self._tasks.settled()
        finally:
            alarm.cancel()
            self._interrupt_all()

    async def _accept(self, request: ExecutionRequest) -> Execution:
        installation = await self._store.installations.get(request.installation)
        execution = self._new(request, installation)
        line = self._line(installation)
        refusal = self._refusal(installation, line)
        if refusal is not None:
            rejected = states.ended(execution, refusal, at=self._clock.now())
            await self._store.executions.create(rejected)
            self._events.announce(ExecutionEnded(rejected.installation, rejected))
            return rejected
        try:
            await self._store.executions.create(execution)
        except BaseException:
            line.give_back()
            raise
        return self._queue(Job(execution, installation.manifest.limits), line)

    def _queue(self, job: Job, line: Line) -> Execution:
        execution = job.execution
        self._jobs[job.id] = job
        line.add(job.id)
        self._events.announce(ExecutionAccepted(execution.installation, execution))
        if self._stopping:
            self._interrupt(job, outcomes.postponed())
        self._begin(execution.installation)
        return execution

    def _take_up(self, execution: Execution, installation: Installation) -> None:
        self._jobs[execution.id] = Job(execution, installation.manifest.limits)
        self._line(installation).restore(execution.id)

    def _refusal(self, installation: Installation, line: Line) -> TaskOutcome | None:
        if self._stopping:
            return outcomes.host_stopping()
        refusal = outcomes.refusal(installation)
        if refusal is None and not line.reserve():
            return outcomes.queue_full(installation.id, line.capacity)
        return refusal

    def _new(self, request: ExecutionRequest, installation: Installation) -> Execution:
        now = self._clock.now()
        return Execution(
            id=self._ids.next(now),
            installation=installation.id,
            plugin=installation.manifest.name,
            version=installation.manifest.version,
            task=request.task,
            trigger=request.trigger,
            state=ExecutionState.QUEUED,
            queued_at=now,
            input=request.input,
            timeout=request.timeout,
        )

    def _line(self, installation: Installation) -> Line:
        concurrency = installation.manifest.limits.concurrency
        line = self._lines.get(installation.id)
        if line is None:
            line = self._lines[installation.id] = Line(capacity=self._queue_capacity, concurrency=concurrency)
        line.concurrency = concurrency
        return line

    def _begin(self, installation: InstallationId) -> None:
        for execution_id in self._lines[installation].begin():
            self._tasks.start(self._conduct(self._jobs[execution_id]), f"execution {execution_id}")

    async def _conduct(self, job: Job) -> None:
        try:
            await self._conductor.conduct(job)
        finally:
            self._leave(job)

    def _leave(self, job: Job) -> None:
        """It has its outcome: the next one's turn."""
        installation = job.execution.installation
        del self._jobs[job.id]
        follower = self._followed.pop(job.id, None)
        if follower is not None:
            follower.cancel()
        self._lines[installation].done(job.id)
        self._begin(installation)

    def _interrupt(self, job: Job, outcome: TaskOutcome) -> None:
        if self._lines[job.execution.installation].remove(job.id):
            self._tasks.start(self._drop(job, outcome), f"execution {job.id}")
        else:
            job.interrupt(outcome)

    async def _drop(self, job: Job, outcome: TaskOutcome) -> None:
        """It left the queue before its turn."""
        try:
            if outcome.state is ExecutionState.QUEUED:
                await self._conductor.put_back(job)
            else:
                await self._conductor.record(job, outcome)
        finally:
            self._leave(job)

    def _interrupt_all(self) -> None:
        for job in tuple(self._jobs.values()):
            self._interrupt(job, outcomes.cancelled_by_stop() if job.running else outcomes.postponed())

    async def _follow(self, job: Job) -> None:
        try:
            await self._progress.follow(job)
        finally:
            self._followed.pop(job.id, None)
