"""The stored audit: append-only, and each entry sealed to the one before it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from moorage.models.audit import AuditEntry, AuditKind
from moorage.models.installation import InstallationId
from moorage.store import schema
from moorage.store.database import Database

_table = schema.audit

#: The digest before the first entry.
GENESIS = "0" * 64

#: Entries read at one time by ``verify``.
_PAGE = 1_000


@dataclass(frozen=True)
class ChainReport:
    """Whether the stored audit is what was written. Entries cut off at the end cannot be noticed by the chain alone:
    compare `last_digest` with one that was noted elsewhere."""

    entries: int
    last_digest: str
    #: The id of the first entry that was changed, or whose predecessor is gone; None: the chain is whole.
    broken_at: int | None = None


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
        self, *, installation: InstallationId | None = None, after: int = 0, limit: int = 200
    ) -> tuple[AuditEntry, ...]:
        """Oldest first, with ids greater than `after`; without it, the newest `limit`."""
        statement = select(_table).limit(limit)
        if installation is not None:
            statement = statement.where(_table.c.installation == installation)
        statement = statement.order_by(_table.c.id if after else _table.c.id.desc()).where(_table.c.id > after)
        rows = await self._database.read(lambda connection: connection.execute(statement).all())
        return tuple(_entry(row) for row in (rows if after else reversed(rows)))

    async def verify(self) -> ChainReport:
        """Reads the whole audit and follows its chain."""
        digest, entries, after = GENESIS, 0, 0
        while True:
            rows = await self._page(after)
            if not rows:
                return ChainReport(entries, digest)
            for row in rows:
                if seal(digest, _entry(row)) != row.digest:
                    return ChainReport(entries, digest, broken_at=row.id)
                digest, after, entries = row.digest, row.id, entries + 1

    async def _page(self, after: int) -> Sequence[Row[Any]]:
        statement = select(_table).where(_table.c.id > after).order_by(_table.c.id).limit(_PAGE)
        return await self._database.read(lambda connection: connection.execute(statement).all())


def seal(previous: str, entry: AuditEntry) -> str:
    """SHA-256, hexadecimal, over the previous digest and everything in the entry but its id."""
    content = [previous, entry.time.astimezone(UTC).isoformat(), *_texts(entry), entry.count]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _texts(entry: AuditEntry) -> tuple[str, ...]:
    return (
        entry.kind,
        entry.installation,
        entry.actor,
        entry.action,
        entry.capability,
        entry.message,
        entry.execution,
    )


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
    )
