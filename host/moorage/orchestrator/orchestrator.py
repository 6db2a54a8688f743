"""The door: whoever wants something run comes here, and whoever asks how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import replace
from datetime import timedelta

from moorage.clock import Clock, SystemClock, sleep
from moorage.events.bus import EventBus
from moorage.events.events import (
    DesiredChanged,
    ExecutionAccepted,
    ExecutionEnded,
    GrantsChanged,
    Installed,
    Loaded,
    Missed,
    Removed,
)
from moorage.models.execution import Execution, ExecutionRequest, ExecutionState, TaskOutcome
from moorage.models.installation import Installation, InstallationId
from moorage.models.policy import Overlap
from moorage.orchestrator import outcomes, progress, states
from moorage.orchestrator.conductor import Committed, Conductor, Ending, nothing_noted
from moorage.orchestrator.errors import ExecutionOpen, KeyTaken, RunsElsewhere
from moorage.orchestrator.identifiers import ExecutionIds
from moorage.orchestrator.job import Job, group_of
from moorage.orchestrator.line import Line
from moorage.orchestrator.policies import PolicyOf, declared_policy
from moorage.orchestrator.queues import Queues
from moorage.orchestrator.recorder import Disowned, ExecutionPostponed, Recorder, harmless, nobody
from moorage.orchestrator.recovery import Recovery
from moorage.orchestrator.session import SessionSource
from moorage.orchestrator.triggers.base import NotNow
from moorage.owned import OwnedTasks
from moorage.store.errors import StoreFailed
from moorage.store.store import Store

log = logging.getLogger(__name__)

#: How long running work may go on when the host stops.
DRAIN = timedelta(seconds=10)

#: Longest that ``room`` waits; whoever waits looks for itself then.
ROOM_PATIENCE = timedelta(seconds=30)

#: Between two looks at an execution that another host has.
LOOK_DELAYS = tuple(timedelta(seconds=seconds) for seconds in (0.2, 0.5, 1, 2))

#: Executions that are read at once when they are taken up: their inputs may be large.
PAGE = 500

#: Between two tries to take up an execution while the store fails.
TAKE_UP_DELAY = timedelta(seconds=5)


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
        host: str = "",
        policy_of: PolicyOf = declared_policy,
        concurrency: int | None = None,
        committed: Committed = nothing_noted,
        tell: Callable[[Execution], None] = nobody,
        plain: Callable[[InstallationId, str], str] = harmless,
    ) -> None:
        """``host``: its id among the hosts of the store. ``concurrency``: executions at one time, of all installations
        together. ``committed``: whether a database has noted the commit of an execution. ``tell`` is called with each
        attempt and execution that has ended, after that was recorded. ``plain`` gives a text of an installation's as
        people may see it: harmless, and without its secrets.
        """
        self._store = store
        self._executions = store.executions
        self._events = events
        self._clock = clock or SystemClock()
        self._host = host
        self._policy_of = policy_of
        self._plain = plain
        #: Recovery asks databases, which may take long; where there is none to ask, it is done at once.
        self._asks = committed is not nothing_noted
        works = OwnedTasks()
        recorder = Recorder(self._executions, events, self._clock, works, tell, plain)
        self._recorder = recorder
        self._conductor = Conductor(self._executions, sessions, events, self._clock, works, recorder, committed)
        self._recovery = Recovery(self._executions, events, self._clock, committed, tell)
        self._progress = progress.ProgressWriter(self._executions, events, self._clock)
        self._queues = Queues(self._clock, policy_of, concurrency, self._start)
        self._ids = ExecutionIds()
        #: Being written down: by id, whose they are, and what they overlap with.
        self._coming: dict[str, tuple[InstallationId, str]] = {}
        self._tasks = OwnedTasks()
        self._followed: dict[str, asyncio.Task[None]] = {}
        #: By execution: of those that ran on a host that died.
        self._judging: dict[str, asyncio.Task[None]] = {}
        self._watching: asyncio.Task[None] | None = None
        self._stopping = False
        self._leased = True
        #: Between ``recover`` and ``resume`` what was taken up waits.
        self._recovering = False

    # -- what people, triggers and applications ask ----------------------------------------------------------------

    async def submit(self, request: ExecutionRequest) -> Execution:
        """Accepts it, and returns when it is written down: queued, or rejected with the reason. With a key that was
        used before, the execution that has the key, as it is now.

        Raises NotNow of a patient one that cannot be taken at present, InstallationUnknown, KeyTaken, NotStorable (of
        the input) and StoreFailed; there is no execution then.
        """
        self._watch()
        return await asyncio.shield(self._tasks.start(self._accept(request), f"accept {request.installation}"))

    async def run(self, request: ExecutionRequest) -> Execution:
        """Submits, and returns when there is an outcome. Raises what ``submit`` and ``wait`` raise."""
        return await self.wait((await self.submit(request)).id)

    async def room(self, installation: InstallationId) -> None:
        """Returns when a patient submission of it may be tried again: its queue has room, and it may run; or after
        ``ROOM_PATIENCE``. May be cancelled at any time.
        """
        over = asyncio.ensure_future(sleep(self._clock, ROOM_PATIENCE))
        try:
            while not over.done():
                change = self._queues.rooms.enter(installation)
                try:
                    if await self._has_room(installation):
                        return
                    await asyncio.wait((change, over), return_when=asyncio.FIRST_COMPLETED)
                except asyncio.CancelledError:
                    # It may have been woken already, in place of another.
                    self._queues.tell_room(installation)
                    raise
                finally:
                    self._queues.rooms.leave(installation, change)
        finally:
            over.cancel()

    async def wait(self, execution_id: str) -> Execution:
        """Returns when it has its outcome, whichever host has it.

        Raises ExecutionUnknown; ExecutionPostponed when the host stops before; StoreFailed when the outcome could not
        be recorded.
        """
        looked = 0
        while True:
            job = self._queues.jobs.get(execution_id)
            if job is not None:
                with contextlib.suppress(Disowned):
                    return await asyncio.shield(job.recorded)
            stored = await self._executions.get(execution_id)
            if stored.state.is_outcome:
                return stored
            if self._stopping:
                raise ExecutionPostponed(execution_id)
            if execution_id not in self._queues.jobs or job is not None:
                await sleep(self._clock, LOOK_DELAYS[min(looked, len(LOOK_DELAYS) - 1)])
                looked += 1

    async def cancel(self, execution_id: str, *, by: str = "") -> Execution:
        """Returns with its outcome: cancelled, or the one that it had or reached first.

        Raises as ``wait``, and RunsElsewhere.
        """
        job = self._queues.jobs.get(execution_id)
        if job is not None:
            self._interrupt(job, outcomes.cancelled(by), call_off=True)
        else:
            await self._cancel_stored(execution_id, by)
        return await self.wait(execution_id)

    async def retry(self, execution_id: str, *, by: str = "") -> Execution:
        """A new execution of the same task with the same input; returns as ``submit``.

        Raises ExecutionUnknown, ExecutionOpen, and what ``submit`` raises.
        """
        ended = await self._executions.get(execution_id)
        if not ended.state.is_outcome:
            raise ExecutionOpen(ended)
        request = ExecutionRequest(
            ended.installation,
            ended.task,
            ended.input,
            timeout=ended.timeout,
            attempts=ended.attempts,
            by=by,
            retry_of=ended.id,
        )
        return await self.submit(request)

    def progressed(self, execution_id: str, fraction: float, message: str) -> None:
        """A running task reports what part of it is done, 0.0 to 1.0. Returns at once; the newest report counts."""
        job = self._queues.jobs.get(execution_id)
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
            for job in self._queues.of(installation if not execution_id else None):
                if execution_id in ("", job.id):
                    holds.enter_context(job.held(self._clock))
            yield

    def open_ones(self, installation: InstallationId | None = None) -> tuple[Execution, ...]:
        """Queued and running ones of this host, oldest first."""
        return tuple(job.execution for job in self._queues.of(installation))

    # -- lines -----------------------------------------------------------------------------------------------------

    def pause_line(self, installation: InstallationId, reason: str) -> None:
        """Its patient executions wait, and no further ones are taken, until ``resume`` with its name. Others have their
        turn, and are rejected if it may not run.
        """
        self._queues.pause(installation, reason)

    def resume(self, installation: InstallationId | None = None) -> None:
        """Begins what was taken up, once the installations are as they should be; with a name, what waits of that
        installation because it could not run. May be called twice.
        """
        if installation is not None:
            self._queues.resume(installation)
            return
        self._recovering = False
        self._queues.look_at_all()

    async def reconsider(self, installation: InstallationId) -> None:
        """Its policy has changed: what waits begins by the new one, now. Raises StoreFailed."""
        found = await self._store.installations.find(installation)
        if found is not None:
            self._queues.line(found)
            self._queues.unhinder(installation)

    # -- hosts -----------------------------------------------------------------------------------------------------

    async def recover(self) -> tuple[Execution, ...]:
        """Takes up what this host left open when it died; to be called before anything is submitted.

        What it had not begun waits again, in the same order, as the same execution; its turn comes with ``resume``.
        What ran is judged: committed, tried again, or abandoned; in the background where databases are to be asked.
        Returns those that got an outcome before this returns.
        """
        self._watch()
        self._recovering = True
        return await self._take_over(("", self._host))

    async def take_over(self, dead: Iterable[str]) -> None:
        """Takes up what these hosts had: as ``recover``. Of several hosts that do so, each execution goes to one."""
        await self._take_over(tuple(set(dead) - {self._host}))

    def lease_lost(self) -> None:
        """Others may have what is this host's: it begins nothing, and cancels what runs without a word of how it ended.

        May be called twice.
        """
        self._leased = False
        self._stop_judging()
        self._let_go(self._recorder.disown)
        for job in self._queues.of():
            self._interrupt(job, outcomes.DISOWNED)

    async def lease_regained(self) -> None:
        """Takes up what nobody has taken meanwhile. Raises StoreFailed; to be called again then."""
        self._leased = True
        await self._take_over(("", self._host))
        self._queues.rooms.all_changed()

    async def stop(self, drain: timedelta = DRAIN) -> None:
        """Rejects what comes, leaves what has not begun to the next host, lets what runs go on for so long, and cancels
        the rest.

        Returns when each has its outcome or is queued in the store. May be called again, with less time.
        """
        self._stopping = True
        self._stop_judging()
        if self._watching is not None:
            self._watching.cancel()
        self._let_go(self._recorder.postpone)
        for job in self._queues.of():
            if not job.running:
                self._interrupt(job, outcomes.postponed())
        alarm = self._clock.call_later(drain, self._interrupt_all)
        try:
            await self._tasks.settled()
        finally:
            alarm.cancel()
            self._interrupt_all()
            self._queues.silence()

    # -- accepting -------------------------------------------------------------------------------------------------

    async def _accept(self, request: ExecutionRequest) -> Execution:
        if request.key:
            known = await self._executions.with_key(request.key)
            if known is not None:
                return await self._found(request, known)
        installation = await self._store.installations.get(request.installation)
        policy = self._policy_of(installation)
        if request.overlap is not None:
            policy = replace(policy, overlap=request.overlap)
        elsewhere = policy.overlap is Overlap.SKIP and await self._executions.open_elsewhere(
            installation.id, trigger=request.trigger_id, task=request.task, host=self._host
        )
        execution = self._new(request, installation)
        line = self._queues.line(installation)
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
        self._coming[execution.id] = (installation.id, group)
        try:
            stored = await self._executions.create(execution)
        except BaseException:
            self._give_back(installation.id, line)
            raise
        finally:
            del self._coming[execution.id]
        if stored is not execution:
            self._give_back(installation.id, line)
            return await self._found(request, stored)
        job = Job(execution, installation.manifest.limits, policy)
        if policy.overlap is Overlap.REPLACE:
            self._replace(job)
        return self._queue(job)

    async def _found(self, request: ExecutionRequest, found: Execution) -> Execution:
        """The execution that has the key of the request."""
        if found.installation != request.installation:
            raise KeyTaken(request, found)
        if not found.state.is_outcome and found.host == self._host and self._works:
            # The store said that it was not written, and it was.
            await self._inherit(found, await self._store.installations.find(found.installation))
        job = self._queues.jobs.get(found.id)
        return found if job is None else job.execution

    async def _reject(self, request: ExecutionRequest, execution: Execution, refusal: TaskOutcome) -> Execution:
        rejected = states.ended(execution, refusal, at=self._clock.now())
        stored = await self._executions.create(rejected)
        if stored is not rejected:
            return await self._found(request, stored)
        self._events.announce(ExecutionEnded(rejected.installation, rejected))
        return rejected

    def _queue(self, job: Job) -> Execution:
        execution = job.execution
        if job.id in self._queues.jobs:
            # Another submission of its key has found it in the store and taken it up.
            self._give_back(execution.installation, self._queues.line_of(job))
            return self._queues.jobs[job.id].execution
        self._queues.add(job)
        self._events.announce(ExecutionAccepted(execution.installation, execution))
        called = self._called(job)
        if called is not None:
            self._interrupt(job, called)
        self._queues.begin()
        return execution

    def _replace(self, job: Job) -> None:
        others = [
            other
            for other in self._queues.of(job.execution.installation)
            if other.group == job.group and other is not job
        ]
        self._queues.follow(job, others)
        for other in others:
            self._interrupt(other, outcomes.replaced(job.id), call_off=True)

    def _overlapping(self, installation: InstallationId, group: str) -> list[str]:
        here = [job.id for job in self._queues.of(installation) if job.group == group]
        return here + [each for each, whose in self._coming.items() if whose == (installation, group)]

    def _refusal(self, installation: Installation, line: Line, request: ExecutionRequest) -> TaskOutcome | None:
        """Why it is not accepted; None: it is, and has its place in the queue."""
        if self._stopping:
            return outcomes.host_stopping()
        if not self._leased:
            return outcomes.no_lease()
        refusal = outcomes.refusal(installation)
        if refusal is None and request.patient and line.paused:
            return outcomes.paused(installation.id, line.paused)
        if refusal is None and not line.reserve():
            return outcomes.queue_full(installation.id, line.capacity)
        return refusal

    def _give_back(self, installation: InstallationId, line: Line) -> None:
        line.give_back()
        self._queues.tell_room(installation)

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
            trigger_id=request.trigger_id,
            by=request.by,
            key=request.key,
            retry_of=request.retry_of,
            due_at=request.due_at,
            host=self._host,
            patient=request.patient,
            attempts=request.attempts,
        )

    async def _has_room(self, name: InstallationId) -> bool:
        if not self._works or not self._queues.has_room(name):
            return False
        try:
            installation = await self._store.installations.find(name)
        except StoreFailed:
            return False
        if installation is None:
            # Whoever submits is told.
            return True
        line = self._queues.line(installation)
        return outcomes.refusal(installation) is None and not line.paused and line.has_room

    # -- running ---------------------------------------------------------------------------------------------------

    @property
    def _works(self) -> bool:
        return self._leased and not self._stopping

    def _start(self, job: Job) -> None:
        self._tasks.start(self._conduct(job), f"execution {job.id}")

    async def _conduct(self, job: Job) -> None:
        ending = Ending.OVER
        try:
            ending = await self._conductor.conduct(job)
        finally:
            self._after(job, ending)

    def _after(self, job: Job, ending: Ending) -> None:
        if ending is Ending.OVER:
            self._queues.stopped(job)
            self._leave(job)
            return
        called = self._called(job)
        if called is not None:
            self._queues.stopped(job)
            self._tasks.start(self._drop(job, called), f"execution {job.id}")
        elif ending is Ending.AGAIN:
            self._queues.again(job)
        else:
            self._queues.hinder(job)

    def _called(self, job: Job) -> TaskOutcome | None:
        """What it is to end with at once, instead of waiting for its turn."""
        if job.interruption.done():
            return job.interruption.result()
        if not self._leased:
            return outcomes.DISOWNED
        return outcomes.postponed() if self._stopping else None

    def _let_go(self, each: Callable[[Job], None]) -> None:
        """What waits stays in the store as it is: there may be very many, and nothing is to be written."""
        waiting = [job for job in self._queues.of() if self._queues.withdraw(job)]
        for job in waiting:
            each(job)
            self._leave(job)

    def _interrupt(self, job: Job, outcome: TaskOutcome, *, call_off: bool = False) -> None:
        """``call_off``: it has no further attempt, even if this one ends otherwise first."""
        job.called_off = job.called_off or call_off
        if self._queues.withdraw(job):
            self._tasks.start(self._drop(job, outcome), f"execution {job.id}")
        else:
            job.interrupt(outcome)

    async def _drop(self, job: Job, outcome: TaskOutcome) -> None:
        """It left the queue before its turn."""
        try:
            if outcome is outcomes.DISOWNED:
                self._recorder.disown(job)
            elif outcome.state is ExecutionState.QUEUED:
                await self._recorder.put_back(job)
            else:
                await self._recorder.outcome(job, outcome)
        finally:
            self._leave(job)

    def _leave(self, job: Job) -> None:
        """Nothing is left to do for it here."""
        follower = self._followed.pop(job.id, None)
        if follower is not None:
            follower.cancel()
        self._queues.leave(job)
        if self._works and job.disowned:
            # The lease is back already, and it may be this host's after all.
            self._tasks.start(self._reclaim(job.id), f"reclaim {job.id}")

    def _interrupt_all(self) -> None:
        for job in self._queues.of():
            self._interrupt(job, outcomes.cancelled_by_stop() if job.running else outcomes.postponed())

    async def _follow(self, job: Job) -> None:
        try:
            await self._progress.follow(job)
        finally:
            self._followed.pop(job.id, None)

    # -- taking up -------------------------------------------------------------------------------------------------

    async def _take_over(self, hosts: tuple[str, ...]) -> tuple[Execution, ...]:
        found: list[Execution] = []
        async with contextlib.aclosing(self._left_open(hosts)) as pages:
            async for page in pages:
                found += await self._take_over_page(page)
        return tuple(found)

    async def _take_over_page(self, page: tuple[Execution, ...]) -> list[Execution]:
        found = []
        # Asked for once, not for each: there may be very many.
        installed: dict[InstallationId, Installation | None] = {}
        for execution in page:
            if execution.id in self._queues.jobs or execution.id in self._judging or execution.id in self._coming:
                continue
            name = execution.installation
            if name not in installed:
                installed[name] = await self._store.installations.find(name)
            own = await self._own(execution, installed[name])
            ended = None if own is None else await self._inherit(own, installed[name])
            if ended is not None:
                found.append(ended)
        return found

    async def _left_open(self, hosts: tuple[str, ...]) -> AsyncIterator[tuple[Execution, ...]]:
        """What these hosts have: what ran, then what waited, each oldest first."""
        for state in (ExecutionState.RUNNING, ExecutionState.QUEUED) if hosts else ():
            last = ""
            while page := await self._executions.open_ones(*hosts, states=(state,), after=last, limit=PAGE):
                yield page
                last = page[-1].id

    async def _own(self, execution: Execution, installation: Installation | None) -> Execution | None:
        """One of a host that is gone, as this host has it now. None: another has it, or is to have it, because this
        one has no such plugin.
        """
        if execution.host == self._host:
            return execution
        if installation is None and await self._executions.is_installed(execution.installation):
            return None
        if not await self._executions.moved(execution.id, before=execution.host, after=self._host):
            return None
        # What it was may have changed before it was this host's.
        return await self._executions.get(execution.id)

    async def _inherit(self, execution: Execution, installation: Installation | None) -> Execution | None:
        """One that is open, and this host's, takes its place again. Returns it if it has got its outcome.

        ``installation`` None: it is gone.
        """
        if execution.state.is_outcome or execution.id in self._queues.jobs or execution.id in self._judging:
            return None
        if execution.state is ExecutionState.RUNNING:
            if self._asks:
                task = self._tasks.start(self._judge_later(execution, installation), f"judge {execution.id}")
                self._judging[execution.id] = task
                task.add_done_callback(lambda _: self._judging.pop(execution.id, None))
                return None
            return await self._judge(execution, installation)
        return await self._queued_again(execution, installation)

    async def _judge(self, execution: Execution, installation: Installation | None) -> Execution | None:
        policy = None if installation is None else self._policy_of(installation)
        while (judged := await self._recovery.judge(execution, policy)) is None:
            # The last that the dead host had asked of the store was written only now; or another has it by now.
            execution = await self._executions.get(execution.id)
            if execution.state.is_outcome or execution.host != self._host:
                return None
            if execution.state is ExecutionState.QUEUED:
                judged = execution
                break
        return judged if judged.state.is_outcome else await self._queued_again(judged, installation)

    async def _queued_again(self, execution: Execution, installation: Installation | None) -> Execution | None:
        """Returns it if it has got its outcome: nobody can run it any more."""
        if installation is None:
            return await self._recovery.end(execution, outcomes.installation_gone(execution.installation))
        self._take_up(execution, installation)
        return None

    async def _judge_later(self, execution: Execution, installation: Installation | None) -> None:
        while True:
            try:
                await self._judge(execution, installation)
            except StoreFailed as error:
                log.warning("%s: it is judged again: %s", execution.id, error)
                await sleep(self._clock, TAKE_UP_DELAY)
            else:
                return

    async def _reclaim(self, execution_id: str) -> None:
        with contextlib.suppress(StoreFailed):
            stored = await self._executions.get(execution_id)
            if stored.host == self._host and self._works:
                await self._inherit(stored, await self._store.installations.find(stored.installation))

    def _take_up(self, execution: Execution, installation: Installation) -> None:
        if execution.id in self._queues.jobs:
            return
        self._queues.line(installation)
        job = Job(execution, installation.manifest.limits, self._policy_of(installation))
        self._queues.restore(job)
        called = self._called(job)
        if called is not None:
            self._interrupt(job, called)
        if not self._recovering:
            self._queues.begin()

    async def _cancel_stored(self, execution_id: str, by: str) -> None:
        """One that this host has not in its queues."""
        stored = await self._executions.get(execution_id)
        if stored.state.is_outcome:
            return
        if stored.host != self._host and stored.state is ExecutionState.RUNNING:
            raise RunsElsewhere(stored)
        judging = self._judging.get(execution_id)
        if judging is not None:
            judging.cancel()
        ended = states.ended(stored, outcomes.cancelled(by), at=self._clock.now())
        write = self._executions.finished if stored.host == self._host else self._executions.dropped
        if await write(ended):
            self._events.announce(ExecutionEnded(ended.installation, ended))

    def _stop_judging(self) -> None:
        for task in tuple(self._judging.values()):
            task.cancel()

    # -- what is announced -----------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """From now on, what lets an installation run again, or not any more, is heard of."""
        if self._watching is None and not self._stopping:
            self._watching = asyncio.create_task(self._hear(), name="executions of installations that may run again")

    async def _hear(self) -> None:
        async with contextlib.aclosing(
            self._events.subscribe(DesiredChanged, GrantsChanged, Installed, Loaded, Removed)
        ) as subscription:
            async for event in subscription:
                known = self._queues.known(event.installation)
                if isinstance(event, Missed):
                    self._queues.unhinder_all()
                elif known is not None and isinstance(event, Installed):
                    self._queues.line(event.now)
                elif known is not None and isinstance(event, DesiredChanged):
                    self._queues.line(replace(known, desired=event.after))
                self._queues.unhinder(event.installation)
