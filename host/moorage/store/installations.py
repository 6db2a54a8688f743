"""Installations, and what people want of them.

What people decide of an installation (desired state, settings, grants) counts for all hosts of a store. What a host has
put to use under its name (version, code, environment, uid) is that host's own, and is kept as its placement: the
installations of a store are those that have a placement on its host.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, Row, Select, Update, delete, insert, select, update

from moorage.models.installation import DesiredState, Installation, InstallationId, Revision
from moorage.models.manifest import Manifest
from moorage.models.switch import SwitchState
from moorage.store import schema
from moorage.store.database import Database
from moorage.store.errors import InstallationExists, InstallationUnknown, InstalledElsewhere
from moorage.store.switches import ALL

_table = schema.installations
_placements = schema.placements
_switch = schema.switches
_manifests = TypeAdapter(Manifest)

#: All that there is of installations and their placements, with the switch for all of them, where that is off.
_rows = (
    select(_table, _placements, _switch.c.name.label("off"), _switch.c.reason, _switch.c.set_by)
    .join(_placements, _placements.c.installation == _table.c.id)
    .outerjoin(_switch, (_switch.c.name == ALL) & _switch.c.is_on.is_(False))
)


class Installations:
    def __init__(self, database: Database, host: str = "") -> None:
        self._database = database
        self._host = host

    async def add(self, installation: Installation) -> Installation:
        """Returns it as it counts: where another host has it, what people decided of it there stays as it is.

        Raises InstallationExists, InstalledElsewhere.
        """

        def work(connection: Connection) -> Installation:
            if _find(connection, self._host, installation.id) is not None:
                raise InstallationExists(installation.id)
            plugin = connection.scalar(select(_table.c.plugin).where(_table.c.id == installation.id))
            if plugin is None:
                connection.execute(insert(_table).values(_shared_values(installation)))
            elif plugin != installation.manifest.name:
                raise InstalledElsewhere(installation.id, plugin, installation.manifest.name)
            own = {"installation": installation.id, "host": self._host}
            connection.execute(insert(_placements).values(own | _own_values(installation)))
            return self._get(connection, installation.id)

        return await self._database.write(work)

    async def replace(self, installation: Installation, *, loaded: bool = False) -> None:
        """Another version, source or configuration. The desired state stays as it is stored.

        ``loaded``: a worker of this version is ready already. Raises InstallationUnknown.
        """

        def work(connection: Connection) -> None:
            version = {"loaded_version": installation.manifest.version} if loaded else {}
            placed = connection.execute(self._update(installation.id).values(_own_values(installation) | version))
            _require_one(placed.rowcount, installation.id)
            # A new manifest requests other rights: what is effective may have changed.
            _revise(
                connection, installation.id, config=dict(installation.config), grants_epoch=_table.c.grants_epoch + 1
            )

        await self._database.write(work)

    async def find(self, installation: InstallationId) -> Installation | None:
        row = await self._database.read(lambda connection: _find(connection, self._host, installation))
        return None if row is None else _installation(row)

    async def get(self, installation: InstallationId) -> Installation:
        """Raises InstallationUnknown."""
        return await self._database.read(lambda connection: self._get(connection, installation))

    async def loaded_version(self, installation: InstallationId) -> str:
        """The version that became ready last; empty: none did."""
        own = (_placements.c.installation == installation) & (_placements.c.host == self._host)
        statement = select(_placements.c.loaded_version).where(own)
        return await self._database.read(lambda connection: connection.scalar(statement)) or ""

    async def loaded(self, installation: InstallationId, version: str) -> None:
        """A worker of this version became ready. One that is only tried, and is not installed, does not count."""
        statement = self._update(installation).where(_placements.c.version == version).values(loaded_version=version)
        await self._database.write(lambda connection: connection.execute(statement))

    async def list(self) -> tuple[Installation, ...]:
        """By name."""
        statement = _placed(self._host).order_by(_table.c.id)
        rows = await self._database.read(lambda connection: connection.execute(statement).all())
        return tuple(_installation(row) for row in rows)

    async def revisions(self) -> dict[InstallationId, Revision]:
        """How often that was changed which hosts share, of each."""
        placed = _placements.c.host == self._host
        statement = select(_table.c.id, _table.c.revision, _table.c.grants_epoch).join(_placements).where(placed)
        rows = await self._database.read(lambda connection: connection.execute(statement).all())
        return {row.id: Revision(row.revision, row.grants_epoch) for row in rows}

    async def remove(self, installation: InstallationId, *, release_uid: bool = False) -> None:
        """From all hosts, with its grants, secrets, settings and levels. Its history stays. Its uid here belongs to its
        name, unless it is released because no file of it remains here: another installation may get it then.

        Raises InstallationUnknown.
        """

        def work(connection: Connection) -> None:
            self._get(connection, installation)
            connection.execute(delete(_table).where(_table.c.id == installation))
            connection.execute(delete(schema.secrets).where(schema.secrets.c.installation == installation))
            if release_uid:
                uids = schema.uids.c
                own = (uids.host == self._host) & (uids.installation == installation)
                connection.execute(delete(schema.uids).where(own))

        await self._database.write(work)

    async def set_desired(self, installation: InstallationId, desired: DesiredState) -> Installation:
        """The switch for all of them stays as it is. Raises InstallationUnknown."""
        return (await self.change_desired(installation, lambda _: desired))[1]

    async def change_desired(
        self, installation: InstallationId, change: Callable[[DesiredState], DesiredState]
    ) -> tuple[Installation, Installation]:
        """As it was, and as it is then; other hosts' changes are either in the one or come after the other.

        ``change`` may be asked again. Raises InstallationUnknown.
        """

        def work(connection: Connection) -> tuple[Installation, Installation]:
            before = self._get(connection, installation)
            desired = change(before.desired)
            if desired == before.desired:
                return before, before
            _revise(connection, installation, **_desired_values(desired))
            return before, self._get(connection, installation)

        return await self._database.write(work)

    def _get(self, connection: Connection, installation: InstallationId) -> Installation:
        row = _find(connection, self._host, installation)
        if row is None:
            raise InstallationUnknown(installation)
        return _installation(row)

    def _update(self, installation: InstallationId) -> Update:
        own = (_placements.c.installation == installation) & (_placements.c.host == self._host)
        return update(_placements).where(own)


def revise(connection: Connection, installation: InstallationId) -> None:
    """To be called with each change of what hosts share of an installation, in the same transaction: by this the others
    notice. Raises InstallationUnknown.
    """
    _revise(connection, installation)


def epoch_and_manifest(connection: Connection, host: str, installation: InstallationId) -> tuple[int, Manifest]:
    """The epoch of its grants, and the manifest that it has on the host. Raises InstallationUnknown."""
    row = _find(connection, host, installation)
    if row is None:
        raise InstallationUnknown(installation)
    return row.grants_epoch, _manifest(row)


def _revise(connection: Connection, installation: InstallationId, **values: Any) -> None:
    statement = update(_table).where(_table.c.id == installation)
    changed = connection.execute(statement.values(revision=_table.c.revision + 1, **values))
    _require_one(changed.rowcount, installation)


def _placed(host: str) -> Select[Any]:
    return _rows.where(_placements.c.host == host)


def _find(connection: Connection, host: str, installation: InstallationId) -> Row[Any] | None:
    return connection.execute(_placed(host).where(_table.c.id == installation)).one_or_none()


def _require_one(count: int, installation: InstallationId) -> None:
    if count != 1:
        raise InstallationUnknown(installation)


def _off(row: Row[Any]) -> str:
    return "" if row.off is None else SwitchState(False, row.reason, row.set_by).off


def _manifest(row: Row[Any]) -> Manifest:
    return _manifests.validate_python(row.manifest)


def _shared_values(installation: Installation) -> dict[str, Any]:
    return {
        "id": installation.id,
        "plugin": installation.manifest.name,
        "config": dict(installation.config),
        "grants_epoch": 1,
        "revision": 1,
        **_desired_values(installation.desired),
    }


def _own_values(installation: Installation) -> dict[str, Any]:
    return {
        "version": installation.manifest.version,
        "manifest": _plain(installation.manifest),
        "source_path": installation.source_path,
        "code_path": installation.code_path,
        "code_hash": installation.code_hash,
        "code_roots": installation.code_roots,
        "venv_key": installation.venv_key,
        "uid": installation.uid,
        "start": installation.start,
        "installed_at": installation.installed_at,
    }


def _plain(manifest: Manifest) -> Mapping[str, Any]:
    plain: dict[str, Any] = _manifests.dump_python(manifest)
    return plain | {"tags": sorted(manifest.tags)}


def _desired_values(desired: DesiredState) -> dict[str, Any]:
    return {
        "enabled": desired.enabled,
        "held_reason": desired.held_reason,
        "held_by": desired.held_by,
        "replicas": desired.replicas,
        "quarantined": desired.quarantined,
    }


def _installation(row: Row[Any]) -> Installation:
    return Installation(
        id=row.id,
        manifest=_manifest(row),
        source_path=row.source_path,
        code_path=row.code_path,
        code_hash=row.code_hash,
        code_roots=tuple(row.code_roots),
        venv_key=row.venv_key,
        config=row.config,
        desired=DesiredState(row.enabled, row.held_reason, row.held_by, row.replicas, row.quarantined, _off(row)),
        uid=row.uid,
        start=row.start,
        installed_at=row.installed_at,
    )
