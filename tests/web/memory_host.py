"""A host in memory: Operations over dictionaries, with tasks that are Python functions in this process."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import traceback
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import tomllib
from memory_keeping import MemoryConfig, MemoryLevels, MemorySecrets, MemoryStorage, MemorySwitch, removed
from memory_triggers import MemoryPolicies, MemoryTriggers

from moorage.config.settings import Settings
from moorage.errors import Conflict, Invalid, MoorageError, NotFound
from moorage.models.audit import AuditEntry, AuditKind, ChainReport, SinkState
from moorage.models.event import HandlerView
from moorage.models.execution import (
    Attempt,
    Execution,
    ExecutionError,
    ExecutionHistory,
    ExecutionRequest,
    ExecutionState,
    WorkerFacts,
)
from moorage.models.extensions import CallCounts, ExtensionPointView, ImplementationView, Standing
from moorage.models.grants import GrantOrder
from moorage.models.incarnation import IncarnationState, IncarnationStatus, Verdict, VerdictKind
from moorage.models.installation import DesiredState, Installation
from moorage.models.log import LogLine, LogRange
from moorage.models.manifest import Author, Manifest, ReloadMode, RequestedCapability
from moorage.models.reload import ReloadReport
from moorage.models.retention import Bounds, Extent, History, Retained, RetentionReport
from moorage.models.selected import NotBegun, SelectedRuns
from moorage.models.selection import Selector
from moorage.models.sql import SqlBackendView
from moorage.models.storage import DataFate, RemovalReport
from moorage.models.usage import Usage
from moorage.models.use import MethodUse, UseView
from moorage.models.views import (
    BrokenPlugin,
    ContributionsView,
    DenialView,
    GrantPreview,
    GrantView,
    InstallationView,
    StopReport,
    TaskView,
)
from moorage.models.why import Why, WorkerStack
from moorage.orchestrator.selection import Candidate, checked, selects
from moorage.web.operations import Progress
from moorage_proto.capability import Grants, parse
from moorage_sandbox.report import MissingLayer, SandboxReport

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class InstallationMissing(NotFound):
    code = "installation_not_found"


class ManifestInvalid(Invalid):
    code = "manifest_invalid"


class NotGranted(Conflict):
    code = "not_granted"


@dataclass
class Plugin:
    """One installation and what is known of it."""

    installation: Installation
    tasks: dict[str, Callable[..., Any]] = field(default_factory=dict)
    granted: dict[str, str] = field(default_factory=dict)
    denied: dict[str, DenialView] = field(default_factory=dict)
    uses: dict[str, int] = field(default_factory=dict)
    incarnations: list[IncarnationStatus] = field(default_factory=list)
    handlers: tuple[HandlerView, ...] = ()
    hooks: tuple[str, ...] = ()


@dataclass
class MemoryGrants:
    """GrantOperations; a right with `**` in it counts as dangerous."""

    host: MemoryHost

    async def grant(self, name: str, order: GrantOrder, *, by: str = "") -> InstallationView:
        plugin, wanted = self.host._plugin(name), self._wanted(name, order)
        plugin.granted |= dict.fromkeys(wanted, by)
        self.host._record(by, "grant", name)
        return self.host._view(plugin)

    async def preview(self, name: str, order: GrantOrder) -> GrantPreview:
        wanted = sorted(self._wanted(name, order))
        dangers = tuple(f"{text}: It is everything." for text in wanted if "**" in text)
        return GrantPreview(tuple((text, f"It means {text}.") for text in wanted), dangers)

    async def revoke(self, name: str, capabilities: Iterable[str], *, by: str = "") -> InstallationView:
        plugin = self.host._plugin(name)
        for capability in capabilities:
            plugin.granted.pop(capability, None)
        self.host._record(by, "revoke", name)
        return self.host._view(plugin)

    async def deny(
        self, name: str, capabilities: Iterable[str], *, because: str = "", by: str = ""
    ) -> InstallationView:
        plugin = self.host._plugin(name)
        plugin.denied |= {text: DenialView(text, because, by, NOON, f"It means {text}.") for text in capabilities}
        self.host._record(by, "deny", name)
        return self.host._view(plugin)

    async def undeny(self, name: str, capabilities: Iterable[str], *, by: str = "") -> InstallationView:
        plugin = self.host._plugin(name)
        for text in capabilities:
            if plugin.denied.pop(text, None) is None:
                raise NotFound(f"{name} was not denied {text}.")
        self.host._record(by, "undeny", name)
        return self.host._view(plugin)

    async def use(self, name: str) -> UseView:
        self.host._plugin(name)
        calls = MethodUse("KafkaService.Produce", 12, 1, 3400, 56)
        return UseView(NOON, (calls, MethodUse("", 0, 2, 0, 0))) if name == "churn" else UseView(None, ())

    def _wanted(self, name: str, order: GrantOrder) -> set[str]:
        requests = self.host._plugin(name).installation.manifest.capabilities
        known = {str(request.capability) for request in requests}
        kinds = {True: order.required, False: order.optional}
        wanted = set(order.capabilities) | {str(each.capability) for each in requests if kinds[each.required]}
        if unknown := wanted - known:
            raise Invalid(f"{name} does not ask for {', '.join(sorted(unknown))}.")
        return wanted


@dataclass
class MemoryTrail:
    """AuditOperations."""

    host: MemoryHost

    async def read(
        self,
        *,
        installation: str | None = None,
        kind: AuditKind | None = None,
        capability: str | None = None,
        actor: str | None = None,
        since: datetime | None = None,
        after: int = 0,
        limit: int = 200,
        oldest: bool = False,
    ) -> tuple[AuditEntry, ...]:
        found = [
            entry
            for entry in self.host.entries
            if installation in (None, entry.installation)
            and kind in (None, entry.kind)
            and capability in (None, entry.capability)
            and actor in (None, entry.actor)
            and (since is None or entry.time >= since)
            and entry.id > after
        ]
        return tuple(found[:limit] if after or oldest else found[-limit:])

    async def verify(self) -> ChainReport:
        return ChainReport(len(self.host.entries), "d1" * 32, self.host.tampered)

    async def sinks(self) -> tuple[SinkState, ...]:
        return (SinkState("store"), SinkState("file", "[Errno 28] No space left on device", NOON, 7, 12))


class MemorySql:
    def __init__(self) -> None:
        self.views = (
            SqlBackendView("main", "sqlite", "", "3.46.1"),
            SqlBackendView("shop", "postgresql", "provided", "15.18"),
        )

    def backends(self) -> tuple[SqlBackendView, ...]:
        return self.views

    async def plan(self, backend: str) -> str:
        if backend == "main":
            return ""
        if backend != "shop":
            raise NotFound(f"There is no database {backend!r}.")
        return 'BEGIN;\nCREATE ROLE "moorage_churn" LOGIN;\nCOMMIT;\n'


class MemoryRetention:
    def __init__(self) -> None:
        self.too_much = 3

    async def show(self) -> tuple[Retained, ...]:
        return (
            Retained(History.EXECUTIONS, Extent(1200, NOON), Bounds(timedelta(days=90), each=10_000)),
            Retained(History.LOGS, Extent(0, None, 0), Bounds(None)),
        )

    async def run(self, *, by: str = "") -> RetentionReport:
        deleted, self.too_much = self.too_much, 0
        return RetentionReport({History.EXECUTIONS: deleted})


class MemoryExtensions:
    """ExtensionOperations."""

    def __init__(self) -> None:
        methods, counts = ("discount", "label"), CallCounts(12, 2, "It has not answered within 0.2 s.", NOON)
        self.views = (
            ImplementationView("churn", "shop.discount", 2, methods, Standing.CURRENT, counts=counts),
            ImplementationView("geo-tag", "shop.discount", 1, methods[:1], Standing.OLD, "It implements version 1."),
        )

    async def list(self) -> tuple[ExtensionPointView, ...]:
        unheard = ExtensionPointView("shop.unheard", 1, (), ("hear",), ())
        return (ExtensionPointView("shop.discount", 2, (1,), ("discount", "label"), self.views), unheard)

    def of(self, name: str) -> tuple[ImplementationView, ...]:
        return tuple(view for view in self.views if view.installation == name)


class MemoryHost:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.plugins: dict[str, Plugin] = {}
        self.broken_plugins: list[BrokenPlugin] = []
        self.runs: dict[str, Execution] = {}
        self.attempts: dict[str, tuple[Attempt, ...]] = {}
        self.lines: list[LogLine] = []
        self.entries: list[AuditEntry] = []
        self.tampered: int | None = None
        self.followers: set[asyncio.Queue[LogLine]] = set()
        self.running: dict[str, asyncio.Task[None]] = {}
        self.followed = asyncio.Event()
        self.usage: dict[str, Usage] = {}
        self.reasons: dict[str, Why] = {}
        self.secrets = MemorySecrets(self)
        self.config = MemoryConfig(self)
        self.log_levels = MemoryLevels(self)
        self.triggers = MemoryTriggers(self)
        self.policies = MemoryPolicies(self)
        self.switch = MemorySwitch(self)
        self.storage = MemoryStorage(self)
        self.sql = MemorySql()
        self.retention = MemoryRetention()
        self.extensions = MemoryExtensions()
        self._numbers = itertools.count(1)

    def add(
        self,
        name: str,
        *,
        tasks: Mapping[str, Callable[..., Any]],
        required: Iterable[str] = (),
        optional: Iterable[str] = (),
        **manifest: Any,
    ) -> Plugin:
        """Puts a plugin there whose tasks are functions of the input."""
        capabilities = tuple(
            RequestedCapability(parse(text), f"needs {text}", demanded)
            for texts, demanded in ((required, True), (optional, False))
            for text in texts
        )
        described = Manifest(
            name=name, version="1.0.0", entry_point=f"{name}.plugin:plugin", capabilities=capabilities, **manifest
        )
        plugin = Plugin(
            Installation(
                id=name,
                manifest=described,
                source_path=Path("/plugins") / name,
                code_path=Path("/state/code") / name,
                code_hash="c0de" * 16,
                code_roots=("",),
                venv_key="e4f" * 8,
                installed_at=NOON,
            ),
            dict(tasks),
        )
        self.plugins[name] = plugin
        return plugin

    def log(self, installation: str, message: str, *, level: int = 20, execution: str = "", **more: Any) -> LogLine:
        number = len(self.lines) + 1
        line = LogLine(
            installation, f"{installation}-1", NOON + timedelta(seconds=number), level, "plugin", message,
            execution=execution, id=number, **more,
        )  # fmt: skip
        self.lines.append(line)
        for follower in self.followers:
            follower.put_nowait(line)
        return line

    async def install(
        self,
        path: Path,
        *,
        name: str | None = None,
        config: Mapping[str, Any] | None = None,
        grant: Iterable[str] = (),
        by: str = "",
        progress: Progress | None = None,
    ) -> Installation:
        file = path / "pyproject.toml"
        try:
            project = tomllib.loads(file.read_text())["project"]
        except FileNotFoundError:
            raise ManifestInvalid(f"{file} does not exist; name the folder of a plugin project.") from None
        except tomllib.TOMLDecodeError as error:
            raise ManifestInvalid(f"{file}: {error}") from error
        if progress is not None:
            progress(f"{project['name']}: resolving its dependencies")
            await asyncio.sleep(0)
            progress(f"{project['name']}: building its environment")
        required = project.get("requires", ())
        plugin = self.add(name or project["name"], tasks={"execute": lambda value: value}, required=required)
        plugin.installation = replace(plugin.installation, source_path=path, config=config or {})
        self._record(by, "install", plugin.installation.id)
        await self.grants.grant(plugin.installation.id, GrantOrder(tuple(grant)), by=by) if grant else None
        return plugin.installation

    async def installations(
        self, *, look: bool = False, enabled: bool | None = None, select: Selector | None = None
    ) -> tuple[InstallationView, ...]:
        selector = checked(select or Selector(), {"vip"})
        found = [plugin for plugin in self.plugins.values() if selects(selector, self._candidate(plugin))]
        return tuple(self._view(each) for each in found if enabled in (None, each.installation.desired.enabled))

    async def select(self, selector: Selector) -> tuple[InstallationView, ...]:
        return await self.installations(select=selector)

    def _candidate(self, plugin: Plugin) -> Candidate:
        manifest, name = plugin.installation.manifest, plugin.installation.id
        grants = Grants(tuple(map(parse, plugin.granted)))
        return Candidate(name, manifest.version, manifest.tags, grants, {"vip": name == "churn"})

    async def broken(self) -> tuple[BrokenPlugin, ...]:
        return tuple(self.broken_plugins)

    async def remove(self, name: str, *, data: DataFate | None = None, by: str = "") -> RemovalReport:
        return await removed(self, name, data, by)

    async def installation(self, name: str) -> InstallationView:
        return self._view(self._plugin(name))

    async def submit(self, request: ExecutionRequest) -> Execution:
        plugin = self._plugin(request.installation)
        task = plugin.tasks.get(request.task)
        identity = f"e-{next(self._numbers)}"
        execution = Execution(
            id=identity,
            installation=request.installation,
            plugin=plugin.installation.manifest.name,
            version=plugin.installation.manifest.version,
            task=request.task,
            trigger=request.trigger,
            state=ExecutionState.QUEUED,
            queued_at=NOON,
            input=request.input,
            by=request.by,
            key=request.key,
            retry_of=request.retry_of,
            due_at=request.due_at,
            attempts=request.attempts,
        )
        self.runs[identity] = execution
        if task is None:
            known = ", ".join(plugin.tasks)
            error = ExecutionError(
                "TaskUnknown", f"{request.installation} has no task {request.task}. It has: {known}."
            )
            self.runs[identity] = replace(execution, state=ExecutionState.REJECTED, error=error, ended_at=NOON)
            return self.runs[identity]
        self._start(plugin)
        self.running[identity] = asyncio.create_task(self._work(identity, plugin, task, request))
        return execution

    async def run(self, request: ExecutionRequest) -> Execution:
        execution = await self.submit(request)
        if execution.id in self.running:
            await asyncio.wait({self.running[execution.id]})
        return self.runs[execution.id]

    async def submit_all(self, selector: Selector, request: ExecutionRequest) -> SelectedRuns:
        return await self._each(selector, request, self.submit)

    async def run_all(self, selector: Selector, request: ExecutionRequest) -> SelectedRuns:
        return await self._each(selector, request, self.run)

    async def _each(
        self, selector: Selector, request: ExecutionRequest, do: Callable[[ExecutionRequest], Any]
    ) -> SelectedRuns:
        done: list[Execution] = []
        failures: list[NotBegun] = []
        for view in await self.select(selector):
            try:
                done.append(await do(replace(request, installation=view.installation.id)))
            except MoorageError as error:
                failures.append(NotBegun(view.installation.id, error.code, str(error)))
        return SelectedRuns(tuple(done), tuple(failures))

    async def execution(self, execution_id: str) -> Execution:
        try:
            return self.runs[execution_id]
        except KeyError:
            raise NotFound(f"There is no execution {execution_id}.") from None

    async def execution_history(self, execution_id: str) -> ExecutionHistory:
        await self.execution(execution_id)
        lines = [line.id for line in self.lines if line.execution == execution_id]
        logs = LogRange(min(lines), max(lines), len(lines)) if lines else LogRange()
        return ExecutionHistory(self.attempts.get(execution_id, ()), logs)

    async def executions(
        self,
        *,
        installation: str | None = None,
        state: ExecutionState | None = None,
        trigger: str | None = None,
        since: datetime | None = None,
        before: str = "",
        limit: int = 50,
    ) -> tuple[Execution, ...]:
        found = [
            run
            for run in reversed(self.runs.values())
            if installation in (None, run.installation)
            and state in (None, run.state)
            and trigger in (None, run.trigger_id)
            and (since is None or run.queued_at >= since)
            and (not before or run.id < before)
        ]
        return tuple(found[:limit])

    async def retry(self, execution_id: str, *, by: str = "") -> Execution:
        run = await self.execution(execution_id)
        request = ExecutionRequest(run.installation, run.task, run.input, by=by, retry_of=run.id)
        self._record(by, "retry", run.installation)
        return await self.submit(request)

    async def cancel(self, execution_id: str, *, by: str = "") -> Execution:
        await self.execution(execution_id)
        if task := self.running.get(execution_id):
            task.cancel()
            await asyncio.wait({task})
        self._record(by, "cancel", self.runs[execution_id].installation)
        return self.runs[execution_id]

    async def start(self, name: str, *, by: str = "") -> InstallationView:
        plugin = self._plugin(name)
        self._start(plugin)
        self._record(by, "start", name)
        return self._view(plugin)

    async def why(self, name: str) -> Why:
        view = self._view(self._plugin(name))
        return replace(self.reasons.get(name, Why(name, view.state, view.reason, NOON)), state=view.state)

    async def stack(self, name: str) -> tuple[WorkerStack, ...]:
        plugin = self._plugin(name)
        text = 'Thread 0x1 (most recent call first):\n  File "/plugin/geo/\x1b[2J.py", line 88 in build'
        alive = [status for status in plugin.incarnations if status.state is not IncarnationState.STOPPED]
        return tuple(WorkerStack(status.number, text, "geo/index.py:88 build()") for status in alive)

    async def stop(self, name: str, *, by: str = "", hold: str = "") -> StopReport:
        plugin = self._plugin(name)
        if hold:
            plugin.installation = replace(plugin.installation, desired=DesiredState(held_reason=hold, held_by=by))
        return self._end(plugin, VerdictKind.PLANNED_STOP, by)

    async def release(self, name: str, *, by: str = "", reason: str = "") -> InstallationView:
        plugin = self._plugin(name)
        if not plugin.installation.desired.held_reason:
            raise Conflict(f"{name} is not held; nothing to release.")
        plugin.installation = replace(plugin.installation, desired=DesiredState())
        return self._view(plugin)

    async def enable(self, name: str, *, by: str = "", reason: str = "") -> InstallationView:
        return self._desire(name, "enable", by, enabled=True)

    async def disable(self, name: str, *, by: str = "", reason: str = "") -> StopReport:
        self._desire(name, "disable", by, enabled=False)
        return self._end(self._plugin(name), VerdictKind.PLANNED_STOP, by)

    async def scale(self, name: str, replicas: int, *, by: str = "") -> InstallationView:
        if replicas < 1:
            raise Invalid(f"{replicas} workers cannot be kept.")
        return self._desire(name, "scale", by, replicas=replicas)

    def _desire(self, name: str, action: str, by: str, **changes: Any) -> InstallationView:
        plugin = self._plugin(name)
        desired = replace(plugin.installation.desired, **changes)
        plugin.installation = replace(plugin.installation, desired=desired)
        self._record(by, action, name)
        return self._view(plugin)

    async def kill(self, name: str, *, by: str = "") -> StopReport:
        return self._end(self._plugin(name), VerdictKind.KILLED_BY_OPERATOR, by)

    async def reload(
        self,
        name: str,
        *,
        mode: ReloadMode | None = None,
        start: bool = False,
        grant: Iterable[str] = (),
        grant_required: bool = False,
        by: str = "",
        progress: Progress | None = None,
    ) -> ReloadReport:
        plugin = self._plugin(name)
        version = plugin.installation.manifest.version
        for text in grant:
            plugin.granted[text] = by
        old = [each.number for each in plugin.incarnations if each.state is not IncarnationState.STOPPED]
        if not old and not start:
            return ReloadReport(name, mode or "beside", version, version)
        if progress is not None:
            progress(f"{name}: starting {version} beside the old one")
        await self.stop(name, by=by)
        view = await self.start(name, by=by)
        new = (view.incarnations[0].number,)
        return ReloadReport(name, mode or "beside", version, version, tuple(old), new, ("e-1",), timedelta())

    async def restart(
        self, name: str, *, mode: ReloadMode | None = None, by: str = "", progress: Progress | None = None
    ) -> ReloadReport:
        return await self.reload(name, mode=mode, start=True, by=by, progress=progress)

    async def unload_all(self, *, by: str = "") -> tuple[StopReport, ...]:
        return tuple(self._end(plugin, VerdictKind.PLANNED_STOP, by) for plugin in self.plugins.values())

    @property
    def grants(self) -> MemoryGrants:
        return MemoryGrants(self)

    @property
    def audit_trail(self) -> MemoryTrail:
        return MemoryTrail(self)

    async def logs(
        self, *, installation: str | None = None, execution: str | None = None, after: int = 0, limit: int = 200
    ) -> tuple[LogLine, ...]:
        found = [
            line
            for line in self.lines
            if installation in (None, line.installation) and execution in (None, line.execution) and line.id > after
        ]
        return tuple(found[:limit] if after else found[-limit:])

    async def follow_logs(self, *, installation: str | None = None) -> AsyncIterator[LogLine]:
        queue: asyncio.Queue[LogLine] = asyncio.Queue()
        self.followers.add(queue)
        self.followed.set()
        try:
            while True:
                line = await queue.get()
                if installation in (None, line.installation):
                    yield line
        finally:
            self.followers.discard(queue)

    async def sandbox_report(self) -> SandboxReport:
        missing = MissingLayer(
            "cgroup", 30, "writing cgroup.procs answered EROFS", "memory is limited for each process only", "mount it"
        )
        return SandboxReport("full", {"mount": "own, empty root", "landlock": "ABI 7"}, (missing,))

    async def _work(self, identity: str, plugin: Plugin, task: Callable[..., Any], request: ExecutionRequest) -> None:
        facts = WorkerFacts(plugin.incarnations[0].id, 1, 4242, "3.12.1", "7.36.2", "1.85.1", "full")
        self.runs[identity] = replace(self.runs[identity], state=ExecutionState.RUNNING, started_at=NOON, worker=facts)
        outcome, result, error = ExecutionState.SUCCEEDED, None, None
        try:
            async with asyncio.timeout(request.timeout.total_seconds() if request.timeout else None):
                result = task(request.input)
                if inspect.isawaitable(result):
                    result = await result
        except TimeoutError:
            outcome, result = ExecutionState.TIMED_OUT, None
        except asyncio.CancelledError:
            outcome, result = ExecutionState.CANCELLED, None
        except Exception as raised:
            error = ExecutionError(type(raised).__name__, str(raised), traceback.format_exc())
            outcome = ExecutionState.FAILED
        self.log(request.installation, f"{request.task}: {outcome}", execution=identity)
        self.runs[identity] = replace(
            self.runs[identity],
            state=outcome,
            result=result,
            error=error,
            ended_at=NOON + timedelta(seconds=0.31),
        )
        self.running.pop(identity)

    def _plugin(self, name: str) -> Plugin:
        try:
            return self.plugins[name]
        except KeyError:
            raise InstallationMissing(f"There is no installation {name}.") from None

    def _start(self, plugin: Plugin) -> None:
        name = plugin.installation.id
        if plugin.installation.desired.held_reason:
            raise Conflict(f"{name} is held: {plugin.installation.desired.held_reason}. moorage release {name}")
        if self._missing(plugin):
            raise NotGranted(f"{name} requires {', '.join(self._missing(plugin))}. moorage grant {name} --required")
        if plugin.incarnations and plugin.incarnations[0].state is IncarnationState.READY:
            return
        number = len(plugin.incarnations) + 1
        plugin.incarnations.insert(
            0,
            IncarnationStatus(
                f"{name}-{number}", number, name, IncarnationState.READY, 4241 + number, "zygote", "full", NOON, NOON,
                python="3.12.1", protobuf="7.36.2", grpcio="1.85.1",
            ),
        )  # fmt: skip

    def _end(self, plugin: Plugin, kind: VerdictKind, by: str) -> StopReport:
        name = plugin.installation.id
        lost = [identity for identity in self.running if self.runs[identity].installation == name]
        for identity in lost:
            self.running[identity].cancel()
        alive = [status for status in plugin.incarnations if status.state is not IncarnationState.STOPPED]
        if alive:
            verdict = Verdict(kind, f"{by or 'somebody'} asked for it.")
            plugin.incarnations[0] = replace(alive[0], state=IncarnationState.STOPPED, stopped_at=NOON, verdict=verdict)
        self._record(by, kind.value, name)
        return StopReport(name, tuple(lost), len(alive), f"{name}: {len(alive)} processes gone.")

    def _missing(self, plugin: Plugin) -> list[str]:
        return [str(need) for need in plugin.installation.manifest.required if str(need) not in plugin.granted]

    def _view(self, plugin: Plugin) -> InstallationView:
        state, reason = "stopped", ""
        if plugin.incarnations:
            state = plugin.incarnations[0].state.value
        if self._missing(plugin):
            state, reason = "not granted", f"It requires {', '.join(self._missing(plugin))}."
        if held := plugin.installation.desired.held_reason:
            state, reason = "held", f"Held: {held}."
        grants = tuple(
            GrantView(
                text,
                request.because,
                request.required,
                text in plugin.granted,
                plugin.granted.get(text, ""),
                granted_at=NOON if text in plugin.granted else None,
                meaning=f"It means {text}.",
                uses=plugin.uses.get(text, 0),
                used_at=NOON if text in plugin.uses else None,
            )
            for request in plugin.installation.manifest.capabilities
            for text in [str(request.capability)]
        )
        tasks = tuple(TaskView(name, f"Does {name}.", {"type": "object"}, {}) for name in plugin.tasks)
        return InstallationView(
            plugin.installation,
            state,
            reason,
            grants,
            tuple(plugin.incarnations),
            tasks,
            NOON,
            contributions=ContributionsView((), plugin.handlers, plugin.hooks),
            calls=12,
            denied=1,
            usage=self.usage.get(plugin.installation.id),
            extensions=self.extensions.of(plugin.installation.id),
            denials=tuple(plugin.denied.values()),
            dangers=tuple(f"{text}: It is everything." for text in plugin.granted if "**" in text),
        )

    def _record(self, by: str, action: str, installation: str) -> None:
        entry = AuditEntry(NOON, AuditKind.ACTION, installation, by, action, id=len(self.entries) + 1)
        self.entries.append(entry)


def furnished(settings: Settings) -> MemoryHost:
    """A host with three plugins that answer, fail and wait."""
    host = MemoryHost(settings)

    def fail(value: Any) -> Any:
        raise LookupError(f"no such user: {value}")

    async def wait(_value: Any) -> None:
        await asyncio.Event().wait()

    host.add(
        "churn",
        tasks={"execute": lambda value: {"users": 3, "got": value}, "fail": fail, "wait": wait},
        required=["sql.read:users", "kafka.produce:plugin-topic"],
        description="Reports user numbers",
        authors=(Author("Ada", "ada@example.com"),),
        tags=frozenset({"AutoRun", "reporting"}),
    ).granted.update({"sql.read:users": "ada", "kafka.produce:plugin-topic": "ada"})
    host.add("geo-tag", tasks={"execute": lambda value: value}, required=["sql.read:places"])
    host.triggers.furnish()
    host.broken_plugins.append(BrokenPlugin(Path("/plugins/odd"), "pyproject.toml line 3: unknown key `requird`."))
    return host
