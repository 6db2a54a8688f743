"""Secrets, sealed: the store has no key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select

from moorage.models.installation import InstallationId
from moorage.models.secret import SHARED, SealedSecret, SecretOrigin
from moorage.store import schema
from moorage.store.database import Database
from moorage.store.errors import InstallationUnknown

_table = schema.secrets


class Secrets:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self) -> tuple[SealedSecret, ...]:
        """Of all installations, and the shared ones; by installation and name."""
        statement = select(_table).order_by(_table.c.installation, _table.c.name)
        rows = await self._database.read(lambda connection: connection.execute(statement).all())
        return tuple(_secret(row) for row in rows)

    async def mark(self) -> tuple[int, int]:
        """Another one after each change of any."""
        statement = select(func.count(), func.coalesce(func.max(_table.c.id), 0)).select_from(_table)
        count, newest = await self._database.read(lambda connection: connection.execute(statement).one())
        return int(count), int(newest)

    async def put(self, secrets: Sequence[SealedSecret]) -> None:
        """Each in the place of the one of its name; all or none. Raises InstallationUnknown."""

        def work(connection: Connection) -> None:
            for secret in secrets:
                _check_there(connection, secret.installation)
                connection.execute(delete(_table).where(_is(secret.installation, secret.name)))
                connection.execute(insert(_table).values(**_values(secret)))

        await self._database.write(work)

    async def delete(self, installation: InstallationId, name: str) -> bool:
        """Whether there was one."""
        statement = delete(_table).where(_is(installation, name))
        return await self._database.write(lambda connection: connection.execute(statement).rowcount > 0)


def _is(installation: InstallationId, name: str) -> Any:
    return (_table.c.installation == installation) & (_table.c.name == name)


def _check_there(connection: Connection, installation: InstallationId) -> None:
    known = schema.installations.c.id
    if installation != SHARED and connection.scalar(select(known).where(known == installation)) is None:
        raise InstallationUnknown(installation)


def _values(secret: SealedSecret) -> dict[str, Any]:
    return {
        "installation": secret.installation,
        "name": secret.name,
        "key_id": secret.key_id,
        "sealed": secret.sealed,
        "origin": secret.origin,
        "set_by": secret.set_by,
        "set_at": secret.set_at,
    }


def _secret(row: Row[Any]) -> SealedSecret:
    return SealedSecret(
        row.installation, row.name, row.key_id, row.sealed, SecretOrigin(row.origin), row.set_by, row.set_at
    )
