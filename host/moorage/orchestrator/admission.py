"""Whether what somebody asks for becomes an execution of this host, and how it gets its place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from moorage.clock import Clock
from moorage.events.bus import EventBus
from moorage.events.events import ExecutionAccepted, ExecutionEnded
from moorage.models.execution import Execution, ExecutionRequest, ExecutionState, TaskOutcome
from moorage.models.installation import Installation, InstallationId
from moorage.models.policy import Overlap
from moorage.orchestrator import outcomes, states
from moorage.orchestrator.dispatcher import Dispatcher
from moorage.orchestrator.errors import KeyTaken
from moorage.orchestrator.identifiers import ExecutionIds
from moorage.orchestrator.job import Job, group_of
from moorage.orchestrator.line import Line
from moorage.orchestrator.policies import PolicyOf
from moorage.orchestrator.presence import Presence
from moorage.orchestrator.queues import Queues
from moorage.orchestrator.triggers.base import NotNow
from moorage.store.errors import StoreFailed
from moorage.store.store import Store


@dataclass
class Admission:
    store: Store
    events: EventBus
    clock: Clock
    presence: Presence
    policy_of: PolicyOf
    queues: Queues
    dispatcher: Dispatcher
    #: Takes one up that is open in the store, this host's, and in no queue.
    inherit: Callable[[Execution], Awaitable[object]]
    #: Finds out later whether one was written down of which the store did not say so.
    make_sure: Callable[[str], None]
    ids: ExecutionIds = field(default_factory=ExecutionIds)

    async def accept(self, request: ExecutionRequest) -> Execution:
        """Returns when it is written down. Raises as the orchestrator's ``submit`` says."""
        if request.key:
            known = await self.store.executions.with_key(request.key)
            if known is not None:
                return await self._found(request, known)
        installation = await self.store.installations.get(request.installation)
        policy = self.policy_of(installation)
        if request.overlap is not None:
            policy = replace(policy, overlap=request.overlap)
        elsewhere = policy.overlap is Overlap.SKIP and await self.store.executions.open_elsewhere(
            installation.id, trigger=request.trigger_id, task=request.task, host=self.presence.host
        )
        execution = self._new(request, installation)
        line = self.queues.line(installation)
        refusal = self._refusal(installation, line, request)
        if refusal is not None:
            if request.patient and refusal.error is not None:
                raise NotNow(refusal.error.message)
            return await self._reject(request, execution, refusal)
        group = group_of(request.trigger_id, request.task)
        if policy.overlap is Overlap.SKIP and (elsewhere or self._overlapping(installation.id, group)):
            line.give_back()
            open_ones = self._overlapping(installation.id, group)
            return await self._reject(request, execution, outcomes.skipped(open_ones[0] if open_ones else ""))
        stored = await self._written(execution, line, group)
        if stored is not execution:
            return await self._found(request, stored)
        job = Job(execution, installation.manifest.limits, policy)
        if policy.overlap is Overlap.REPLACE:
            self._replace(job)
        return self._queue(job)

    async def _written(self, execution: Execution, line: Line, group: str) -> Execution:
        """It, or the one that has its key already."""
        self.queues.coming[execution.id] = (execution.installation, group)
        stored: Execution | None = None
        try:
            stored = await self.store.executions.create(execution)
        except StoreFailed:
            self.make_sure(execution.id)
            raise
        finally:
            del self.queues.coming[execution.id]
            if stored is not execution:
                self._give_back(execution.installation, line)
        return stored

    async def _found(self, request: ExecutionRequest, found: Execution) -> Execution:
        """The execution that has the key of the request."""
        if found.installation != request.installation:
            raise KeyTaken(request, found)
        if not found.state.is_outcome and found.host == self.presence.host and self.presence.works:
            # The store said that it was not written, and it was.
            await self.inherit(found)
        job = self.queues.jobs.get(found.id)
        return found if job is None else job.execution

    async def _reject(self, request: ExecutionRequest, execution: Execution, refusal: TaskOutcome) -> Execution:
        rejected = states.ended(execution, refusal, at=self.clock.now())
        stored = await self.store.executions.create(rejected)
        if stored is not rejected:
            return await self._found(request, stored)
        self.events.announce(ExecutionEnded(rejected.installation, rejected))
        return rejected

    def _queue(self, job: Job) -> Execution:
        execution = job.execution
        if job.id in self.queues.jobs:
            # Another submission of its key has found it in the store and taken it up.
            self._give_back(execution.installation, self.queues.line_of(job))
            return self.queues.jobs[job.id].execution
        self.queues.add(job)
        self.events.announce(ExecutionAccepted(execution.installation, execution))
        called = self.dispatcher.called(job)
        if called is not None:
            self.dispatcher.interrupt(job, called)
        self.queues.begin()
        return execution

    def _replace(self, job: Job) -> None:
        others = [
            other
            for other in self.queues.of(job.execution.installation)
            if other.group == job.group and other.id != job.id
        ]
        self.queues.follow(job, others)
        for other in others:
            self.dispatcher.interrupt(other, outcomes.replaced(job.id), call_off=True)

    def _overlapping(self, installation: InstallationId, group: str) -> list[str]:
        here = [job.id for job in self.queues.of(installation) if job.group == group]
        return here + [each for each, whose in self.queues.coming.items() if whose == (installation, group)]

    def _refusal(self, installation: Installation, line: Line, request: ExecutionRequest) -> TaskOutcome | None:
        """Why it is not accepted; None: it is, and has its place in the queue."""
        refusal = self.presence.refusal or outcomes.refusal(installation)
        if refusal is None and request.patient and line.paused:
            return outcomes.paused(installation.id, line.paused)
        if refusal is None and not line.reserve():
            return outcomes.queue_full(installation.id, line.capacity)
        return refusal

    def _give_back(self, installation: InstallationId, line: Line) -> None:
        line.give_back()
        self.queues.tell_room(installation)

    def _new(self, request: ExecutionRequest, installation: Installation) -> Execution:
        now = self.clock.now()
        return Execution(
            id=self.ids.next(now),
            installation=installation.id,
            plugin=installation.manifest.name,
            version=installation.manifest.version,
            task=request.task,
            trigger=request.trigger,
            state=ExecutionState.QUEUED,
            queued_at=now,
            input=request.input,
            timeout=request.timeout,
            trigger_id=request.trigger_id,
            by=request.by,
            key=request.key,
            retry_of=request.retry_of,
            due_at=request.due_at,
            host=self.presence.host,
            patient=request.patient,
            attempts=request.attempts,
        )
