"""Stored log lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select

from moorage.models.installation import InstallationId
from moorage.models.log import LogLine, LogRange
from moorage.store import schema
from moorage.store.database import Database

_table = schema.log_lines


class Logs:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, lines: Sequence[LogLine]) -> tuple[LogLine, ...]:
        """All or none; returns them with their running numbers, in the same order."""
        if not lines:
            return ()
        statement = insert(_table).returning(_table.c.id, sort_by_parameter_order=True)

        def work(connection: Connection) -> tuple[LogLine, ...]:
            ids = connection.scalars(statement, [_values(line) for line in lines])
            return tuple(replace(line, id=number) for line, number in zip(lines, ids, strict=True))

        return await self._database.write(work)

    async def read(
        self,
        *,
        installation: InstallationId | None = None,
        execution: str | None = None,
        after: int = 0,
        limit: int = 200,
    ) -> tuple[LogLine, ...]:
        """Oldest first, with ids greater than `after`; without it, the newest `limit`."""
        statement = select(_table).limit(limit)
        if installation is not None:
            statement = statement.where(_table.c.installation == installation)
        if execution is not None:
            statement = statement.where(_table.c.execution == execution)
        statement = statement.order_by(_table.c.id if after else _table.c.id.desc()).where(_table.c.id > after)
        rows = await self._database.read(lambda connection: connection.execute(statement).all())
        return tuple(_line(row) for row in (rows if after else reversed(rows)))

    async def range_of(self, execution: str) -> LogRange:
        id_ = _table.c.id
        statement = select(func.min(id_), func.max(id_), func.count()).where(_table.c.execution == execution)
        first, last, count = await self._database.read(lambda connection: connection.execute(statement).one())
        return LogRange(first or 0, last or 0, count)

    async def trim(self, installation: InstallationId, *, keep: int) -> int:
        """Deletes all but the installation's newest lines; returns how many went."""

        def work(connection: Connection) -> int:
            own = _table.c.installation == installation
            newest = select(_table.c.id).where(own).order_by(_table.c.id.desc())
            limit = connection.scalar(newest.offset(keep).limit(1))
            if limit is None:
                return 0
            return connection.execute(delete(_table).where(own, _table.c.id <= limit)).rowcount

        return await self._database.write(work)


def _values(line: LogLine) -> dict[str, Any]:
    return {
        "installation": line.installation,
        "incarnation": line.incarnation,
        "time": line.time,
        "level": line.level,
        "logger": line.logger,
        "message": line.message,
        "execution": line.execution or None,
        "fields": dict(line.fields) or None,
        "exception": line.exception,
    }


def _line(row: Row[Any]) -> LogLine:
    return LogLine(
        installation=row.installation,
        incarnation=row.incarnation,
        time=row.time,
        level=row.level,
        logger=row.logger,
        message=row.message,
        execution=row.execution or "",
        fields=row.fields or {},
        exception=row.exception,
        id=row.id,
    )
