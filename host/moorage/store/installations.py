"""Installations, and what people want of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, Row, delete, insert, select, update

from moorage.models.installation import DesiredState, Installation, InstallationId
from moorage.models.manifest import Manifest
from moorage.models.switch import SwitchState
from moorage.store import schema
from moorage.store.database import Database
from moorage.store.errors import InstallationExists, InstallationUnknown
from moorage.store.switches import ALL

_table = schema.installations
_manifests = TypeAdapter(Manifest)

_switch = schema.switches
#: With the switch for all of them, where that is off.
_rows = select(_table, _switch.c.name.label("off"), _switch.c.reason, _switch.c.set_by).outerjoin(
    _switch, (_switch.c.name == ALL) & _switch.c.is_on.is_(False)
)


class Installations:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, installation: Installation) -> None:
        """Raises InstallationExists."""

        def work(connection: Connection) -> None:
            if _exists(connection, installation.id):
                raise InstallationExists(installation.id)
            values = _values(installation) | _desired_values(installation.desired)
            connection.execute(insert(_table).values(id=installation.id, grants_epoch=1, **values))

        await self._database.write(work)

    async def replace(self, installation: Installation, *, loaded: bool = False) -> None:
        """Another version, source or configuration. The desired state stays as it is stored.

        ``loaded``: a worker of this version is ready already. Raises InstallationUnknown.
        """

        def work(connection: Connection) -> None:
            values = _values(installation) | ({"loaded_version": installation.manifest.version} if loaded else {})
            # A new manifest requests other rights: what is effective may have changed.
            changed = connection.execute(
                update(_table)
                .where(_table.c.id == installation.id)
                .values(grants_epoch=_table.c.grants_epoch + 1, **values)
            )
            _require_one(changed.rowcount, installation.id)

        await self._database.write(work)

    async def find(self, installation: InstallationId) -> Installation | None:
        statement = _rows.where(_table.c.id == installation)
        row = await self._database.read(lambda connection: connection.execute(statement).one_or_none())
        return None if row is None else _installation(row)

    async def get(self, installation: InstallationId) -> Installation:
        """Raises InstallationUnknown."""
        found = await self.find(installation)
        if found is None:
            raise InstallationUnknown(installation)
        return found

    async def loaded_version(self, installation: InstallationId) -> str:
        """The version that became ready last; empty: none did."""
        statement = select(_table.c.loaded_version).where(_table.c.id == installation)
        return await self._database.read(lambda connection: connection.scalar(statement)) or ""

    async def loaded(self, installation: InstallationId, version: str) -> None:
        """A worker of this version became ready. One that is only tried, and is not installed, does not count."""
        statement = update(_table).where(_table.c.id == installation, _table.c.version == version)
        await self._database.write(lambda connection: connection.execute(statement.values(loaded_version=version)))

    async def list(self) -> tuple[Installation, ...]:
        """By name."""
        statement = _rows.order_by(_table.c.id)
        rows = await self._database.read(lambda connection: connection.execute(statement).all())
        return tuple(_installation(row) for row in rows)

    async def remove(self, installation: InstallationId, *, release_uid: bool = False) -> None:
        """With its grants, secrets, settings and levels. Its history stays. Its uid belongs to its name, unless it is
        released because no file of it remains: another installation may get it then.

        Raises InstallationUnknown.
        """

        def work(connection: Connection) -> None:
            removed = connection.execute(delete(_table).where(_table.c.id == installation))
            _require_one(removed.rowcount, installation)
            connection.execute(delete(schema.secrets).where(schema.secrets.c.installation == installation))
            if release_uid:
                connection.execute(delete(schema.uids).where(schema.uids.c.installation == installation))

        await self._database.write(work)

    async def set_desired(self, installation: InstallationId, desired: DesiredState) -> Installation:
        """The switch for all of them stays as it is. Raises InstallationUnknown."""

        def work(connection: Connection) -> None:
            statement = update(_table).where(_table.c.id == installation).values(_desired_values(desired))
            _require_one(connection.execute(statement).rowcount, installation)

        await self._database.write(work)
        return await self.get(installation)


def _exists(connection: Connection, installation: InstallationId) -> bool:
    return connection.scalar(select(_table.c.id).where(_table.c.id == installation)) is not None


def _require_one(count: int, installation: InstallationId) -> None:
    if count != 1:
        raise InstallationUnknown(installation)


def manifest_of(row: Row[Any]) -> Manifest:
    return _manifests.validate_python(row.manifest)


def _values(installation: Installation) -> dict[str, Any]:
    return {
        "plugin": installation.manifest.name,
        "version": installation.manifest.version,
        "manifest": _plain(installation.manifest),
        "source_path": installation.source_path,
        "code_path": installation.code_path,
        "code_hash": installation.code_hash,
        "code_roots": installation.code_roots,
        "venv_key": installation.venv_key,
        "config": dict(installation.config),
        "uid": installation.uid,
        "start": installation.start,
        "installed_at": installation.installed_at,
    }


def _off(row: Row[Any]) -> str:
    return "" if row.off is None else SwitchState(False, row.reason, row.set_by).off


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
        manifest=manifest_of(row),
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
