"""The supervisor: a keeper for each installation, and what the host asks of them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from moorage.clock import Clock, SystemClock, sleep
from moorage.config.services.storage import StorageSettings
from moorage.events.events import (
    ConditionChanged,
    Crashed,
    DesiredChanged,
    Event,
    Loaded,
    StateChanged,
    SwitchChanged,
    Unloaded,
)
from moorage.models.attachment import Health
from moorage.models.audit import AuditEntry, AuditKind
from moorage.models.health import Condition
from moorage.models.incarnation import IncarnationState, IncarnationStatus
from moorage.models.installation import DesiredState, Installation, InstallationId
from moorage.models.reload import ReloadReport
from moorage.models.switch import SwitchState
from moorage.owned import OwnedTasks
from moorage.store.errors import StoreFailed
from moorage.store.store import Store
from moorage.supervisor import desired
from moorage.supervisor.desired import Change, Hold
from moorage.supervisor.disk import DataLimit
from moorage.supervisor.errors import ReloadUnderway, WorkerMissing
from moorage.supervisor.health import HealthPolicy
from moorage.supervisor.incarnation import Incarnation
from moorage.supervisor.keeper import Keeper, Means
from moorage.supervisor.launch import Launch
from moorage.supervisor.launcher import Launcher
from moorage.supervisor.lifecycle import Transition
from moorage.supervisor.member import Ended
from moorage.supervisor.orders import Commission, Environments, Orders, data_limit
from moorage.supervisor.reload import Reload, ReloadOrder
from moorage.supervisor.restarts import Policy
from moorage.supervisor.shard import Shard
from moorage.supervisor.snapshot import Snapshots
from moorage.telemetry.audit import Audit
from moorage.telemetry.capture import OutputCapture
from moorage.telemetry.logs import Logs
from moorage_proto.capability import Grants
from moorage_proto.errors import CallError

log = logging.getLogger(__name__)

#: Between attempts to record a step of a worker, while the store fails.
_RECORD_DELAYS = tuple(timedelta(seconds=seconds) for seconds in (0.05, 0.2, 1, 5, 20))


def _never(_: InstallationId) -> timedelta | None:
    return None


@dataclass(frozen=True)
class Parts:
    """What the supervisor works with; the composition root brings it together."""

    store: Store
    shard: Shard
    launcher: Launcher
    environments: Environments
    logs: Logs
    audit: Audit
    #: Folder in which each worker's socket has a folder of its own.
    sockets: Path
    #: Folder with a data folder for each installation, and the copies of these.
    data: Path
    snapshots: Snapshots
    #: Called with what has happened, after it was stored.
    announce: Callable[[Event], None]
    policy: Policy = field(default_factory=Policy)
    health: HealthPolicy = field(default_factory=HealthPolicy)
    #: After how long without a session an installation is stopped.
    idle_stop: Callable[[InstallationId], timedelta | None] = _never
    clock: Clock = field(default_factory=SystemClock)
    #: Folders of the host's own: no grant opens any of them to a plugin.
    private: tuple[Path, ...] = ()
    #: What a sandbox forbids fails and is named, instead of ending the worker.
    development: bool = False
    #: Lowest sandbox level at which an installation may start.
    require: Callable[[InstallationId], str] = lambda _: "full"
    #: Most CPU cores of an installation, whatever its manifest says; None: no bound but the manifest's.
    most_cpus: Callable[[InstallationId], float | None] = lambda _: None
    #: As in ``Orders``.
    authorities: Path | None = None
    #: What bounds data folders where no grant does.
    storage: StorageSettings = field(default_factory=StorageSettings)
    #: The settings of an installation, as they count now. Raises ConfigInvalid.
    config: Callable[[Installation], Mapping[str, Any]] = lambda installation: installation.config


class Supervisor:
    """Starts on demand, hands out sessions, stops. Every end is recorded before it is announced."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        folders = (parts.sockets, parts.data)
        self._orders = Orders(
            parts.store,
            parts.environments,
            *folders,
            private=parts.private,
            development=parts.development,
            require=parts.require,
            most_cpus=parts.most_cpus,
            authorities=parts.authorities,
            config=parts.config,
            storage=parts.storage,
        )
        self._keepers: dict[InstallationId, Keeper] = {}
        self._tasks, self._reloads = OwnedTasks(), OwnedTasks()
        self._reloading: set[InstallationId] = set()
        #: One change of a desired state at a time, for each installation.
        self._changing: dict[InstallationId, asyncio.Lock] = {}
        #: How everything was switched off, as it counts now; empty: it is on.
        self._switched_off = ""
        self._switching = asyncio.Lock()

    # -- what there is -------------------------------------------------------------------------------------------

    def keeper(self, installation: InstallationId) -> Keeper | None:
        """None: it is not known here; whoever needs a session of it makes it so."""
        return self._keepers.get(installation)

    def living(self, installation: InstallationId) -> tuple[Incarnation, ...]:
        """Its workers, newest first, those on their way out included."""
        keeper = self._keepers.get(installation)
        return keeper.incarnations if keeper is not None else ()

    def all_living(self) -> tuple[Incarnation, ...]:
        """Of all installations."""
        return tuple(incarnation for keeper in self._keepers.values() for incarnation in keeper.incarnations)

    def current(self, installation: InstallationId) -> Incarnation | None:
        """The newest of them."""
        return next(iter(self.living(installation)), None)

    async def health(self, installation: InstallationId) -> Health:
        """The plugin's own opinion of its state. Raises WorkerMissing, CallError."""
        keeper = self._keepers.get(installation)
        if keeper is None or not keeper.ready:
            raise WorkerMissing(installation)
        return await keeper.ready[0].health()

    # -- who needs a worker --------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def session(self, installation: InstallationId) -> AsyncIterator[Incarnation]:
        """The ready incarnation with the fewest sessions, started if there is none.

        Raises NotRunnable, StartFailed, SandboxFailed.
        """
        async with (await self._keeper(installation)).session() as incarnation:
            yield incarnation

    async def start(self, installation: InstallationId) -> Incarnation:
        """A ready incarnation; callers that come while it starts share the one start. Raises as ``session``."""
        return await (await self._keeper(installation)).start()

    # -- ends that somebody plans --------------------------------------------------------------------------------

    async def stop(self, installation: InstallationId, reason: str) -> Ended:
        """Returns when nothing of it is left; the next who needs it starts it."""
        keeper = self._keepers.get(installation)
        return await keeper.stop(reason) if keeper is not None else Ended()

    async def kill(self, installation: InstallationId, reason: str) -> Ended:
        """At once, also where a stop waits for the plugin."""
        keeper = self._keepers.get(installation)
        return await keeper.kill(reason) if keeper is not None else Ended()

    async def stop_all(self, reason: str) -> dict[InstallationId, Ended]:
        """Stops every installation at the same time; those that had no worker are not named."""
        keepers = [keeper for keeper in self._keepers.values() if keeper.wanted or keeper.incarnations]
        stopped = await self._all(keepers, lambda keeper: keeper.stop(reason))
        # Of what is not wanted any more a reload has nothing left to do but to take back what it did.
        await self._reloads.settled()
        return stopped

    # -- other versions ------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def held(self, installation: InstallationId, incarnation: str) -> Iterator[None]:
        """The deadline of a start stands still, and silence is no sign: a developer looks into the plugin."""
        with contextlib.ExitStack() as holds:
            for each in self.living(installation):
                if each.id == incarnation:
                    holds.enter_context(each.held())
                    holds.enter_context(each.unobserved())
            yield

    def runs(self, installation: InstallationId) -> bool:
        """Whether it is kept up, and may be: then another version takes its place by a reload."""
        keeper = self._keepers.get(installation)
        return keeper is not None and keeper.wanted and not desired.obstacle(installation, keeper.installation.desired)

    def reloading(self, installation: InstallationId) -> bool:
        return installation in self._reloading

    async def reload(self, order: ReloadOrder) -> ReloadReport:
        """Puts the order's target in the place of what runs; it goes on when its caller is cancelled.

        Raises ReloadFailed: all is as it was; ReloadUnderway.
        """
        name = order.target.id
        if name in self._reloading:
            raise ReloadUnderway(name)
        self._reloading.add(name)
        try:
            keeper = await self._keeper(name)
        except BaseException:
            self._reloading.discard(name)
            raise
        reload = Reload(
            keeper, order, self._parts.snapshots, self._parts.clock, lambda reason: self._held_by_host(name, reason)
        )
        work = self._reloads.start(reload.run(), f"reload {name}")
        work.add_done_callback(lambda _: self._reloading.discard(name))
        return await asyncio.shield(work)

    # -- what people want ----------------------------------------------------------------------------------------

    async def change(self, installation: InstallationId, change: Change, *, by: str = "") -> Installation:
        """The one way to another desired state: stored, then announced, then acted upon.

        Raises InstallationUnknown, ReplicasInvalid.
        """
        # Not to be left between the store and the keeper by whoever waits no longer.
        return await asyncio.shield(self._tasks.start(self._change(installation, change, by), f"change {installation}"))

    async def forbid(self, installation: InstallationId, change: Change, reason: str, *, by: str = "") -> Ended:
        """A change after which it may not run any more: returns when nothing of it is left. Raises as ``change``."""
        return await asyncio.shield(
            self._tasks.start(self._forbid(installation, change, reason, by), f"forbid {installation}")
        )

    async def _forbid(self, installation: InstallationId, change: Change, reason: str, by: str) -> Ended:
        await self._change(installation, change, by)
        # In the same turn of the event loop: those who go because of it are counted here.
        return await self._keepers[installation].retire(reason)

    async def _change(self, installation: InstallationId, change: Change, by: str) -> Installation:
        async with self._changing.setdefault(installation, asyncio.Lock()):
            found, stored = await self._parts.store.installations.change_desired(
                installation, lambda present: desired.after(present, change)
            )
            # Without a change as well: what could not be stored may count in memory alone.
            if stored.desired != found.desired:
                told = desired.announced(installation, found.desired, stored.desired, change, by or "host")
                self._parts.announce(told)
            await self._desire(installation, stored.desired)
            return stored

    async def look(self, installation: InstallationId) -> None:
        """What another host has stored of its desired state counts here too: announced, then acted upon.

        Raises InstallationUnknown.
        """
        async with self._changing.setdefault(installation, asyncio.Lock()):
            stored = await self._parts.store.installations.get(installation)
            known = (await self._keeper(installation)).installation.desired
            wanted = replace(stored.desired, switched_off=self._switched_off)
            if wanted != known:
                self._parts.announce(desired.seen(installation, known, wanted))
                await self._desire(installation, wanted)

    async def look_at_switch(self) -> None:
        """The same of the switch for all installations."""
        async with self._switching:
            state = await self._parts.store.switches.get()
            if state.off != self._switched_off:
                # Told as if it had been thrown here; who threw it, and why, is the state's.
                self.switched(SwitchState(is_on=not state.is_on), state)

    async def gone(self, installation: InstallationId, reason: str) -> None:
        """Another host removed it from the store: returns when nothing of it is left here."""
        keeper = self._keepers.get(installation)
        if keeper is not None:
            keeper.desire(replace(keeper.installation.desired, enabled=False))
            await keeper.retire(reason)
            self.forget(installation)

    async def _desire(self, installation: InstallationId, wanted: DesiredState) -> None:
        """What was read before everything was switched does not undo that."""
        keeper = await self._keeper(installation)
        keeper.desire(replace(wanted, switched_off=self._switched_off))

    async def switch(self, state: SwitchState) -> dict[InstallationId, Ended]:
        """Lets nothing run any more, or everything that may and was up: stored, then announced, then acted upon.

        Returns when nothing runs where nothing may, with what it came to; who had no worker is not named. Of what comes
        up again it does not wait for anything.
        """
        return await asyncio.shield(self._tasks.start(self._switch(state), "switch"))

    async def _switch(self, state: SwitchState) -> dict[InstallationId, Ended]:
        async with self._switching:
            before = await self._parts.store.switches.get()
            await self._parts.store.switches.put(state)
            self.switched(before, state)
        if state.is_on:
            return {}
        # In the same turn of the event loop: those who go because of it are counted here.
        gone = {name: keeper.retire(f"everything is {state.off}") for name, keeper in self._keepers.items()}
        ended = dict(zip(gone, await asyncio.gather(*gone.values()), strict=True))
        return {name: each for name, each in ended.items() if each.processes or each.executions}

    def switched(self, before: SwitchState, state: SwitchState) -> None:
        """What is stored of the switch counts from now on."""
        self.remember_switch(state)
        self._parts.announce(SwitchChanged("", before, state))
        for name, keeper in tuple(self._keepers.items()):
            known = keeper.installation.desired
            if known.switched_off != state.off:
                now = replace(known, switched_off=state.off)
                reason = desired.switched(state)
                self._parts.announce(DesiredChanged(name, known, now, reason, state.set_by or "host"))
                keeper.desire(now)

    def remember_switch(self, state: SwitchState) -> None:
        """As the host before left it; to be called before anything else is known."""
        self._switched_off = state.off

    def know(self, installation: Installation) -> None:
        """It was read from the store, or stored anew: the next worker runs this. Of one that is known already the
        desired state stays: ``change`` alone changes that.
        """
        keeper = self._keepers.get(installation.id)
        if keeper is None:
            self._keepers[installation.id] = self._new(installation)
        else:
            keeper.know(installation)

    @contextlib.asynccontextmanager
    async def at_rest(self, installation: InstallationId, reason: str) -> AsyncIterator[None]:
        """Nothing of it runs meanwhile: what runs is brought to its end first, and what comes waits. Afterwards it is
        up again where it was wanted. Raises InstallationUnknown, ReloadUnderway.
        """
        if installation in self._reloading:
            raise ReloadUnderway(installation)
        self._reloading.add(installation)
        try:
            keeper = await self._keeper(installation)
            async with keeper.paused(reason):
                await keeper.drained(keeper.installation.manifest.limits.timeout)
                await keeper.retire(reason)
                yield
        finally:
            self._reloading.discard(installation)

    def forget(self, installation: InstallationId) -> None:
        """It was removed from the store, and nothing of it runs."""
        self._keepers.pop(installation, None)
        self._changing.pop(installation, None)

    def data_limit(self, installation: Installation, grants: Grants) -> DataLimit:
        """What its data folder may hold."""
        return data_limit(installation.manifest.limits, grants, self._parts.storage)

    async def regrant(self, installation: InstallationId) -> Grants:
        """Its workers' calls are decided by the grants that are stored now, each by what its own version requests.

        Returns those of what is installed. Raises InstallationUnknown.
        """
        store, keeper = self._parts.store.grants, self._keepers.get(installation)
        if keeper is not None:
            rights = [(manifest, await store.rights(installation, manifest)) for manifest in keeper.manifests]
            keeper.set_grants([(manifest, each.effective) for manifest, each in rights])
        return await store.effective(installation)

    async def _held_by_host(self, installation: InstallationId, reason: str) -> None:
        """Whatever the store says: nothing may run."""
        change = Hold(reason, "host")
        try:
            await self.change(installation, change, by="host")
        except Exception:
            log.exception("%s: that it is held could not be stored; it counts until the host stops", installation)
            keeper = await self._keeper(installation)
            keeper.desire(desired.after(keeper.installation.desired, change))

    # -- inside --------------------------------------------------------------------------------------------------

    async def _keeper(self, installation: InstallationId) -> Keeper:
        """Raises InstallationUnknown."""
        if installation not in self._keepers:
            found = await self._parts.store.installations.get(installation)
            # What was made known meanwhile is newer.
            self._keepers.setdefault(installation, self._new(found))
        return self._keepers[installation]

    def _new(self, installation: Installation) -> Keeper:
        wanted = replace(installation.desired, switched_off=self._switched_off)
        return Keeper(replace(installation, desired=wanted), self._means(installation.id))

    def _means(self, installation: InstallationId) -> Means:
        parts = self._parts
        return Means(
            make=self._make,
            quarantine=self.change,
            clock=parts.clock,
            policy=parts.policy,
            idle_stop=parts.idle_stop(installation),
        )

    async def _all(
        self, keepers: list[Keeper], end: Callable[[Keeper], Coroutine[Any, Any, Ended]]
    ) -> dict[InstallationId, Ended]:
        """One failure does not keep the others from ending; it is raised when they have."""
        ended = await asyncio.gather(*(end(keeper) for keeper in keepers), return_exceptions=True)
        failures = [result for result in ended if isinstance(result, BaseException)]
        if failures:
            raise failures[0]
        pairs = zip(keepers, ended, strict=True)
        return {keeper.name: result for keeper, result in pairs if isinstance(result, Ended)}

    async def _make(self, commission: Commission) -> Incarnation:
        parts, name = self._parts, commission.installation.id
        launch = await self._orders.launch(commission)
        identity = launch.order.incarnation
        return Incarnation(
            replace(launch, health=parts.health),
            shard=parts.shard,
            launcher=parts.launcher,
            capture=OutputCapture(name, identity, parts.logs),
            on_refused=lambda error: self._refused(name, identity, error),
            on_change=lambda transition: self._changed(launch, transition),
            on_condition=self._condition_changed,
            clock=parts.clock,
        )

    def _refused(self, installation: InstallationId, incarnation: str, error: CallError) -> None:
        self._parts.audit.record(
            AuditEntry(
                time=datetime.now(UTC),
                kind=AuditKind.LINK_REFUSED,
                installation=installation,
                actor=incarnation,
                action="/moorage.v1.LinkService/Link",
                message=error.message,
            )
        )

    async def _condition_changed(self, status: IncarnationStatus, condition: Condition) -> None:
        self._parts.announce(ConditionChanged(status.installation, status, condition))

    async def _record(self, status: IncarnationStatus) -> None:
        """Tried again until it is written: a verdict that is lost would be found, and misread, by the next host."""
        delays = itertools.chain(_RECORD_DELAYS, itertools.repeat(_RECORD_DELAYS[-1]))
        while True:
            try:
                await self._parts.store.incarnations.record(status)
            except StoreFailed as error:
                log.warning("%s: %s was not recorded, and is tried again: %s", status.id, status.state, error)
                await sleep(self._parts.clock, next(delays))
            else:
                return

    async def _changed(self, launch: Launch, transition: Transition) -> None:
        """Written first, announced second."""
        status, announce = transition.status, self._parts.announce
        await self._record(status)
        if status.state is transition.before:
            return
        version = launch.installation.manifest.version
        if status.state is IncarnationState.READY and version != launch.from_version:
            await self._parts.store.installations.loaded(status.installation, version)
        announce(StateChanged(status.installation, transition.before, status, transition.reason))
        if status.state is IncarnationState.READY:
            announce(Loaded(status.installation, status))
        elif status.verdict is not None:
            announce((Unloaded if status.verdict.planned else Crashed)(status.installation, status))
