"""The supervisor: one slot for each installation, in which incarnations follow one another."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import psutil

from moorage.environments.builder import Environment
from moorage.environments.runtime import Runtime
from moorage.models.attachment import Health
from moorage.models.audit import AuditEntry, AuditKind
from moorage.models.incarnation import IncarnationStatus
from moorage.models.installation import Installation, InstallationId
from moorage.store.store import Store
from moorage.supervisor.errors import NotRunnable, WorkerMissing
from moorage.supervisor.incarnation import Incarnation, Launch
from moorage.supervisor.launcher import Launcher, WorkerOrder
from moorage.supervisor.shard import Shard
from moorage.telemetry.audit import Audit
from moorage.telemetry.capture import OutputCapture
from moorage.telemetry.logs import Logs
from moorage_proto.capability import Capability, Grants
from moorage_proto.errors import CallError


class Environments(Protocol):
    """Where the supervisor gets venvs and runtimes from; both are built at install, never at start."""

    async def get(self, key: str) -> Environment: ...

    async def runtime(self, environment: Environment) -> Runtime: ...


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
    #: Folder with a data folder for each installation.
    data: Path
    #: Announces a change of an incarnation, after it was stored.
    announce: Callable[[IncarnationStatus], Awaitable[None]]


@dataclass(frozen=True)
class Ended:
    """What a stop or kill cost."""

    #: Executions that were cancelled.
    executions: tuple[str, ...] = ()
    #: Processes that are gone.
    processes: int = 0


class Slot:
    """The present incarnation of one installation, and who waits for it."""

    def __init__(self) -> None:
        self.current: Incarnation | None = None
        self.starting: asyncio.Task[Incarnation] | None = None
        #: Serialises stops; starts are shared through ``starting``.
        self.stopping = asyncio.Lock()

    def started(self, start: asyncio.Task[Incarnation]) -> None:
        """A start has ended, one way or another; also one that was given up before its first step."""
        if self.starting is start:
            self.starting = None


class Supervisor:
    """Starts on demand, hands out sessions, stops. Every end is recorded before it is announced."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._slots: dict[InstallationId, Slot] = {}

    def current(self, installation: InstallationId) -> Incarnation | None:
        slot = self._slots.get(installation)
        return slot.current if slot is not None else None

    @contextlib.asynccontextmanager
    async def session(self, installation: InstallationId) -> AsyncIterator[Incarnation]:
        """A ready incarnation, started if there is none.

        Raises NotRunnable, StartFailed, SandboxFailed.
        """
        yield await self.start(installation)

    async def start(self, installation: InstallationId) -> Incarnation:
        """The ready incarnation; callers that come while it starts share the one start."""
        slot = self._slots.setdefault(installation, Slot())
        async with slot.stopping:
            if slot.current is not None and slot.current.ready:
                return slot.current
            if slot.starting is None:
                slot.starting = asyncio.create_task(self._start(installation, slot), name=f"start {installation}")
                slot.starting.add_done_callback(slot.started)
            starting = slot.starting
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            if starting.cancelled():
                raise NotRunnable(installation, "it was stopped while it started") from None
            raise

    async def health(self, installation: InstallationId) -> Health:
        """The plugin's own opinion of its state. Raises WorkerMissing, CallError."""
        incarnation = self.current(installation)
        if incarnation is None or not incarnation.ready:
            raise WorkerMissing(installation)
        return await incarnation.health()

    async def stop(self, installation: InstallationId, reason: str) -> Ended:
        """Returns when nothing of it is left."""
        slot = await self._without_start(installation)
        async with slot.stopping:
            return await _end(slot, lambda incarnation: incarnation.stop(reason))

    async def kill(self, installation: InstallationId, reason: str) -> Ended:
        """At once, also where a stop waits for the plugin."""
        slot = await self._without_start(installation)
        return await _end(slot, lambda incarnation: incarnation.kill(reason))

    async def stop_all(self, reason: str) -> dict[InstallationId, Ended]:
        """Stops every installation at the same time."""
        names = [name for name, slot in self._slots.items() if slot.current is not None or slot.starting is not None]
        ended = await asyncio.gather(*(self.stop(name, reason) for name in names), return_exceptions=True)
        failures = [result for result in ended if isinstance(result, BaseException)]
        if failures:
            raise failures[0]
        return {name: result for name, result in zip(names, ended, strict=True) if isinstance(result, Ended)}

    def set_grants(self, installation: InstallationId, grants: Grants) -> None:
        """A running worker's calls are decided by the new grants from now on."""
        incarnation = self.current(installation)
        if incarnation is not None:
            incarnation.set_grants(grants)

    async def _without_start(self, installation: InstallationId) -> Slot:
        """Its slot, after a start under way was given up."""
        slot = self._slots.setdefault(installation, Slot())
        starting = slot.starting
        if starting is not None:
            starting.cancel()
            await asyncio.wait((starting,))
        return slot

    async def _start(self, installation: InstallationId, slot: Slot) -> Incarnation:
        if slot.current is not None:
            await slot.current.wait()  # a tainted one may still be on its way out
        incarnation = await self._make(installation)
        slot.current = incarnation
        await incarnation.start()
        return incarnation

    async def _make(self, name: InstallationId) -> Incarnation:
        parts = self._parts
        installation = await parts.store.installations.get(name)
        grants = await parts.store.grants.effective(name)
        check_runnable(installation, await parts.store.grants.missing(name))
        environment = await parts.environments.get(installation.venv_key)
        runtime = await parts.environments.runtime(environment)
        number = await parts.store.incarnations.next_number(name)
        identity = f"{name}-{number}-{secrets.token_hex(3)}"
        launch = Launch(
            installation=installation,
            number=number,
            order=self._order(installation, environment, runtime, identity),
            grants=grants,
            python=environment.python,
        )
        return Incarnation(
            launch,
            shard=parts.shard,
            launcher=parts.launcher,
            capture=OutputCapture(name, identity, parts.logs),
            on_refused=lambda error: self._refused(name, identity, error),
            on_change=self._changed,
        )

    def _order(
        self, installation: Installation, environment: Environment, runtime: Runtime, identity: str
    ) -> WorkerOrder:
        limits = installation.manifest.limits
        return WorkerOrder(
            installation=installation.id,
            incarnation=identity,
            interpreter=environment.interpreter.path,
            runtime_path=runtime.runtime_path,
            sdk_path=runtime.sdk_path,
            use_runtime=not environment.pins_runtime,
            venv_path=environment.path,
            code_path=installation.code_path,
            code_roots=installation.code_roots,
            data_path=self._data_folder(installation),
            socket_dir=self._socket_folder(installation),
            start_record=b"",
            uid=installation.uid,
            memory_bytes=limits.memory_bytes,
            pids=limits.pids,
            start=installation.start or ("fresh" if environment.pins_runtime else "zygote"),
            stdout_fd=-1,
            stderr_fd=-1,
            cpus=limits.cpus,
        )

    def _data_folder(self, installation: Installation) -> Path:
        folder = self._parts.data / installation.id
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if installation.uid is not None:
            os.chown(folder, installation.uid, installation.uid)
        return folder

    def _socket_folder(self, installation: Installation) -> Path:
        """A short name: the path of a socket has room for 108 bytes."""
        folder = self._parts.sockets / f"w{secrets.token_hex(4)}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o711, parents=True)
        if installation.uid is not None:
            folder.chmod(0o711)
        return folder

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

    async def _changed(self, status: IncarnationStatus) -> None:
        """Written first, announced second."""
        await self._parts.store.incarnations.record(status)
        await self._parts.announce(status)


async def _end(slot: Slot, end: Callable[[Incarnation], Awaitable[tuple[str, ...]]]) -> Ended:
    incarnation = slot.current
    if incarnation is None or incarnation.ended:
        return Ended()
    processes = _processes(incarnation.status.pid)
    return Ended(await end(incarnation), processes)


def _processes(pid: int) -> int:
    """Of a worker's tree, itself included. It is for a sentence: where they cannot be counted, the end goes on."""
    try:
        return 1 + len(psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return 0
    except (psutil.Error, OSError):
        return 1


def check_runnable(installation: Installation, missing: Sequence[Capability]) -> None:
    """Raises NotRunnable with the reason and the command that changes it."""
    name, desired = installation.id, installation.desired
    if desired.quarantined:
        raise NotRunnable(name, f"it is in quarantine: {desired.quarantined} Release it: moorage release {name}")
    if desired.held_reason:
        raise NotRunnable(
            name, f"{desired.held_by or 'someone'} holds it: {desired.held_reason}. moorage release {name}"
        )
    if not desired.enabled:
        raise NotRunnable(name, "it is disabled.")
    if missing:
        listed = " ".join(f"'{capability}'" for capability in missing)
        raise NotRunnable(name, f"it requires what was not granted. Grant it: moorage grant {name} {listed}")
