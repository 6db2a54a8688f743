"""Settings that were changed at run time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from moorage.models.config import ConfigValue
from moorage.models.installation import InstallationId
from moorage.store import schema
from moorage.store.database import Database
from moorage.store.installations import revise

_table = schema.config_values


class ConfigValues:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> dict[InstallationId, tuple[ConfigValue, ...]]:
        """Of all installations that have any; by key."""
        statement = select(_table).order_by(_table.c.installation, _table.c.key)
        rows = await self._database.read(lambda connection: connection.execute(statement).all())
        found: dict[InstallationId, tuple[ConfigValue, ...]] = {}
        for row in rows:
            found[row.installation] = (*found.get(row.installation, ()), _value(row))
        return found

    async def of(self, installation: InstallationId) -> tuple[ConfigValue, ...]:
        """Of one; by key."""
        statement = select(_table).where(_table.c.installation == installation).order_by(_table.c.key)
        rows = await self._database.read(lambda connection: connection.execute(statement).all())
        return tuple(map(_value, rows))

    async def change(
        self,
        installation: InstallationId,
        values: Sequence[ConfigValue],
        unset: Iterable[str],
        effective: Mapping[str, Any],
    ) -> None:
        """Removes some, then sets others; ``effective`` is what the installation's settings come to.

        Raises InstallationUnknown, NotStorable; nothing has changed then.
        """
        keys = tuple(dict.fromkeys([*unset, *(value.key for value in values)]))

        def work(connection: Connection) -> None:
            revise(connection, installation)
            owner = schema.installations
            connection.execute(update(owner).where(owner.c.id == installation).values(config=dict(effective)))
            connection.execute(delete(_table).where(_table.c.installation == installation, _table.c.key.in_(keys)))
            for value in values:
                row = {"key": value.key, "value": value.value, "set_by": value.set_by, "set_at": value.set_at}
                connection.execute(insert(_table).values(installation=installation, **row))

        await self._database.write(work)


def _value(row: Row[Any]) -> ConfigValue:
    return ConfigValue(row.key, row.value, row.set_by, row.set_at)
