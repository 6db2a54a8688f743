"""Brings the host's parts together, opens them in order, and closes them in reverse."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from moorage import __version__
from moorage.app.audit_sinks import AuditSinks
from moorage.app.configs import Configs
from moorage.app.contributions import KnownContributions
from moorage.app.declared import policies_of, triggers_of
from moorage.app.folders import make_folder
from moorage.app.late_news import LateNews
from moorage.app.log_levels import LogLevels
from moorage.app.relay import relay_of
from moorage.app.run_policies import RunPolicies
from moorage.app.selection import Predicate, Selection
from moorage.app.services import Services
from moorage.app.trigger_sources import HostClaims, TriggerSources
from moorage.app.use import GrantUse
from moorage.broker.broker import Broker
from moorage.broker.net import Dialler
from moorage.broker.services.base import Service
from moorage.broker.services.config import ConfigService
from moorage.broker.services.console import ConsoleService, DeveloperConsole
from moorage.broker.services.events import EventHub, EventsService
from moorage.broker.services.execution import ExecutionService
from moorage.broker.services.http import HttpService
from moorage.broker.services.kafka import KafkaService
from moorage.broker.services.log import LogService
from moorage.broker.services.redis import RedisService
from moorage.broker.services.secrets import SecretsService
from moorage.broker.services.secrets.base import KeySource
from moorage.broker.services.secrets.key_file import KeyFile
from moorage.broker.services.secrets.vault import Vault
from moorage.broker.services.servicebus import ServiceBusService
from moorage.broker.services.sql import SqlService
from moorage.broker.services.sql.pace import Pace
from moorage.broker.services.storage import StorageService
from moorage.broker.shard import LocalShard
from moorage.clock import SystemClock
from moorage.config.settings import InstallationSettings, Settings, SupervisionSettings
from moorage.environments.builder import EnvironmentBuilder
from moorage.errors import Conflict
from moorage.events.bus import EventBus
from moorage.models.contributions import Contributions
from moorage.models.event import HandlerView, PluginEvent
from moorage.models.execution import Execution
from moorage.models.extensions import CallLimits, ExtensionFailure
from moorage.models.incarnation import IncarnationState, IncarnationStatus, Verdict, VerdictKind
from moorage.models.installation import Installation, InstallationId
from moorage.models.log import LogLine
from moorage.models.manifest import Limits, Trigger
from moorage.models.storage import StorageUse
from moorage.models.views import InstallationView
from moorage.orchestrator import outcomes
from moorage.orchestrator.conductor import nothing_noted
from moorage.orchestrator.deliveries import Deliveries
from moorage.orchestrator.extension_views import ExtensionNews, ExtensionViews
from moorage.orchestrator.extensions import ExtensionPoints
from moorage.orchestrator.implementers import Implementers
from moorage.orchestrator.lease import LeaseKeeper
from moorage.orchestrator.listeners import Listeners
from moorage.orchestrator.orchestrator import Orchestrator
from moorage.orchestrator.standing import Judge
from moorage.orchestrator.triggers.application import ApplicationSources
from moorage.orchestrator.triggers.door import DoorParts
from moorage.orchestrator.triggers.firing import Firing
from moorage.orchestrator.triggers.registry import Registry, RegistryParts
from moorage.orchestrator.triggers.schedules import Schedules
from moorage.orchestrator.triggers.webhook import Webhooks
from moorage.owned import OwnedTasks
from moorage.packages.source import collect_sources
from moorage.store.location import location, timeouts
from moorage.store.store import Store
from moorage.supervisor.bounded import BoundedLauncher
from moorage.supervisor.cgroups import Cgroups
from moorage.supervisor.desired import Hold
from moorage.supervisor.disk import DataUse, measure
from moorage.supervisor.health import HealthPolicy
from moorage.supervisor.levels import LevelLauncher
from moorage.supervisor.orders import collect_socket_folders
from moorage.supervisor.records import Records
from moorage.supervisor.restarts import Policy
from moorage.supervisor.snapshot import SnapshotFailed, Snapshots
from moorage.supervisor.supervisor import Parts, Supervisor
from moorage.supervisor.tree import Bounds
from moorage.supervisor.usage import Subject, UsageSampler
from moorage.telemetry.audit import Audit
from moorage.telemetry.logs import HOST_LOGGER, Logs
from moorage.telemetry.masking import Maskers
from moorage_proto.capability import Grants
from moorage_proto.learning import Learnt
from moorage_proto.typed.extension import Point
from moorage_sandbox.report import SandboxReport

log = logging.getLogger(__name__)


class DataLost(Conflict):
    """A reload was tried on an installation's private data, and that is not as it was before."""

    code = "data_lost"

    def __init__(self, installation: InstallationId, problem: str) -> None:
        super().__init__(
            f"{installation} stays held: a reload that failed has touched its private data, and the copy made before it"
            f" could not be brought back. {problem} Mend that, then: moorage release {installation}"
        )


class Wiring:
    """Open between ``async with`` and its end."""

    def __init__(
        self,
        settings: Settings,
        services: Sequence[Service],
        console: DeveloperConsole | None = None,
        keys: KeySource | None = None,
        learnt: Learnt | None = None,
        *,
        predicates: Mapping[str, Predicate],
        points: Sequence[Point] = (),
        sources: ApplicationSources,
        triggers: Mapping[InstallationId, Mapping[str, Trigger]],
        view: Callable[[Installation], Awaitable[InstallationView]],
    ) -> None:
        """``keys``: where the keys of secrets come from, in place of the file that the settings name. ``learnt``:
        everything is allowed and noted there; the host has made sure that it is a developer's. ``predicates`` are
        asked about what ``view`` shows of an installation. ``points``: extension points of the application.
        ``sources`` and ``triggers``: its own, too. Raises SettingsInvalid.
        """
        self._settings = settings
        self._stack = contextlib.AsyncExitStack()
        self._report: SandboxReport | None = None
        self.events = EventBus()
        self.host = _name_among_hosts(settings)
        self.store = Store(
            location(settings.store, settings.store_path), host=self.host, timeouts=timeouts(settings.store)
        )
        self.selection = Selection(self.store, predicates, view)
        self.configs = Configs(settings)
        self.policies = RunPolicies(policies_of(settings))
        self.log_levels = LogLevels(self.store.log_levels, self._tell_levels)
        #: What goes on whoever waits for it.
        self.tasks = OwnedTasks()
        self.maskers = Maskers()
        self.logs = Logs(self.store.logs, maskers=self.maskers)
        self._sinks = AuditSinks(settings.audit)
        self.audit = Audit(self.store.audit, settings.audit, further=self._sinks.by_name, mask=self.maskers.everything)
        self.vault = Vault(
            self.store.secrets,
            keys or KeyFile(settings.key_file),
            shared=settings.shared_secrets,
            sharing=settings.installations,
            mask=self.maskers.set,
        )
        self.hub = EventHub()
        self.environments = EnvironmentBuilder(settings.environments, settings.state_dir)
        self.services = Services(
            config=ConfigService(self._config_of),
            log=LogService(self.logs),
            execution=ExecutionService(self._progressed),
            events=EventsService(self.hub, relay_of(settings, self.hub)),
            secrets=SecretsService(self.vault),
            storage=StorageService(self.measure_storage),
            sql=SqlService.from_settings(settings.sql, self._sql_pace),
            http=HttpService.from_settings(settings.http, self.vault.read),
            kafka=KafkaService.from_settings(settings.kafka),
            redis=RedisService.from_settings(settings.redis, self._present_grants, _name_among_hosts(settings)),
            servicebus=ServiceBusService.from_settings(settings.servicebus, self._present_grants),
        )
        for_developers = [ConsoleService(console, self._held)] if console is not None else []
        self.broker = Broker(
            (*self.services, *for_developers, *services),
            self.audit,
            quota=self._quota,
            learnt=learnt,
            dialler=Dialler.from_settings(settings.http),
        )
        self.cgroups = Cgroups(settings.state_dir, settings.sandbox.cgroup)
        self._records = Records(settings.state_dir)
        self._levels = LevelLauncher()
        self.launcher = BoundedLauncher(self._levels, self.cgroups, self._records)
        self.data_bounds = Bounds(settings.supervision.snapshot_bytes, settings.supervision.snapshot_files)
        self.snapshots = Snapshots(
            settings.state_dir / "data",
            settings.state_dir / "snapshots",
            self.data_bounds,
            settings.supervision.snapshots_kept,
        )
        self.supervisor = Supervisor(self._supervised(settings, console=console is not None))
        self.grant_use = GrantUse(self.broker.uses, self.store.grants)
        self.contributions = KnownContributions(self.store.contributions, self.events, self.supervisor)
        self._late_news = LateNews(self.events, self.supervisor, self.configs, self.log_levels)
        self.usage = UsageSampler(self._subjects, settings.supervision.usage_interval)
        self.orchestrator = Orchestrator(
            self.store,
            self.supervisor,
            self.events,
            host=self.host,
            policy_of=self.policies.of,
            concurrency=settings.orchestrator.concurrency,
            committed=self.services.sql.committed if self.services.sql.notes_commits else nothing_noted,
            tell=self._log_outcome,
            plain=self.maskers.plain,
        )

        self.leases = LeaseKeeper(
            self.store.hosts,
            SystemClock(),
            settings.orchestrator.lease,
            name=socket.gethostname(),
            version=__version__,
            on_lost=self._lease_lost,
            on_regained=self._lease_regained,
            on_dead=self._take_over,
        )

        listeners = Listeners(self.store, self.events, self._handlers_of, learnt)
        self.deliveries = Deliveries(listeners, self.supervisor, self._log_delivery)
        self.hub.attach(self.deliveries, replier=self.deliveries)

        self._extend(settings, points, learnt)
        self._trigger(settings, sources, triggers)

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            make_folder(self._settings.sockets, "run_dir", 0o711)
            await stack.enter_async_context(self.store)
            stack.callback(self.events.close)
            stack.push_async_callback(self._sinks.close)
            for part in (self.audit, self.logs, self.broker):
                stack.push_async_callback(part.close)
                await part.open()
            stack.push_async_callback(self.grant_use.close)
            await self.grant_use.open()
            stack.push_async_callback(asyncio.to_thread, self.cgroups.close)
            await asyncio.to_thread(self._records.clear)
            await asyncio.to_thread(self.cgroups.open)
            stack.push_async_callback(self.launcher.close)
            stack.push_async_callback(_ended, asyncio.create_task(self.usage.run(), name="usage"))
            stack.push_async_callback(_ended, asyncio.create_task(self._late_news.run(), name="late news"))
            stack.push_async_callback(_ended, asyncio.create_task(self.contributions.run(), name="contributions"))
            stack.push_async_callback(_ended, asyncio.create_task(self._extension_news.run(), name="extensions"))
            stack.push_async_callback(self.extension_points.settled)
            stack.push_async_callback(self.deliveries.settled)
            stack.push_async_callback(self.supervisor.stop_all, "the host stops")
            stack.callback(self.deliveries.stop)
            stack.callback(self.extension_points.stop)
            if self.store.shared:
                stack.push_async_callback(self.leases.close)
                await self.leases.open()
            stack.push_async_callback(self.orchestrator.stop, self._settings.supervision.stop_drain)
            for name, values in (await self.store.config.all()).items():
                self.configs.learn(name, values)
            for name, own in (await self.store.policy_values.all()).items():
                self.policies.learn(name, own)
            stack.push_async_callback(self.tasks.settled)
            stack.push_async_callback(self.log_levels.close)
            await self.log_levels.open()
            self.supervisor.remember_switch(await self.store.switches.get())
            if self.services.sql.notes_commits:
                open_ones = await self.store.executions.open_ones()
                await self.services.sql.forget_commits([execution.id for execution in open_ones])
            installations = await self.store.installations.list()
            for installation in installations:
                self.remember(installation)
            await self._bury()
            for installation in installations:
                await self._bring_back_data(installation)
            await asyncio.to_thread(self._collect, installations)
            # Before all else that stops: no more work comes in.
            stack.push_async_callback(self.registry.close)
            await self.registry.open()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def begin(self) -> None:
        """What was accepted before takes its turn, and triggers work from now on. May be called twice."""
        self.orchestrator.resume()
        await self.registry.start(self._schedules)

    def _supervised(self, settings: Settings, *, console: bool) -> Parts:
        """What the supervisor works with."""
        return Parts(
            store=self.store,
            shard=LocalShard(
                self.broker,
                lambda: self.services.sql.backends,
                console=console,
                log_levels=self.log_levels.for_worker,
            ),
            launcher=self.launcher,
            environments=self.environments,
            logs=self.logs,
            audit=self.audit,
            sockets=settings.sockets,
            data=settings.state_dir / "data",
            snapshots=self.snapshots,
            announce=self.events.announce,
            policy=_policy(settings),
            health=_health(settings.supervision),
            idle_stop=self._idle_stop,
            private=(settings.state_dir, settings.sockets),
            development=settings.sandbox.development,
            require=settings.required_level,
            most_cpus=settings.most_cpus,
            authorities=settings.http.ca_file,
            config=self.configs.of,
            storage=settings.storage,
        )

    def _extend(self, settings: Settings, points: Sequence[Point], learnt: Learnt | None) -> None:
        """The application's extension points, and what is known of who implements them."""
        judge, implementers = Judge(points), Implementers(self.store, self.events, self._contributions_of, learnt)
        self.extension_points = ExtensionPoints(
            judge,
            implementers,
            self.supervisor,
            limits=CallLimits(settings.extensions.timeout, settings.extensions.at_once),
            tell=self._log_call,
            plain=self.maskers.plain,
            ready=lambda name: self._contributions_of(name) is not None,
        )
        self.extension_views = ExtensionViews(judge, implementers, self.extension_points.counter)
        self._extension_news = ExtensionNews(
            self.extension_views, self.events, self._contributions_of, self._log_extension
        )

    def _trigger(
        self,
        settings: Settings,
        sources: ApplicationSources,
        declared: Mapping[InstallationId, Mapping[str, Trigger]],
    ) -> None:
        """What starts executions without a person."""
        started = SystemClock().now().isoformat()
        listening = TriggerSources(
            self.services, self.hub, self.events, self.store, sources, self.host, f"{self.host}/{started}"
        )
        self.registry = Registry(
            RegistryParts(
                self.store,
                self.events,
                SystemClock(),
                replace(triggers_of(settings), application=declared),
                listening.kinds(),
                self.selection.select,
                HostClaims(self.store, self.host),
            ),
            self._door_parts,
        )
        self.webhooks = Webhooks(
            self.registry, self.registry.door_parts, self.vault.read, per_second=settings.webhooks.rate
        )
        self._schedules = Schedules(
            self.store.triggers,
            Firing(self.registry.door_parts, self.registry.obstacle),
            clock=SystemClock(),
        )

    def remember(self, installation: Installation) -> None:
        """What the next worker runs from now on."""
        self.supervisor.know(installation)

    @property
    def kafka_servers(self) -> Mapping[str, str]:
        return self.services.kafka.bootstrap_servers

    @property
    def servicebus_connection_strings(self) -> Mapping[str, str]:
        return self.services.servicebus.connection_strings

    async def sandbox_report(self) -> SandboxReport:
        """Probed once; what the kernel offers does not change while the host runs."""
        if self._report is None:
            self._report = self.cgroups.available.in_report(await self._levels.report())
        return self._report

    def _subjects(self) -> list[Subject]:
        return [
            Subject(each.status.installation, each.id, each.status.pid, each.group, each.calls, each.denied)
            for each in self.supervisor.all_living()
            if each.status.pid
        ]

    def _config_of(self, installation: InstallationId, incarnation: str) -> Mapping[str, Any]:
        """As they count for the version that asks: during a reload there may be two."""
        for each in self.supervisor.living(installation):
            if each.id == incarnation:
                return self.configs.of_or_empty(each.installation)
        return {}

    async def _tell_levels(self, name: InstallationId) -> None:
        levels = self.log_levels.for_worker(name)
        ready = [each for each in self.supervisor.living(name) if each.ready]
        await asyncio.gather(*(each.set_log_levels(levels) for each in ready))

    def data_of(self, name: InstallationId) -> Path:
        """Its private folder; it may not be there yet."""
        return self._settings.state_dir / "data" / name

    async def measure_storage(self, name: InstallationId) -> StorageUse:
        """Raises InstallationUnknown."""
        installation = await self.store.installations.get(name)
        limit = self.supervisor.data_limit(installation, await self.store.grants.effective(name))
        try:
            use = await asyncio.to_thread(measure, self.data_of(name), limit)
        except OSError:
            use = DataUse(0, 0)  # it has none yet, or it is being put back
        return StorageUse(use.content_bytes, limit.content_bytes, use.files, limit.files, use.problem)

    async def bring_back_data(self, name: InstallationId) -> None:
        """Before what was held for its data may run: what could not be brought back then is tried again.

        Raises DataLost.
        """
        if self.supervisor.reloading(name) or self.supervisor.living(name):
            return
        try:
            await asyncio.to_thread(self.snapshots.recover, await self.store.installations.get(name))
        except SnapshotFailed as error:
            raise DataLost(name, error.problem) from error

    async def _bring_back_data(self, installation: Installation) -> None:
        """After a host that died in the middle of a reload in turn. Where it cannot be, nothing may touch the data."""
        try:
            snapshot = await asyncio.to_thread(self.snapshots.recover, installation)
        except SnapshotFailed as error:
            reason = f"a reload was interrupted, and its data could not be brought back. {error.problem}"
            await self.supervisor.change(installation.id, Hold(reason, "host"), by="host")
            log.error("%s: %s", installation.id, reason)
        else:
            if snapshot is not None:
                log.warning(
                    "%s: a reload was interrupted; its data is as it was at %s", installation.id, snapshot.taken_at
                )

    def _quota(self, installation: InstallationId, limits: Limits) -> Limits:
        return self._settings.installations.get(installation, InstallationSettings()).quota(limits)

    def _present_grants(self, installation: InstallationId) -> Grants:
        return self.broker.grants_of(installation)

    def _sql_pace(self, installation: InstallationId) -> Pace:
        """Half of what its workers may use, while others call."""
        cores = self._settings.most_cpus(installation) / 2
        return Pace(cores, crowded=lambda: self.broker.others_call(installation))

    def _contributions_of(self, name: InstallationId) -> Contributions | None:
        """Of its newest ready worker."""
        return next((each.contributions for each in self.supervisor.living(name) if each.ready), None)

    def _handlers_of(self, name: InstallationId) -> Sequence[HandlerView] | None:
        contributions = self._contributions_of(name)
        return contributions.handlers if contributions is not None else None

    def _log_delivery(self, name: InstallationId, event: PluginEvent, sentence: str) -> None:
        """A handler that failed is one line in its plugin's log."""
        self.logs.write(LogLine(name, "", event.time, logging.ERROR, HOST_LOGGER, sentence))

    def _log_call(self, method: str, failure: ExtensionFailure) -> None:
        """An extension that failed is one line in its plugin's log."""
        told = f"A call of {method} {failure.kind.value.replace('_', ' ')}: {failure.sentence}"
        name, now = failure.installation, datetime.now(UTC)
        self.logs.write(LogLine(name, "", now, logging.ERROR, HOST_LOGGER, told, exception=failure.traceback))

    def _log_extension(self, name: InstallationId, sentence: str) -> None:
        self.logs.write(LogLine(name, "", datetime.now(UTC), logging.WARNING, HOST_LOGGER, sentence))

    def _log_outcome(self, execution: Execution) -> None:
        """A failed execution is one line in its plugin's log."""
        message = outcomes.in_log(execution)
        if message:
            incarnation = execution.worker.incarnation if execution.worker is not None else ""
            time = execution.ended_at or datetime.now(UTC)
            line = LogLine(
                execution.installation, incarnation, time, logging.ERROR, HOST_LOGGER, message, execution=execution.id
            )
            self.logs.write(line)

    @contextlib.contextmanager
    def _held(self, installation: InstallationId, incarnation: str, execution: str) -> Iterator[None]:
        """Deadlines stand still while a plugin waits at a breakpoint for its developer."""
        with self.orchestrator.held(installation, execution), self.supervisor.held(installation, incarnation):
            yield

    def _progressed(self, execution: str, fraction: float, message: str) -> None:
        self.orchestrator.progressed(execution, fraction, message)

    def _collect(self, installations: Sequence[Installation]) -> None:
        """Removes environments and copies of code that nothing uses. No worker runs yet, and the state lock is held."""
        self.environments.collect({installation.venv_key for installation in installations})
        collect_sources(self._settings.state_dir / "code", {each.code_path.name for each in installations})
        collect_socket_folders(self._settings.sockets)

    def _door_parts(self, registry: Registry) -> DoorParts:
        return DoorParts(
            self.orchestrator,
            self.store.triggers,
            SystemClock(),
            self.policies.of,
            registry.targets,
            registry.known,
        )

    def _lease_lost(self) -> None:
        self.orchestrator.lease_lost()
        self.registry.lease_lost()

    async def _lease_regained(self) -> None:
        await self.orchestrator.lease_regained()
        await self.registry.lease_regained()

    async def _take_over(self, dead: tuple[str, ...]) -> None:
        """What these hosts had, and what they listened to alone."""
        for host in dead:
            await self._bury(host)
            await self.store.triggers.release(host)
        await self.orchestrator.take_over(dead)

    async def _bury(self, host: str | None = None) -> None:
        """Workers that a dead host, or this one when it ended, left without a verdict are gone: they end with it."""
        for status in await self.store.incarnations.living(host):
            verdict = Verdict(VerdictKind.HOST_DIED, "Its host ended without stopping it, and the kernel ended it too.")
            await self.store.incarnations.record(_dead(status, verdict))

    def _idle_stop(self, installation: InstallationId) -> timedelta | None:
        own = self._settings.installations.get(installation, InstallationSettings()).idle_stop
        idle_stop = self._settings.supervision.idle_stop if own is None else own
        return idle_stop or None


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait((task,))


def _dead(status: IncarnationStatus, verdict: Verdict) -> IncarnationStatus:
    return replace(status, state=IncarnationState.STOPPED, verdict=verdict, stopped_at=datetime.now(UTC))


def _name_among_hosts(settings: Settings) -> str:
    """The same after a restart, and another host's is another: for what a host leaves on shared servers."""
    return hashlib.sha256(f"{socket.gethostname()}:{settings.state_dir}".encode()).hexdigest()[:12]


def _policy(settings: Settings) -> Policy:
    supervision = settings.supervision
    return Policy(
        restarts=supervision.restarts,
        window=supervision.window,
        stable_after=supervision.stable_after,
        backoff_first=supervision.backoff_first,
        backoff_most=supervision.backoff_most,
        forgiving=settings.sandbox.development,
    )


def _health(settings: SupervisionSettings) -> HealthPolicy:
    return HealthPolicy(
        interval=settings.health_interval,
        timeout=settings.health_timeout,
        silence_limit=settings.silence_limit,
        unhealthy_limit=settings.unhealthy_limit,
    )
