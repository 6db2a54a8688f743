"""From an installation, its environment and its grants to the order for one worker."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from moorage.config.services.storage import StorageSettings
from moorage.environments.builder import Environment
from moorage.environments.removal import remove_tree
from moorage.environments.runtime import Runtime
from moorage.models.installation import Installation, InstallationId
from moorage.models.manifest import Limits
from moorage.packages.config_schema import ConfigInvalid
from moorage.store.effective import includes
from moorage.store.grants import Rights
from moorage.store.store import Store
from moorage.supervisor.connections import bundle_of, environment_of, opening_of
from moorage.supervisor.disk import DataLimit, check_room
from moorage.supervisor.errors import NotRunnable
from moorage.supervisor.launch import Launch
from moorage.supervisor.launcher import WorkerOrder
from moorage.supervisor.widening import openings_of, widening_of
from moorage_proto.capability import STORAGE_USE, Capability, Grants, size_of

#: How the name of a worker's folder begins; short, as all of a socket's path must be.
SOCKET_FOLDER = "w"


class Environments(Protocol):
    """Where the supervisor gets venvs and runtimes from; both are built at install, never at start."""

    async def get(self, key: str) -> Environment: ...

    async def runtime(self, environment: Environment) -> Runtime: ...


@dataclass(frozen=True)
class Commission:
    """One worker that is wanted."""

    installation: Installation
    #: Workers of one generation share the installation's limits; in a reload the next one has its own.
    generation: int = 0
    #: What the version before left for this one, and which version that was; of a reload alone.
    state: bytes | None = None
    from_version: str = ""


@dataclass(frozen=True)
class Orders:
    """Makes the launch of each worker; reads rights and takes a number, and makes its folders."""

    store: Store
    environments: Environments
    #: Folder in which each worker's socket has a folder of its own.
    sockets: Path
    #: Folder with a data folder for each installation.
    data: Path
    #: Folders of the host's own: no grant opens any of them.
    private: tuple[Path, ...] = ()
    #: What is forbidden fails and is named, instead of ending the worker.
    development: bool = False
    #: Lowest sandbox level of an installation.
    require: Callable[[InstallationId], str] = lambda _: "full"
    #: Most CPU cores of an installation; None: no bound but its manifest's.
    most_cpus: Callable[[InstallationId], float | None] = lambda _: None
    #: File with the authorities that plugins with connections are to trust; None: those of this machine.
    authorities: Path | None = None
    #: What bounds data folders where no grant does.
    storage: StorageSettings = field(default_factory=StorageSettings)
    #: The settings of an installation, as they count now. Raises ConfigInvalid.
    config: Callable[[Installation], Mapping[str, Any]] = lambda installation: installation.config

    async def launch(self, commission: Commission) -> Launch:
        """Of the installation as it is given; the store is asked for its grants, and for the version before, alone.

        Raises NotRunnable where rights are missing or settings do not fit, GrantUnusable where a granted path cannot be
        given, and what the store and the environments raise.
        """
        installation = self._configured(commission.installation)
        name = installation.id
        rights, number, loaded, (environment, runtime) = await asyncio.gather(
            self.store.grants.rights(name, installation.manifest),
            self.store.incarnations.next_number(name),
            self.store.installations.loaded_version(name),
            self._environment(installation),
        )
        check_granted(installation, rights)
        widening = widening_of(rights.effective)
        openings = await asyncio.to_thread(openings_of, widening, self.private) if widening else ()
        bundle = await asyncio.to_thread(bundle_of, self.authorities) if widening.net else None
        data = self._data_folder(installation)
        await asyncio.to_thread(check_room, name, data, self._data_limit(installation, rights.effective))
        identity = f"{name}-{number}-{secrets.token_hex(3)}"
        return Launch(
            installation=installation,
            number=number,
            order=replace(
                order_of(
                    installation,
                    environment,
                    runtime,
                    incarnation=identity,
                    data_path=data,
                    socket_dir=self._socket_folder(),
                ),
                widening=widening,
                openings=(*openings, *opening_of(bundle)),
                env=environment_of(bundle, configured=self.authorities is not None) if widening.net else (),
                development=self.development,
                require=self.require(name),
                cpus=least_cpus(installation.manifest.limits.cpus, self.most_cpus(name)),
                generation=str(commission.generation),
            ),
            grants=rights.effective,
            data_limit=lambda grants: self._data_limit(installation, grants),
            python=environment.python,
            state=commission.state,
            from_version=commission.from_version or loaded,
        )

    def _data_limit(self, installation: Installation, grants: Grants) -> DataLimit:
        return data_limit(installation.manifest.limits, grants, self.storage)

    def _configured(self, installation: Installation) -> Installation:
        """Settings are checked at each start: the settings file may have changed since it was installed."""
        try:
            return replace(installation, config=self.config(installation))
        except ConfigInvalid as error:
            raise NotRunnable(installation.id, str(error)) from error

    async def _environment(self, installation: Installation) -> tuple[Environment, Runtime]:
        environment = await self.environments.get(installation.venv_key)
        return environment, await self.environments.runtime(environment)

    def _data_folder(self, installation: Installation) -> Path:
        folder = self.data / installation.id
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if installation.uid is not None:
            os.chown(folder, installation.uid, installation.uid)
        return folder

    def _socket_folder(self) -> Path:
        """A short name: the path of a socket has room for 108 bytes."""
        folder = self.sockets / f"{SOCKET_FOLDER}{secrets.token_hex(4)}"
        folder.mkdir(mode=0o711, parents=True)
        return folder


def order_of(
    installation: Installation,
    environment: Environment,
    runtime: Runtime,
    *,
    incarnation: str,
    data_path: Path,
    socket_dir: Path,
) -> WorkerOrder:
    """Complete but for what the incarnation makes itself: start record and output pipes."""
    limits = installation.manifest.limits
    return WorkerOrder(
        installation=installation.id,
        incarnation=incarnation,
        interpreter=environment.interpreter.path,
        runtime_path=runtime.runtime_path,
        sdk_path=runtime.sdk_path,
        use_runtime=not environment.pins_runtime,
        venv_path=environment.path,
        code_path=installation.code_path,
        code_roots=installation.code_roots,
        data_path=data_path,
        socket_dir=socket_dir,
        start_record=lambda _: b"",
        uid=installation.uid,
        memory_bytes=limits.memory_bytes,
        pids=limits.pids,
        start=installation.start or ("fresh" if environment.pins_runtime else "zygote"),
        stdout_fd=-1,
        stderr_fd=-1,
        cpus=limits.cpus,
        # A reload has as many again for a while.
        overlapping=2 * installation.desired.replicas,
    )


def least_cpus(*bounds: float | None) -> float | None:
    """The narrowest of several; None where there is none."""
    return min((bound for bound in bounds if bound is not None), default=None)


def data_limit(limits: Limits, grants: Grants, storage: StorageSettings) -> DataLimit:
    """What the grants say counts; the manifest may bound itself to less. Pure."""
    granted = [right for right in grants.allow if right.verb == STORAGE_USE and grants.decide(right).allowed]
    most = max(map(size_of, granted), default=storage.ungranted_bytes)
    own = most if limits.data_bytes is None else limits.data_bytes
    return DataLimit(min(most, own), min(limits.data_files, storage.max_files))


def check_granted(installation: Installation, rights: Rights) -> None:
    """Raises NotRunnable with the commands that change it."""
    if not rights.missing:
        return
    name = installation.id
    ungranted = [need for need in rights.missing if not any(includes(rule, need) for rule in rights.denying)]
    sentences = []
    if ungranted:
        sentences.append(f"it requires what was not granted. Grant it: moorage grant {name} {_quoted(ungranted)}")
    if rights.denying:
        sentences.append(
            f"it requires what was denied. Allow it again: moorage undeny {name} {_quoted(rights.denying)}"
        )
    raise NotRunnable(name, "; ".join(sentences))


def _quoted(rights: Sequence[Capability]) -> str:
    """For a shell, always in quotes: most rights have globs."""
    return " ".join("'{}'".format(str(right).replace("'", "'\"'\"'")) for right in rights)


def collect_socket_folders(sockets: Path) -> None:
    """Removes what a host that was killed left of its workers' sockets; none of them may live any more."""
    for folder in sockets.glob(f"{SOCKET_FOLDER}*/"):
        remove_tree(folder)
