"""The stored audit: append-only, and each entry sealed to the one before it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from moorage.models.audit import GENESIS, AuditEntry, AuditKind, ChainReport, seal
from moorage.models.installation import InstallationId
from moorage.store import schema
from moorage.store.database import Database

_table = schema.audit

#: Entries read at one time by ``verify``.
_PAGE = 1_000


class Audit:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, entries: Sequence[AuditEntry]) -> None:
        """All or none, in this order."""
        if not entries:
            return

        def work(connection: Connection) -> None:
            last = select(_table.c.digest).order_by(_table.c.id.desc()).limit(1)
            digest = connection.scalar(last) or GENESIS
            rows = []
            for entry in entries:
                digest = seal(digest, entry)
                rows.append(_values(entry) | {"digest": digest})
            connection.execute(insert(_table), rows)

        await self._database.write(work)

    async def read(
        self,
        *,
        installation: InstallationId | None = None,
        kind: AuditKind | None = None,
        capability: str | None = None,
        actor: str | None = None,
        since: datetime | None = None,
        after: int = 0,
        limit: int = 200,
        oldest: bool = False,
    ) -> tuple[AuditEntry, ...]:
        """Oldest first, with ids greater than `after`; without it, the newest `limit`, or with ``oldest`` the first.

        In ``capability`` a star stands for any characters.
        """
        statement = select(_table).limit(limit).where(_table.c.id > after)
        exactly = ((_table.c.installation, installation), (_table.c.kind, kind), (_table.c.actor, actor))
        for column, value in exactly:
            if value is not None:
                statement = statement.where(column == value)
        if capability is not None:
            statement = statement.where(_table.c.capability.like(_like(capability), escape="\\"))
        if since is not None:
            statement = statement.where(_table.c.time >= since)
        forwards = bool(after) or oldest
        statement = statement.order_by(_table.c.id if forwards else _table.c.id.desc())
        rows = await self._database.read(lambda connection: connection.execute(statement).all())
        return tuple(_entry(row) for row in (rows if forwards else reversed(rows)))

    async def verify(self) -> ChainReport:
        """Reads the whole audit and follows its chain."""
        digest, entries, after = GENESIS, 0, 0
        while True:
            rows = await self._page(after)
            if not rows:
                return ChainReport(entries, digest)
            for row in rows:
                if not _fits(digest, row):
                    return ChainReport(entries, digest, broken_at=row.id)
                digest, after, entries = row.digest, row.id, entries + 1

    async def _page(self, after: int) -> Sequence[Row[Any]]:
        statement = select(_table).where(_table.c.id > after).order_by(_table.c.id).limit(_PAGE)
        return await self._database.read(lambda connection: connection.execute(statement).all())


def _fits(previous: str, row: Row[Any]) -> bool:
    try:
        return bool(seal(previous, _entry(row)) == row.digest)
    except ValueError:
        # Such as a kind that there is none of.
        return False


def _like(pattern: str) -> str:
    """A pattern of the API as one of SQL."""
    escaped = re.sub(r"([\\%_])", r"\\\1", pattern)
    return re.sub(r"\*+", "%", escaped)


def _values(entry: AuditEntry) -> dict[str, Any]:
    return {
        "time": entry.time,
        "kind": entry.kind,
        "installation": entry.installation,
        "actor": entry.actor,
        "action": entry.action,
        "capability": entry.capability,
        "message": entry.message,
        "execution": entry.execution,
        "occurrences": entry.count,
    }


def _entry(row: Row[Any]) -> AuditEntry:
    return AuditEntry(
        time=row.time,
        kind=AuditKind(row.kind),
        installation=row.installation,
        actor=row.actor,
        action=row.action,
        capability=row.capability,
        message=row.message,
        execution=row.execution,
        count=row.occurrences,
        id=row.id,
        digest=row.digest,
    )
