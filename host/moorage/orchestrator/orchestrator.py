"""The door: whoever wants something run comes here, and whoever asks how it ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from functools import partial

from moorage.clock import Clock, SystemClock, sleep
from moorage.events.bus import EventBus
from moorage.events.events import ExecutionEnded
from moorage.models.execution import Execution, ExecutionRequest, ExecutionState
from moorage.models.installation import InstallationId
from moorage.orchestrator import outcomes, states
from moorage.orchestrator.admission import Admission
from moorage.orchestrator.conductor import Committed, Conductor, nothing_noted
from moorage.orchestrator.dispatcher import Dispatcher
from moorage.orchestrator.errors import ExecutionOpen, RunsElsewhere
from moorage.orchestrator.hearing import Hearing
from moorage.orchestrator.job import Job
from moorage.orchestrator.policies import PolicyOf, declared_policy
from moorage.orchestrator.presence import Presence
from moorage.orchestrator.progress import ProgressWriter
from moorage.orchestrator.queues import Queues
from moorage.orchestrator.recorder import Disowned, ExecutionPostponed, Recorder, harmless, nobody
from moorage.orchestrator.recovery import Recovery
from moorage.orchestrator.session import SessionSource
from moorage.orchestrator.takeover import TakeOver
from moorage.owned import OwnedTasks
from moorage.store.errors import StoreFailed
from moorage.store.store import Store

#: How long running work may go on when the host stops.
DRAIN = timedelta(seconds=10)

#: Longest that ``room`` waits; whoever waits looks for itself then.
ROOM_PATIENCE = timedelta(seconds=30)

#: Between two looks at an execution that another host has.
LOOK_DELAYS = tuple(timedelta(seconds=seconds) for seconds in (0.2, 0.5, 1, 2))


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
        clock = clock or SystemClock()
        self._store, self._executions, self._events, self._clock = store, store.executions, events, clock
        self._plain = plain
        self._presence = Presence(host)
        self._tasks = OwnedTasks()
        works = OwnedTasks()
        recorder = Recorder(store.executions, events, clock, works, tell, plain)
        conductor = Conductor(store.executions, sessions, events, clock, works, recorder, committed)
        writer = ProgressWriter(store.executions, events, clock)
        recovery = Recovery(store.executions, events, clock, committed, tell)
        self._queues = queues = Queues(clock, policy_of, concurrency, self._begin)
        self._hearing = Hearing(events, queues)
        self._dispatcher = dispatcher = Dispatcher(
            self._presence, queues, conductor, recorder, writer, self._tasks, self._reclaim
        )
        self._takeover = TakeOver(
            store,
            clock,
            self._presence,
            policy_of,
            queues,
            dispatcher,
            recovery,
            self._tasks,
            asks=committed is not nothing_noted,
        )
        self._admission = Admission(
            store,
            events,
            clock,
            self._presence,
            policy_of,
            queues,
            dispatcher,
            self._takeover.inherit,
            partial(self._takeover.make_sure, was_refused=True),
        )

    # -- what people, triggers and applications ask ----------------------------------------------------------------

    async def submit(self, request: ExecutionRequest) -> Execution:
        """Accepts it, and returns when it is written down: queued, or rejected with the reason. With a key that was
        used before, the execution that has the key, as it is now.

        Raises NotNow of a patient one that cannot be taken at present, InstallationUnknown, KeyTaken, NotStorable (of
        the input) and StoreFailed; there is no execution then.
        """
        self._hear()
        return await asyncio.shield(
            self._tasks.start(self._admission.accept(request), f"accept {request.installation}")
        )

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
            if self._presence.stopping:
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
            self._dispatcher.interrupt(job, outcomes.cancelled(by), call_off=True)
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
        self._dispatcher.follow(job, fraction, self._plain(job.execution.installation, message))

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

    def resume(self) -> None:
        """Begins what was taken up, once the installations are as they should be. May be called twice."""
        self._takeover.recovering = False
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
        self._hear()
        self._takeover.recovering = True
        return await self._takeover.of("", self._presence.host)

    async def take_over(self, dead: Iterable[str]) -> None:
        """Takes up what these hosts had: as ``recover``. Of several hosts that do so, each execution goes to one."""
        await self._takeover.of(*set(dead) - {self._presence.host})

    def lease_lost(self) -> None:
        """Others may have what is this host's: it begins nothing, and cancels what runs without a word of how it ended.

        May be called twice.
        """
        self._presence.leased = False
        self._takeover.stop_judging()
        self._dispatcher.disown_all()

    async def lease_regained(self) -> None:
        """Takes up what nobody has taken meanwhile. Raises StoreFailed; to be called again then."""
        self._presence.leased = True
        await self._takeover.of("", self._presence.host)
        self._queues.rooms.all_changed()

    async def stop(self, drain: timedelta = DRAIN) -> None:
        """Rejects what comes, leaves what has not begun to the next host, lets what runs go on for so long, and cancels
        the rest.

        Returns when each has its outcome or is queued in the store. May be called again, with less time.
        """
        self._presence.stopping = True
        self._hearing.close()
        self._takeover.stop_judging()
        self._dispatcher.postpone_all()
        alarm = self._clock.call_later(drain, self._dispatcher.interrupt_all)
        try:
            await self._tasks.settled()
        finally:
            alarm.cancel()
            self._dispatcher.interrupt_all()
            self._queues.silence()

    async def _has_room(self, name: InstallationId) -> bool:
        if not self._presence.works or not self._queues.has_room(name):
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

    async def _cancel_stored(self, execution_id: str, by: str) -> None:
        """One that this host has not in its queues."""
        stored = await self._executions.get(execution_id)
        if stored.state.is_outcome:
            return
        if stored.host != self._presence.host and stored.state is ExecutionState.RUNNING:
            raise RunsElsewhere(stored)
        self._takeover.stop_judging(execution_id)
        ended = states.ended(stored, outcomes.cancelled(by), at=self._clock.now())
        write = self._executions.finished if stored.host == self._presence.host else self._executions.dropped
        if await write(ended):
            self._events.announce(ExecutionEnded(ended.installation, ended))

    def _hear(self) -> None:
        """From now on, what lets an installation run again, or not any more, is heard of."""
        if not self._presence.stopping:
            self._hearing.open()

    def _begin(self, job: Job) -> None:
        self._dispatcher.start(job)

    def _reclaim(self, execution_id: str) -> None:
        self._takeover.reclaim(execution_id)
