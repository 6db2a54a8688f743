"""One worker from the request to start it until the kernel says it is gone."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn, TypeVar

from moorage.clock import Clock, SystemClock
from moorage.environments.removal import remove_tree
from moorage.models.attachment import Attachment, Health, Holding
from moorage.models.config import Heard, Hearing
from moorage.models.contributions import Contributions
from moorage.models.event import PluginEvent
from moorage.models.execution import Execution, ResourceUse, TaskOutcome, WorkerFacts
from moorage.models.extensions import ExtensionCall
from moorage.models.health import Condition, ConditionKind
from moorage.models.incarnation import IncarnationState, IncarnationStatus, Verdict, VerdictKind
from moorage.models.installation import Installation
from moorage.models.levels import WorkerLevels
from moorage.packages.config_layers import differing
from moorage.supervisor import lifecycle
from moorage.supervisor.consumption import Looks, used
from moorage.supervisor.disk import DataWatch
from moorage.supervisor.errors import StartFailed, WorkerLost
from moorage.supervisor.health import told
from moorage.supervisor.hearing import hearing_of
from moorage.supervisor.launch import Launch
from moorage.supervisor.launcher import Launcher, Worker
from moorage.supervisor.lifecycle import Event, Transition
from moorage.supervisor.observer import Observer
from moorage.supervisor.processes import processes_of
from moorage.supervisor.records import started
from moorage.supervisor.runs import Runs
from moorage.supervisor.shard import AttachedWorker, Shard
from moorage.supervisor.stacks import Stack
from moorage.telemetry.capture import OutputCapture
from moorage_proto import start_pb2
from moorage_proto.capability import Capability, Grants
from moorage_proto.errors import CallError, Reason
from moorage_sandbox.cgroup import Group
from moorage_sandbox.widening import Widening

log = logging.getLogger(__name__)

Result = TypeVar("Result")

#: File name of the socket in the worker's own folder.
SOCKET_NAME = "h"

#: After the shutdown frame, and again after SIGTERM: how long a worker may take to go by itself.
LEAVE_TIMEOUT = timedelta(seconds=1)
UNLOAD_TIMEOUT = timedelta(seconds=5)
#: How long the end of a worker waits until it is written down.
_WRITE_SECONDS = 2.0
HEALTH_TIMEOUT = timedelta(seconds=5)
EXPORT_TIMEOUT = timedelta(seconds=10)
#: How long on_config_changed may take, before whoever changed the settings is told that nobody answers.
CONFIG_TIMEOUT = timedelta(seconds=10)

#: How long streams that belong to no execution may go on when the rest has drained.
STREAM_GRACE = timedelta(seconds=10)


class Incarnation:
    """Owned by the supervisor, which starts it, hands out its sessions and stops it."""

    def __init__(
        self,
        launch: Launch,
        *,
        shard: Shard,
        launcher: Launcher,
        capture: OutputCapture,
        on_refused: Callable[[CallError], None],
        on_change: Callable[[Transition], Awaitable[None]],
        on_condition: Callable[[IncarnationStatus, Condition], Awaitable[None]] | None = None,
        clock: Clock | None = None,
    ) -> None:
        """``on_condition`` is told when it answers no more, or again, and when its own health changes.

        ``on_change`` writes a transition down and announces it; the first is that a process is there, which is no step
        from one state to another. No other begins before it has returned.
        """
        order = launch.order
        self.id = order.incarnation
        self.contributions = Contributions()
        self._launch = launch
        self._limits = launch.installation.manifest.limits
        self._launcher = launcher
        self._capture = capture
        self._on_change = on_change
        self._shard = shard
        self._on_refused = on_refused
        self._on_condition = on_condition
        self._clock = clock or SystemClock()
        self._observer = Observer(order, capture, launch.health, self._clock, self._condition_changed, self._condemn)
        #: The newest that it was told.
        self._grants = launch.grants
        #: The settings that it was told last.
        self._config = launch.installation.config
        self._configuring = asyncio.Lock()
        self._token = secrets.token_bytes(32)
        self._attached: AttachedWorker | None = None
        self._worker: Worker | None = None
        self._runs: Runs | None = None
        #: Of runs that have ended, until somebody asks.
        self._uses: dict[str, ResourceUse] = {}
        self._looks = Looks(self._clock)
        self._watchers: list[asyncio.Task[None]] = []
        self._ending: asyncio.Task[None] | None = None
        #: Of its start, while it starts.
        self._deadline: asyncio.Timeout | None = None
        #: Tells of the latest transition, after the ones before.
        self._telling: asyncio.Task[None] | None = None
        self._ended: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        #: A planned stop waits for what runs.
        self._draining = False
        #: Set by whoever ends it on purpose, or knows better than the exit status why it ends.
        self._blame: Verdict | None = None
        self.status = IncarnationStatus(
            id=self.id,
            number=launch.number,
            installation=launch.installation.id,
            state=IncarnationState.STARTING,
            pid=0,
            start=order.start,
            sandbox_level="",
            started_at=datetime.now(UTC),
            python=launch.python,
        )

    # -- start ---------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Returns when the plugin is ready.

        Raises StartFailed, or the launcher's SandboxFailed; nothing of the worker is left then.
        """
        try:
            async with asyncio.timeout(self._limits.start_timeout.total_seconds()) as self._deadline:
                await self._bring_up()
        except TimeoutError:
            await self._fail(await self._too_late())
        except CallError as error:
            traceback = error.task.traceback if error.task is not None else ""
            plain = self._capture.plain
            await self._fail(Verdict(VerdictKind.LOAD_FAILED, plain(error.message), traceback=plain(traceback)))
        except asyncio.CancelledError:
            self._blame = self._blame or Verdict(VerdictKind.PLANNED_STOP, "Stopped before it was ready.")
            await self._end(self._blame)
            raise
        except WorkerLost as error:
            await self._end(error.verdict)
            raise
        except Exception as error:
            await self._end(Verdict(VerdictKind.SANDBOX_FAILED, str(error)))
            raise

    async def _too_late(self) -> Verdict:
        limit = self._limits.start_timeout
        if self._worker is not None:
            return await self._observer.start_deadline(limit)
        sentence = (
            f"Its sandbox was not made within {limit.total_seconds():g} s, and nothing of the plugin has run: the"
            " machine has more to do than it can, or the zygote hangs."
        )
        return Verdict(VerdictKind.SANDBOX_FAILED, sentence)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Its start takes no time meanwhile: a developer looks into the plugin as it loads."""
        deadline, since = self._deadline, asyncio.get_running_loop().time()
        due = deadline.when() if deadline is not None and self.status.state is IncarnationState.STARTING else None
        if deadline is None or due is None:
            yield
            return
        deadline.reschedule(None)
        try:
            yield
        finally:
            if self.status.state is IncarnationState.STARTING:
                deadline.reschedule(due + asyncio.get_running_loop().time() - since)

    async def _bring_up(self) -> None:
        attached = self._attached = await self._shard.attach(self._attachment(), self._on_refused)
        worker = self._worker = await self._launch_worker()
        proxy = worker.take_proxy()
        if proxy is not None:
            await attached.serve_net(proxy)
        self._observer.meet(worker, attached)
        self.status = replace(self.status, pid=worker.pid, sandbox_level=worker.sandbox_level)
        # For the next host, should this one die before the worker is ready.
        self._tell(Transition(self.status.state, self.status, "it starts"))
        self._watchers.append(asyncio.create_task(self._watch_worker(worker), name=f"worker {self.id}"))
        peer = await self._unless_gone(attached.connected(self._limits.start_timeout))
        self.status = replace(self.status, protobuf=peer.protobuf, grpcio=peer.grpcio)
        self._watchers.append(asyncio.create_task(self._watch_link(attached), name=f"link {self.id}"))
        self._watchers.append(asyncio.create_task(self._watch_taint(attached), name=f"taint {self.id}"))
        self.contributions = await self._unless_gone(self._load(attached))
        self._runs = Runs(attached, self._ended)
        self._watch_health()
        self._watchers.append(asyncio.create_task(self._watch_data(worker), name=f"data {self.id}"))
        self._apply(Event.LOADED, "it has loaded", ready_at=datetime.now(UTC))

    async def _load(self, attached: AttachedWorker) -> Contributions:
        launch = self._launch
        return await attached.load(
            launch.installation.config,
            version=launch.installation.manifest.version,
            state=launch.state,
            from_version=launch.from_version,
        )

    def _attachment(self) -> Attachment:
        launch = self._launch
        return Attachment(
            installation=launch.installation.id,
            incarnation=self.id,
            number=launch.number,
            socket_path=launch.order.socket_dir / SOCKET_NAME,
            socket_uid=launch.order.uid,
            token=self._token,
            grants=launch.grants,
            limits=self._limits,
        )

    async def _launch_worker(self) -> Worker:
        stdout, stderr = await self._capture.open()
        order = replace(self._launch.order, number=self._launch.number)
        order = replace(
            order, stdout_fd=stdout, stderr_fd=stderr, start_record=self._start_record, note=self._capture.note
        )
        try:
            return await self._launcher.start(order, timeout=self._limits.start_timeout)
        finally:
            self._capture.release_writers()

    def _start_record(self, socket_folder: str) -> bytes:
        record = start_pb2.StartRecord(
            token=self._token,
            socket=f"{socket_folder}/{SOCKET_NAME}",
            entry_point=self._launch.installation.manifest.entry_point,
        )
        return record.SerializeToString()

    async def _unless_gone(self, awaitable: Awaitable[Result]) -> Result:
        """Waits for the link, but not past the worker's death: that has a better story to tell."""
        waiting = asyncio.ensure_future(awaitable)
        try:
            await asyncio.wait((waiting, self._ended), return_when=asyncio.FIRST_COMPLETED)
            if waiting.done() and not _lost(waiting) and self._ending is None:
                return waiting.result()
            raise StartFailed(self._launch.installation.id, await asyncio.shield(self._ended))
        finally:
            waiting.cancel()

    def _watch_health(self) -> None:
        self._watchers.append(asyncio.create_task(self._observer.watch.run(), name=f"health {self.id}"))

    async def _fail(self, verdict: Verdict) -> NoReturn:
        await self._end(verdict)
        judged = self.status.verdict
        if judged is not None and judged.kind is verdict.kind:
            verdict = judged
        raise StartFailed(self._launch.installation.id, verdict)

    # -- work ----------------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        return self.status.state is IncarnationState.READY

    @property
    def ended(self) -> bool:
        return self._ended.done()

    @property
    def facts(self) -> WorkerFacts:
        status = self.status
        return WorkerFacts(
            incarnation=self.id,
            number=status.number,
            pid=status.pid,
            python=status.python,
            protobuf=status.protobuf,
            grpcio=status.grpcio,
            sandbox_level=status.sandbox_level,
            start=status.start,
        )

    @property
    def installation(self) -> Installation:
        """What it runs."""
        return self._launch.installation

    @property
    def grants(self) -> Grants:
        """Those that it was started with."""
        return self._launch.grants

    @property
    def widening(self) -> Widening:
        """What its sandbox lets through beyond the usual, for as long as it lives."""
        return self._launch.order.widening

    @property
    def sessions(self) -> int:
        """To how many it is lent."""
        return self._runs.sessions if self._runs is not None else 0

    def enter(self) -> None:
        """A session begins; a ready one alone is lent. A stop waits for its end, up to the drain timeout."""
        assert self._runs is not None, "sessions are handed out of ready incarnations only"
        self._runs.enter()

    def leave(self) -> None:
        """The session is over; also of one that is gone meanwhile."""
        assert self._runs is not None, "it was entered before"
        self._runs.leave()

    async def free(self) -> None:
        """Until no session is open."""
        if self._runs is not None:
            await self._runs.free()

    async def run_task(self, execution: Execution, timeout: timedelta) -> TaskOutcome:
        assert self._runs is not None, "sessions are handed out of ready incarnations only"
        assert self._attached is not None, "sessions are handed out of ready incarnations only"
        looked_at = self.status.pid, self._worker.group if self._worker is not None else None
        before = await self._looks.before(*looked_at)
        try:
            return await self._runs.run(execution, timeout)
        finally:
            # What was committed has succeeded, whoever cancels it now.
            with contextlib.suppress(asyncio.CancelledError):
                after = await self._looks.after(*looked_at)
                self._uses[execution.id] = used(before, after, self._attached.spent(execution.id))

    def use_of(self, execution: str) -> ResourceUse | None:
        """What a run that has ended used, however it ended; told once."""
        return self._uses.pop(execution, None)

    def uses(self, need: Capability) -> bool:
        """Whether an event may be brought to it; counted as a use of the right."""
        assert self._attached is not None, "sessions are handed out of ready incarnations only"
        return self._attached.uses(need)

    async def handle(self, handler: str, event: PluginEvent, timeout: timedelta) -> TaskOutcome:
        """Calls one event handler in a scope of its own, as ``run_task`` does a task."""
        assert self._runs is not None, "sessions are handed out of ready incarnations only"
        return await self._runs.handle(handler, event, timeout)

    async def call_extension(self, call: ExtensionCall, timeout: timedelta) -> TaskOutcome:
        """Calls one extension in a scope of its own; the result is its reply message, in bytes."""
        assert self._runs is not None, "sessions are handed out of ready incarnations only"
        return await self._runs.call_extension(call, timeout)

    async def health(self) -> Health:
        """The plugin's own opinion of its state. Raises CallError."""
        assert self._attached is not None, "asked of ready incarnations only"
        return await self._attached.health(HEALTH_TIMEOUT)

    async def change_config(self, config: Mapping[str, Any]) -> Heard | None:
        """Tells it of other settings, one change after the other. None: these are those that it has."""
        assert self._attached is not None, "asked of ready incarnations only"
        async with self._configuring:
            keys = differing(self._config, config)
            if not keys:
                return None
            self._config = config
            try:
                await self._attached.change_config(config, keys, CONFIG_TIMEOUT)
            except CallError as error:
                return hearing_of(self.status.number, error, self._capture.plain)
            return Heard(self.status.number, Hearing.TAKEN)

    async def set_log_levels(self, levels: WorkerLevels) -> None:
        """A worker that does not hear of it, or whose SDK cannot, goes on as before; the log of the host tells."""
        assert self._attached is not None, "asked of ready incarnations only"
        try:
            await self._attached.set_log_levels(levels, HEALTH_TIMEOUT)
        except CallError as error:
            log.warning("%s: its log levels are as before: %s", self.id, error)

    async def export_state(self) -> bytes | None:
        """What the plugin leaves to its next worker, for its ``Launch``. Raises CallError."""
        assert self._attached is not None, "asked of ready incarnations only"
        return await self._attached.export_state(EXPORT_TIMEOUT)

    @property
    def condition(self) -> Condition:
        """Whether it answers, and how it is; of ready ones."""
        return self._observer.watch.condition

    async def take_stack(self) -> Stack:
        """What all its threads do, now."""
        return await self._observer.take_stack()

    def unobserved(self) -> contextlib.AbstractContextManager[None]:
        """Its health is not looked at meanwhile: a developer has stopped it at a breakpoint."""
        return self._observer.watch.held()

    @property
    def holdings(self) -> tuple[Holding, ...]:
        """What the host keeps open for it."""
        return self._attached.holdings() if self._attached is not None else ()

    @property
    def executions(self) -> tuple[str, ...]:
        """What runs on it."""
        return self._runs.executions if self._runs is not None else ()

    @property
    def group(self) -> Group | None:
        """Its worker's control group."""
        return self._worker.group if self._worker is not None else None

    @property
    def calls(self) -> int:
        return self._attached.calls if self._attached is not None else 0

    @property
    def denied(self) -> int:
        return self._attached.denied if self._attached is not None else 0

    def set_grants(self, grants: Grants) -> None:
        self._grants = grants
        if self._attached is not None:
            self._attached.set_grants(grants)

    # -- end -----------------------------------------------------------------------------------------------------

    async def stop(self, reason: str, drain: timedelta | None = None) -> tuple[str, ...]:
        """The ladder: drain, on_unload, shutdown frame, SIGTERM, SIGKILL of the whole tree. May be called twice.

        ``drain``: how long sessions may go on; the manifest's, if none is given. Returns the ids of executions that
        had to be cancelled.
        """
        if self._ending is not None:
            await self.wait()
            return ()
        blame = self._blame = self._blame or Verdict(VerdictKind.PLANNED_STOP, f"Stopped: {reason}.")
        self._apply(Event.STOP_REQUESTED, reason)
        drain = self._limits.drain_timeout if drain is None else drain
        self._draining = True
        cancelled = await self._runs.drain(drain, blame) if self._runs is not None else ()
        self._draining = False
        await self._unload(reason)
        worker = self._worker
        if worker is not None and not await self._left():
            worker.terminate()
            if not await self._left():
                worker.kill()
        await self._gone()
        return cancelled

    async def hasten(self, drain: timedelta | None = None) -> tuple[str, ...]:
        """Of one that is being stopped: what runs may go on for so long, and no longer. Returns the ids of executions
        that had to be cancelled; the stop goes on.
        """
        if self._runs is None or self._blame is None or self._ending is not None:
            return ()
        return await self._runs.drain(self._limits.drain_timeout if drain is None else drain, self._blame)

    async def kill(self, reason: str) -> tuple[str, ...]:
        """SIGKILL of the whole tree, now. Returns the ids of the executions it cost."""
        if self._ending is None and (self._blame is None or self._blame.kind is VerdictKind.PLANNED_STOP):
            self._blame = Verdict(VerdictKind.KILLED_BY_OPERATOR, f"Killed {reason}.")
        executions = self._runs.executions if self._runs is not None else ()
        if self._worker is not None:
            self._worker.kill()
        await self._gone()
        return executions

    async def wait(self) -> Verdict:
        """Until it is gone and everything it held is released."""
        return await asyncio.shield(self._ended)

    async def _unload(self, reason: str) -> None:
        if self._attached is None or self._ended.done():
            return
        try:
            await self._attached.streams_ended(STREAM_GRACE)
            await self._attached.unload(reason, UNLOAD_TIMEOUT)
        except CallError as error:
            log.warning("%s: on_unload: %s", self._launch.installation.id, error)

    async def _left(self) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_TIMEOUT.total_seconds()):
                await self.wait()
        return self._ended.done()

    async def _gone(self) -> None:
        if self._worker is None:
            await self._end(Verdict(VerdictKind.PLANNED_STOP, "Stopped before it had started."))
        await self.wait()

    async def _watch_worker(self, worker: Worker) -> None:
        """Whatever the reason for its end, it is the kernel's word that makes it so."""
        told = await worker.wait()
        if self._breaks_off:
            self._blame = None
        await self._end(told)

    @property
    def _breaks_off(self) -> bool:
        """Whether an end now breaks off work that a planned stop waits for: then that stop is not the reason."""
        planned = self._blame is not None and self._blame.kind is VerdictKind.PLANNED_STOP
        return planned and self._draining and self.sessions > 0

    def _accuse(self, verdict: Verdict) -> None:
        """The first word counts."""
        if self._blame is None or self._breaks_off:
            self._blame = verdict

    async def _watch_link(self, attached: AttachedWorker) -> None:
        """A lost link ends the incarnation: there is no reconnect."""
        error = await attached.lost()
        if error.reason in (Reason.PROTOCOL_VIOLATION, Reason.TOKEN_INVALID):
            self._accuse(Verdict(VerdictKind.PROTOCOL_VIOLATION, error.message))
        worker = self._worker
        if worker is not None and not await self._left() and not _is_dead(worker):
            # One that is dead already only waits for the word of who reaps it.
            self._accuse(Verdict(VerdictKind.LINK_LOST, f"It ended its link and did not exit: {error.message}"))
            worker.kill()

    async def _watch_taint(self, attached: AttachedWorker) -> None:
        """Where work goes on that nobody waits for, no new work begins: the rest drains, then the worker is stopped."""
        execution = await attached.tainted()
        sentence = f"{execution} went on after its end; the worker took no new work and was stopped."
        verdict = self._blame = self._blame or Verdict(VerdictKind.TAINTED, sentence)
        self._apply(Event.STOP_REQUESTED, "tainted")
        stack = await self.take_stack()
        if self._blame is verdict and verdict.kind is VerdictKind.TAINTED:
            where = f" It was at {stack.where}." if stack.where else ""
            self._blame = replace(verdict, sentence=sentence + where, stack=stack.text)
        await self.stop("tainted")

    async def _watch_data(self, worker: Worker) -> None:
        """A worker that fills the disk is not asked to leave: it would go on writing meanwhile."""
        watch = DataWatch(
            self._launch.order.data_path,
            lambda: self._launch.data_limit(self._grants),
            lambda: processes_of(worker.pid, worker.group),
            self._clock,
        )
        self._accuse(await watch.over())
        worker.kill()

    async def _condemn(self, verdict: Verdict) -> None:
        """Of the health watch: for a worker that does not answer the ladder has no step but the last."""
        self._accuse(verdict)
        if verdict.kind is not VerdictKind.SILENT:
            await self.stop("unhealthy")
        elif self._worker is not None:
            self._worker.kill()

    async def _condition_changed(self, condition: Condition) -> None:
        level = logging.INFO if condition.kind is ConditionKind.ANSWERING else logging.WARNING
        self._capture.tell(level, told(self.status.number, condition))
        if self._on_condition is not None:
            await self._on_condition(self.status, condition)

    async def _end(self, verdict: Verdict) -> None:
        """Returns when everything is released. Idempotent; goes on when its caller is cancelled."""
        if self._ending is None:
            before = self.status.state
            self.status = replace(self.status, state=lifecycle.after(before, Event.ENDED), stopped_at=datetime.now(UTC))
            self._ending = asyncio.create_task(self._release(before, verdict), name=f"end {self.id}")
        await asyncio.shield(self._ending)

    async def _release(self, before: IncarnationState, verdict: Verdict) -> None:
        """All there is; each part goes on when another failed."""
        try:
            verdict = await self._cleared(verdict)
        except Exception:
            verdict = self._blame or verdict
            log.exception("%s: clean-up after the end of %s failed", self._launch.installation.id, self.id)
        self.status = replace(self.status, verdict=verdict)
        for watcher in self._watchers:
            watcher.cancel()
        # Written first, known second; but a store that does not answer keeps nobody waiting.
        await asyncio.wait((self._tell(Transition(before, self.status, verdict.sentence)),), timeout=_WRITE_SECONDS)
        self._ended.set_result(verdict)

    async def _cleared(self, verdict: Verdict) -> Verdict:
        """Nothing of it is left; the verdict, with all that explains it."""
        if self._worker is not None:
            self._worker.kill()
            told = await self._worker.wait()
            if told.kind is VerdictKind.FORBIDDEN_SYSTEM_CALL:
                # Also of a worker that was about to be stopped, or had failed to load.
                verdict = self._blame = told
        for release in (self._capture.close, self._detach):
            try:
                await release()
            except Exception:
                log.exception("%s: clean-up after the end of %s failed", self._launch.installation.id, self.id)
        # Below "full-bwrap" a plugin's temporary files lie in there, as many and as deep as it liked.
        await asyncio.to_thread(remove_tree, self._launch.order.socket_dir)
        memory = self._worker.out_of_memory if self._worker is not None else ""
        return self._observer.judged(self._blame or verdict, memory)

    async def _detach(self) -> None:
        if self._attached is not None:
            await self._attached.end()

    def _apply(self, event: Event, reason: str, **changes: Any) -> None:
        before = self.status.state
        state = lifecycle.after(before, event)
        if state is not before:
            self.status = replace(self.status, state=state, **changes)
            self._tell(Transition(before, self.status, reason))

    def _tell(self, transition: Transition) -> asyncio.Task[None]:
        """Work does not wait for the store; what is told is told in order, each after it was written."""
        self._telling = asyncio.create_task(self._told(self._telling, transition), name=f"tell {self.id}")
        return self._telling

    async def _told(self, earlier: asyncio.Task[None] | None, transition: Transition) -> None:
        if earlier is not None:
            await earlier
        try:
            await self._on_change(transition)
        except Exception:
            state = transition.status.state
            log.exception("%s: that %s is %s could not be recorded", self._launch.installation.id, self.id, state)


def _is_dead(worker: Worker) -> bool:
    return sys.platform == "linux" and started(worker.pid) is None


def _lost(waiting: asyncio.Future[Any]) -> bool:
    error = waiting.exception()
    return isinstance(error, CallError) and error.reason == Reason.LINK_CLOSED
