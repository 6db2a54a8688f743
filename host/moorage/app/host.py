"""The host: everything together, and what applications, the API and the CLI ask of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from moorage.app import why
from moorage.app.audit import AuditTrail
from moorage.app.config import Config
from moorage.app.declared import trigger_from
from moorage.app.executions import ExecutionCalls
from moorage.app.extensions import ExtensionCalls, Extensions, declared
from moorage.app.grants import Grants
from moorage.app.handlers import Handlers
from moorage.app.hooks import Hooks
from moorage.app.installer import Installer, InstallOrder, warnings_about
from moorage.app.levels import Levels
from moorage.app.life import LifeOfPlugins
from moorage.app.lock import StateLock
from moorage.app.other_hosts import OtherHosts
from moorage.app.policies import Policies
from moorage.app.reloading import Reloading, ReloadRequest
from moorage.app.removal import Removal
from moorage.app.retention import Retention
from moorage.app.secrets import Secrets
from moorage.app.selection import Predicate
from moorage.app.shown import stop_report
from moorage.app.sql import Sql
from moorage.app.storage import Storage
from moorage.app.switch import Switch
from moorage.app.triggers import Triggers
from moorage.app.view import view_of
from moorage.app.wiring import Wiring
from moorage.broker.services.console import DeveloperConsole
from moorage.broker.services.events import EventHub
from moorage.broker.services.secrets.base import KeySource
from moorage.broker.services.typed import served
from moorage.clock import SystemClock
from moorage.config.settings import Settings
from moorage.errors import ExitCode, MoorageError
from moorage.events.events import installed
from moorage.events.steps import Disabling, Enabling
from moorage.models.attachment import Health
from moorage.models.audit import AuditEntry, AuditKind
from moorage.models.grants import GrantOrder
from moorage.models.installation import Installation, InstallationId
from moorage.models.log import LogLine
from moorage.models.manifest import ReloadMode, Trigger
from moorage.models.reload import ReloadReport
from moorage.models.selection import Selector
from moorage.models.storage import DataFate, RemovalReport
from moorage.models.views import BrokenPlugin, InstallationView, StopReport
from moorage.models.why import Why, WorkerStack
from moorage.orchestrator.triggers.application import ApplicationSource, ApplicationSources, GeneratorFunction
from moorage.orchestrator.triggers.layers import identity
from moorage.orchestrator.triggers.webhook import Webhooks
from moorage.packages.scan import scan
from moorage.packages.triggers import named
from moorage.supervisor.desired import Disable, Enable, Hold, Release, Scale
from moorage.web.webhooks import listening
from moorage_proto.learning import Learnt
from moorage_sandbox.report import SandboxReport

Progress = Callable[[str], None]


class LearningRefused(MoorageError):
    code = "learning_refused"
    exit_code = ExitCode.CONFIG

    def __init__(self) -> None:
        super().__init__(
            "This host may not learn: while it does, plugins may do whatever they ask for. Learning is for a"
            " developer's own plugin: moorage dev --learn"
        )


def _silent(_: str) -> None:
    """Progress that nobody asked for."""


class Host(ExecutionCalls, ExtensionCalls, LifeOfPlugins):
    """``async with Host(settings) as host``. Implements ``moorage.web.operations.Operations``."""

    def __init__(
        self,
        settings: Settings,
        *,
        services: Sequence[object] = (),
        console: DeveloperConsole | None = None,
        keys: KeySource | None = None,
        learnt: Learnt | None = None,
        predicates: Mapping[str, Predicate] | None = None,
        extension_points: Sequence[type] = (),
        sources: Sequence[ApplicationSource | GeneratorFunction] = (),
    ) -> None:
        """``services``: the application's own: objects under ``@service`` or ``@implements``, or Services.
        ``console``: where a breakpoint of a plugin asks its developer; for ``moorage dev``. ``keys``: where the keys
        of secrets come from, in place of a file. ``learnt``: calls are allowed whatever is granted, and what they
        needed is noted there; for ``moorage dev --learn``. ``predicates``: by the names under which selectors ask them;
        each is called in a thread. ``extension_points``: classes under ``@extension_point``, whose methods plugins
        implement. ``sources``: its own sources of triggers. Raises LearningRefused anywhere but in development,
        ExtensionPointInvalid, SourceInvalid.
        """
        if learnt is not None and not (settings.sandbox.development and console is not None):
            raise LearningRefused
        self.settings = settings
        self._learnt = learnt
        self._console = console
        self._keys = keys
        self._services = tuple(map(served, services))
        self._predicates = dict(predicates or {})
        self._points = declared(extension_points)
        self._sources = ApplicationSources(sources)
        self._triggers: dict[InstallationId, dict[str, Trigger]] = {}
        self._hooks, self._handlers = Hooks(), Handlers()
        self._exit = contextlib.AsyncExitStack()
        self._broken: tuple[BrokenPlugin, ...] = ()
        self._wiring: Wiring | None = None
        self._retention: Retention | None = None
        self._installing = asyncio.Lock()

    # -- life ----------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(StateLock(self.settings.state_dir))
            wiring = Wiring(
                self.settings,
                self._services,
                self._console,
                self._keys,
                self._learnt,
                predicates=self._predicates,
                points=self._points,
                sources=self._sources,
                triggers=self._triggers,
                view=self._view,
            )
            # Before its first event, and after its last.
            await stack.enter_async_context(self._handlers.listening(wiring.events))
            self._wiring = await stack.enter_async_context(wiring)
            await self._wiring.orchestrator.recover()
            if self._wiring.store.shared:
                others = OtherHosts(self._wiring, SystemClock(), self.settings.orchestrator.poll)
                await stack.enter_async_context(others.followed())
            self._retention = Retention(wiring.store, self.settings.retention, SystemClock(), self._act)
            await stack.enter_async_context(self._retention.kept_up())
            if not self.settings.plugins.folders:
                await self._wiring.begin()
            if self.settings.webhooks.listen is not None:
                await stack.enter_async_context(listening(self.webhooks, self.settings.webhooks))
            self._exit = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exit.aclose()

    @contextlib.asynccontextmanager
    async def lifespan(self, _app: object) -> AsyncIterator[None]:
        """For an ASGI application: ``FastAPI(lifespan=host.lifespan)``. Scans and starts as ``serve`` does."""
        async with self:
            await self.load()
            yield

    async def load(self, progress: Progress | None = None) -> tuple[Installation, ...]:
        """Scans the folders of the settings and installs what is found; one broken plugin never stops the others.

        Then the executions that the host before had accepted and not begun take their turn. Of a host without folders
        they do so when it opens.
        """
        tell = progress or _silent
        result = await asyncio.to_thread(scan, self.settings.plugins.folders)
        broken = list(result.broken)
        installed = []
        for warning in result.warnings:
            tell(warning)
        for found in result.found:
            try:
                installed.append(await self.install(found.path, progress=tell))
            except MoorageError as error:
                broken.append(BrokenPlugin(found.path, str(error)))
                tell(f"{found.manifest.name}: not installed. {error}")
        self._broken = tuple(broken)
        await self._parts.begin()
        return tuple(installed)

    async def drain(self, timeout: timedelta | None = None) -> None:
        """The first step of a stop: takes no more work, and lets executions that have begun go on for so long (default:
        the settings'). What has not begun stays queued for the next host, and who waits for it is told so.

        Returns when nothing runs. May be called again, with less time. Leaving the ``async with`` block does it too.
        """
        drain = self.settings.supervision.stop_drain if timeout is None else timeout
        await self._parts.registry.stop()
        self._parts.deliveries.stop()
        self._parts.extension_points.stop()
        await self._parts.orchestrator.stop(drain)

    # -- installations -------------------------------------------------------------------------------------------

    async def install(
        self,
        path: Path,
        *,
        name: str | None = None,
        config: Mapping[str, Any] | None = None,
        grant: Iterable[str] = (),
        grant_required: bool = False,
        by: str = "",
        progress: Progress | None = None,
    ) -> Installation:
        order = InstallOrder(Path(path), name, config, tuple(grant), grant_required, by)
        async with self._installing:
            installation = await self._installer.install(order, progress or _silent)
        known = self._parts.supervisor.keeper(installation.id)
        before = known.installation if known is not None else None
        self._parts.remember(installation)
        await self._scale_as_set(installation)
        for warning in warnings_about(installation.manifest, self._parts.broker.verbs):
            (progress or _silent)(warning)
        self.events.announce(installed(before, installation))
        await self._parts.registry.refresh([installation.id])
        await self._act("install", installation.id, by, f"version {installation.manifest.version}")
        return installation

    async def installations(
        self, *, look: bool = False, enabled: bool | None = None, select: Selector | None = None
    ) -> tuple[InstallationView, ...]:
        """By name. ``enabled``: those alone that are, or are not; ``select``: those that fit. With ``look``, what their
        workers use is looked at now. Raises SelectorRefused, PredicateUnknown.
        """
        if look:
            await self._parts.usage.look()
        found = await self._parts.selection.select(select or Selector())
        return tuple([await self._view(each) for each in found if enabled in (None, each.desired.enabled)])

    async def select(self, selector: Selector) -> tuple[InstallationView, ...]:
        """Those that fit, by name, whether or not they may run. Raises SelectorRefused, PredicateUnknown."""
        return await self.installations(select=selector)

    async def broken(self) -> tuple[BrokenPlugin, ...]:
        return self._broken

    async def installation(self, name: str) -> InstallationView:
        return await self._view(await self._parts.store.installations.get(name))

    async def remove(self, name: str, *, data: DataFate | None = None, by: str = "") -> RemovalReport:
        """It goes, with its grants, settings and secrets; ``data`` says what becomes of its private data. Its history
        stays. Raises InstallationUnknown, ReloadUnderway; DataUndecided where there is data and nothing was said of it;
        StepRefused as ``disable``, which comes first.
        """
        return await Removal(self._parts, self._act, self._ask_disabling).remove(name, data, by)

    async def start(self, name: str, *, by: str = "") -> InstallationView:
        await self._parts.supervisor.start(name)
        await self._act("start", name, by)
        return await self.installation(name)

    async def health(self, name: str) -> Health:
        """What the plugin says of itself, through its ``health`` hook; one without is well when it answers.

        Raises WorkerMissing, or the CallError of a plugin that does not answer.
        """
        return await self._parts.supervisor.health(name)

    async def stack(self, name: str) -> tuple[WorkerStack, ...]:
        """What all threads of its workers do, now; of those that can tell. Raises WorkerMissing."""
        return await why.stacks_of(self._parts, name)

    async def why(self, name: str) -> Why:
        """What it does now, or why it does nothing; what changed last; what to do."""
        return await why.explained(self._parts, await self.installation(name))

    async def stop(self, name: str, *, by: str = "", hold: str = "") -> StopReport:
        await self._parts.store.installations.get(name)
        await self._act("stop", name, by, hold)
        if not hold:
            return stop_report(name, await self._parts.supervisor.stop(name, "a person asked for it"), "stopped")
        ended = await self._parts.supervisor.forbid(name, Hold(hold, by), hold, by=by)
        return stop_report(name, ended, "stopped", f"held until: moorage release {name}")

    async def release(self, name: str, *, by: str = "", reason: str = "") -> InstallationView:
        """Ends a hold or a quarantine; what was up before is up again when this returns.

        Raises what ``start`` raises, once it is released.
        """
        await self._parts.bring_back_data(name)
        await self._parts.supervisor.change(name, Release(reason), by=by)
        await self._act("release", name, by, reason)
        return await self._up_again(name)

    async def enable(self, name: str, *, by: str = "", reason: str = "") -> InstallationView:
        """It takes work again; what was up before is up again when this returns.

        Raises as ``release``, and StepRefused where a hook of the application's refuses it: nothing has changed then.
        """
        if not (await self._parts.store.installations.get(name)).desired.enabled:
            await self._hooks.ask(Enabling(name, by, reason), self._act)
        await self._parts.supervisor.change(name, Enable(reason), by=by)
        await self._act("enable", name, by, reason)
        return await self._up_again(name)

    async def disable(self, name: str, *, by: str = "", reason: str = "") -> StopReport:
        """It takes no new work; returns when what runs has finished, and its workers are gone. Raises StepRefused as
        ``enable``.
        """
        await self._ask_disabling(name, by, reason)
        await self._act("disable", name, by, reason)
        ended = await self._parts.supervisor.forbid(name, Disable(reason), reason or "it was disabled", by=by)
        return stop_report(name, ended, "stopped", f"disabled until: moorage enable {name}")

    async def scale(self, name: str, replicas: int, *, by: str = "") -> InstallationView:
        """How many workers it has when it is up; they come and go after this has returned. Raises ReplicasInvalid."""
        await self._parts.supervisor.change(name, Scale(replicas=replicas), by=by)
        await self._act("scale", name, by, str(replicas))
        return await self.installation(name)

    async def kill(self, name: str, *, by: str = "") -> StopReport:
        await self._parts.store.installations.get(name)
        await self._act("kill", name, by)
        return stop_report(
            name, await self._parts.supervisor.kill(name, f"by {by}" if by else "at a person's request"), "killed"
        )

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
        """Reads its folder again, and puts what is there now in the place of what runs, losing no execution.

        What does not run is installed alone, and with ``start`` started. Raises what ``install`` and ``start`` raise,
        and GrantsMissing, ReloadFailed: what ran before goes on then, or is back.
        """
        await self._act("reload", name, by, mode or "")
        request = ReloadRequest(name, mode, start, tuple(grant), grant_required, by)
        return await self._reloading(progress).reload(request)

    async def restart(
        self, name: str, *, mode: ReloadMode | None = None, by: str = "", progress: Progress | None = None
    ) -> ReloadReport:
        """New workers of the same version, losing no execution; what does not run is started.

        Raises what ``start`` raises, and ReloadFailed: what ran before goes on then, or is back.
        """
        await self._act("restart", name, by, mode or "")
        return await self._reloading(progress).restart(name, mode)

    def _reloading(self, progress: Progress | None) -> Reloading:
        return Reloading(self._parts, self._installer, self._installing, progress or _silent, self._act)

    @property
    def _installer(self) -> Installer:
        parts = self._parts
        return Installer(
            self.settings, parts.store, parts.environments, parts.configs, self._act, lambda: parts.broker.words
        )

    async def unload_all(self, *, by: str = "") -> tuple[StopReport, ...]:
        await self._act("unload-all", "", by)
        stopped = await self._parts.supervisor.stop_all("everything is unloaded")
        return tuple(stop_report(name, ended, "stopped") for name, ended in sorted(stopped.items()))

    # -- grants --------------------------------------------------------------------------------------------------

    @property
    def switch(self) -> Switch:
        """For all installations at one time: off, nothing works."""
        return Switch(self._parts, self._act)

    @property
    def grants(self) -> Grants:
        """Grants and deny rules, and what they mean."""
        return Grants(self._parts, self.installation, self._act)

    async def grant(self, name: str, capabilities: Iterable[str], *, by: str = "") -> InstallationView:
        """Without capabilities: all that it requires."""
        texts = tuple(capabilities)
        return await self.grants.grant(name, GrantOrder(texts, required=not texts), by=by)

    async def revoke(self, name: str, capabilities: Iterable[str], *, by: str = "") -> InstallationView:
        return await self.grants.revoke(name, capabilities, by=by)

    # -- what it is given, and keeps ------------------------------------------------------------------------------

    @property
    def config(self) -> Config:
        """Settings, with where each comes from; changed while workers run."""
        return Config(self._parts, self._act)

    @property
    def log_levels(self) -> Levels:
        """From which level on loggers send their records; changed while workers run."""
        return Levels(self._parts, self._act)

    @property
    def triggers(self) -> Triggers:
        """What starts executions by itself: shown, paused, added, changed, fired."""
        return Triggers(self._parts, self._act)

    @property
    def policies(self) -> Policies:
        """How executions are run: shown with where each value comes from, and changed."""
        return Policies(self._parts, self._act)

    @property
    def webhooks(self) -> Webhooks:
        """Takes requests of other systems that start executions."""
        return self._parts.webhooks

    async def add_trigger(self, installation: str, trigger: Mapping[str, Any]) -> str:
        """The application's own, while this host lives: ``{"cron": "0 6 * * *", "name": "nightly"}``, as in a manifest.
        It counts once that installation is there; of one that selects (``select``) the installation is empty. What was
        added before the host opens keeps its pauses and its next tick over restarts. Returns its id.

        Raises TriggerInvalid.
        """
        made = named([trigger_from(trigger, selects=not installation)])[0]
        self._triggers.setdefault(installation, {})[made.name] = made
        if self._wiring is not None:
            await self._wiring.registry.declare(installation, made)
        return identity(installation, made.name)

    async def remove_trigger(self, trigger: str) -> bool:
        """One that the application has added. False: it has not."""
        installation, _, name = trigger.rpartition("/")
        known = self._triggers.get(installation, {}).pop(name, None)
        if self._wiring is not None:
            await self._wiring.registry.retract(installation, name)
        return known is not None

    def source(self, name: str) -> Callable[[GeneratorFunction], GeneratorFunction]:
        """Decorates an async generator function that is a source of triggers, under that name. Raises SourceInvalid."""

        def register(function: GeneratorFunction) -> GeneratorFunction:
            self._sources.add(function, name)
            return function

        return register

    @property
    def storage(self) -> Storage:
        """Private folders: how full, copied, brought back, taken away, deleted."""
        return Storage(self._parts, self._act)

    @property
    def extensions(self) -> Extensions:
        """Extension points of the application, and what plugins implement of them."""
        return Extensions(self._parts)

    @property
    def sql(self) -> Sql:
        """Databases, and what they lack for the present installations."""
        return Sql(self._parts)

    @property
    def retention(self) -> Retention:
        """How long the store keeps what happened."""
        if self._retention is None:
            raise RuntimeError("the host is not open; use it as `async with Host(settings) as host`")
        return self._retention

    @property
    def secrets(self) -> Secrets:
        """Set, replaced and deleted; never shown."""
        return Secrets(self._parts, self._act)

    # -- what happened -------------------------------------------------------------------------------------------

    @property
    def audit_trail(self) -> AuditTrail:
        """Who did, or was denied, what."""
        return AuditTrail(self._parts)

    async def audit(
        self, *, installation: str | None = None, after: int = 0, limit: int = 200
    ) -> tuple[AuditEntry, ...]:
        return await self.audit_trail.read(installation=installation, after=after, limit=limit)

    async def logs(
        self, *, installation: str | None = None, execution: str | None = None, after: int = 0, limit: int = 200
    ) -> tuple[LogLine, ...]:
        await self._parts.logs.flush()
        return await self._parts.store.logs.read(
            installation=installation, execution=execution, after=after, limit=limit
        )

    def follow_logs(self, *, installation: str | None = None) -> AsyncIterator[LogLine]:
        return self._parts.logs.subscribe(installation)

    async def sandbox_report(self) -> SandboxReport:
        return await self._parts.sandbox_report()

    @property
    def bus(self) -> EventHub:
        """Events among plugins and the application: publish, subscribe, request, respond."""
        return self._parts.hub

    @property
    def kafka_servers(self) -> Mapping[str, str]:
        """Bootstrap servers by cluster, for the application's own clients: of an embedded cluster, where it listens."""
        return self._parts.kafka_servers

    @property
    def servicebus_connection_strings(self) -> Mapping[str, str]:
        """By namespace, for the application's own clients: of an embedded one, with its operator's key."""
        return self._parts.servicebus_connection_strings

    # -- inside --------------------------------------------------------------------------------------------------

    @property
    def _parts(self) -> Wiring:
        if self._wiring is None:
            raise RuntimeError("the host is not open; use it as `async with Host(settings) as host`")
        return self._wiring

    async def _view(self, installation: Installation) -> InstallationView:
        return await view_of(self._parts, self.grants, installation)

    async def _ask_disabling(self, name: str, by: str, reason: str) -> None:
        """Of one that is disabled already there is nothing to ask. Raises InstallationUnknown, StepRefused."""
        if (await self._parts.store.installations.get(name)).desired.enabled:
            await self._hooks.ask(Disabling(name, by, reason), self._act)

    async def _up_again(self, name: str) -> InstallationView:
        keeper = self._parts.supervisor.keeper(name)
        if keeper is not None and keeper.wanted and keeper.installation.desired.runnable:
            await keeper.start()
        return await self.installation(name)

    async def _scale_as_set(self, installation: Installation) -> None:
        """A number of workers in the settings counts from each scan on."""
        options = self.settings.installations.get(installation.id)
        if options is not None and options.replicas is not None:
            await self._parts.supervisor.change(installation.id, Scale(replicas=options.replicas), by="settings")

    async def _act(self, action: str, installation: str, by: str, message: str = "") -> None:
        self._parts.audit.record(
            AuditEntry(
                time=datetime.now(UTC),
                kind=AuditKind.ACTION,
                installation=installation,
                actor=by or "host",
                action=action,
                message=message,
            )
        )
