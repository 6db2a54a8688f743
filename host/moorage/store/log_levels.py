"""Levels of plugins' loggers, as people have set them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, insert, select

from moorage.models.installation import InstallationId
from moorage.models.levels import LevelSetting
from moorage.store import schema
from moorage.store.database import Database
from moorage.store.installations import revise

_table = schema.log_levels


class LogLevels:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> dict[InstallationId, tuple[LevelSetting, ...]]:
        """Of all installations that have any; by logger."""
        statement = select(_table).order_by(_table.c.installation, _table.c.logger)
        rows = await self._database.read(lambda connection: connection.execute(statement).all())
        found: dict[InstallationId, tuple[LevelSetting, ...]] = {}
        for row in rows:
            found[row.installation] = (*found.get(row.installation, ()), _setting(row))
        return found

    async def of(self, installation: InstallationId) -> tuple[LevelSetting, ...]:
        """Of one; by logger."""
        statement = select(_table).where(_table.c.installation == installation).order_by(_table.c.logger)
        rows = await self._database.read(lambda connection: connection.execute(statement).all())
        return tuple(map(_setting, rows))

    async def put(self, installation: InstallationId, setting: LevelSetting) -> None:
        """In the place of the one of that logger. Raises InstallationUnknown."""

        def work(connection: Connection) -> None:
            revise(connection, installation)
            connection.execute(delete(_table).where(_is(installation, setting.logger)))
            row = {"logger": setting.logger, "level": setting.level, "until": setting.until}
            by = {"set_by": setting.set_by, "set_at": setting.set_at}
            connection.execute(insert(_table).values(installation=installation, **row, **by))

        await self._database.write(work)

    async def delete(self, installation: InstallationId, logger: str) -> None:
        """Also where there is none."""

        def work(connection: Connection) -> None:
            if connection.execute(delete(_table).where(_is(installation, logger))).rowcount:
                revise(connection, installation)

        await self._database.write(work)


def _is(installation: InstallationId, logger: str) -> ColumnElement[bool]:
    return (_table.c.installation == installation) & (_table.c.logger == logger)


def _setting(row: Row[Any]) -> LevelSetting:
    return LevelSetting(row.logger, row.level, row.until, row.set_by, row.set_at)
