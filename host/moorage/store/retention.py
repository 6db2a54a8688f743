"""Deletes what is too old or too much, a little at a time: who wants to write meanwhile waits for one batch at most.

What is open, and what people decided, is never deleted. The audit is pruned by ``moorage.store.audit``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, delete, func, select

from moorage.models.execution import ExecutionState
from moorage.models.incarnation import IncarnationState
from moorage.models.retention import Extent, History
from moorage.store import schema
from moorage.store.database import Database

_OPEN = tuple(state for state in ExecutionState if not state.is_outcome)

#: Lines whose sizes are added up in one statement.
_PAGE = 20_000

_executions, _lines, _incarnations = schema.executions, schema.log_lines, schema.incarnations


class Retention:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def extent(self, kind: History) -> Extent:
        """Reads all of that kind: not for every moment."""
        table, time = {
            History.EXECUTIONS: (_executions, _executions.c.queued_at),
            History.LOGS: (_lines, _lines.c.time),
            History.AUDIT: (schema.audit, schema.audit.c.time),
            History.INCARNATIONS: (_incarnations, _incarnations.c.started_at),
        }[kind]
        statement = select(func.count(), func.min(time)).select_from(table)
        count, oldest = await self._database.read(lambda connection: connection.execute(statement).one())
        size = (await self._measured(0))[1] if kind is History.LOGS else None
        return Extent(count, oldest, size)

    async def executions_before(self, before: datetime, limit: int) -> int:
        """Of those that ended before, so many at most, with their attempts; the oldest first. Returns how many."""
        old = select(_executions.c.id).where(_executions.c.ended_at < before, _executions.c.state.not_in(_OPEN))
        return await self._delete(_executions, old.order_by(_executions.c.ended_at).limit(limit))

    async def executions_beyond(self, keep: int, limit: int) -> int:
        """Of those that ended, all but the newest of each installation, so many at most. Returns how many."""
        name = _executions.c.installation
        many = select(name).where(_executions.c.state.not_in(_OPEN)).group_by(name).having(func.count() > keep)
        for installation in await self._database.read(lambda connection: list(connection.scalars(many))):
            ended = select(_executions.c.id).where(name == installation, _executions.c.state.not_in(_OPEN))
            newest = ended.order_by(_executions.c.id.desc()).offset(keep).limit(limit)
            deleted = await self._delete(_executions, newest)
            if deleted:
                return deleted
        return 0

    async def logs_before(self, before: datetime, after: int, limit: int) -> tuple[int, int]:
        """Looks at so many of the oldest lines beyond the id `after`, and deletes those from before that time.

        Returns how many went, and the id up to which it has looked; 0: there are no more.
        """

        def work(connection: Connection) -> tuple[int, int]:
            oldest = select(_lines.c.id).where(_lines.c.id > after).order_by(_lines.c.id).limit(limit)
            last = connection.scalar(select(func.max(oldest.subquery().c.id)))
            if last is None:
                return 0, 0
            looked_at = _lines.c.id.between(after + 1, last)
            return connection.execute(delete(_lines).where(looked_at, _lines.c.time < before)).rowcount, last

        return await self._database.write(work)

    async def logs_beyond(self, size: int) -> int:
        """The id of the newest line that has to go with all before it, so that no more text is kept; 0: none has to."""
        return (await self._measured(size))[0]

    async def logs_up_to(self, last: int, limit: int) -> int:
        """Deletes so many lines at most, the oldest first, up to that id. Returns how many."""
        oldest = select(_lines.c.id).where(_lines.c.id <= last).order_by(_lines.c.id).limit(limit)
        return await self._delete(_lines, oldest)

    async def incarnations_before(self, before: datetime, limit: int) -> int:
        """Of workers that ended before, so many at most; of each installation the newest stays. Returns how many."""
        table = _incarnations.c
        other = _incarnations.alias()
        newest = select(func.max(other.c.number)).where(other.c.installation == table.installation).scalar_subquery()
        ended = (table.state == IncarnationState.STOPPED) & (table.stopped_at < before) & (table.number < newest)
        return await self._delete(_incarnations, select(table.id).where(ended).order_by(table.number).limit(limit))

    async def _delete(self, table: Any, chosen: Select[Any]) -> int:
        def work(connection: Connection) -> int:
            ids = list(connection.scalars(chosen))
            if not ids:
                return 0
            return connection.execute(delete(table).where(table.c.id.in_(ids))).rowcount

        return await self._database.write(work)

    async def _measured(self, most: int) -> tuple[int, int]:
        """From the newest line back: the id at which there is more text than that (0: nowhere, or it does not matter),
        and how much text there is up to there.
        """
        before, total = 2**62, 0
        while True:
            page = await self._database.read(lambda connection: connection.execute(_sizes(before)).all())  # noqa: B023 - used at once
            for row in page:
                total += row.size
                if most and total > most:
                    return row.id, total
            if len(page) < _PAGE:
                return 0, total
            before = page[-1].id


def _sizes(before: int) -> Select[Any]:
    texts = (_lines.c.message, _lines.c.exception, _lines.c.logger)
    size = sum((func.length(text) for text in texts), func.coalesce(func.length(_lines.c.fields), 0))
    statement = select(_lines.c.id, size.label("size")).where(_lines.c.id < before)
    return statement.order_by(_lines.c.id.desc()).limit(_PAGE)
