"""The stored audit: append-only, and each entry sealed to the one before it.

There is one chain, whatever host an entry comes from: so there is one order, and one last digest to note elsewhere. Who
appends changes the chain's one row, and whoever does so at the same time finds that it changed, and looks again.
Entries come in batches, a few in a second from each host, so that is rare. Entries that are removed for their age leave
the digest of the newest of them behind as the anchor that the rest is checked against.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from moorage.models.audit import GENESIS, AuditEntry, AuditKind, ChainReport, seal
from moorage.models.installation import InstallationId
from moorage.store import schema
from moorage.store.database import Database

_table = schema.audit
_chain = schema.audit_chain

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
            digest = _locked(connection).digest
            rows = []
            for entry in entries:
                digest = seal(digest, entry)
                rows.append(_values(entry) | {"digest": digest})
            connection.execute(update(_chain).values(digest=digest))
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
        """Reads the whole audit and follows its chain, from the anchor on."""
        digest, pruned, rows = await self._database.read(_beginning)
        entries, after = 0, 0
        while rows:
            for row in rows:
                if not _fits(digest, row):
                    return ChainReport(entries, digest, broken_at=row.id, pruned=pruned)
                digest, after, entries = row.digest, row.id, entries + 1
            rows = await self._page(after)
        return ChainReport(entries, digest, pruned=pruned)

    async def prune(self, *, before: datetime, limit: int) -> int:
        """Removes entries from the beginning of the chain on: as far as they are older, and so many at most.

        Returns how many went. What is left can be verified as before.
        """
        oldest = select(_table.c.id, _table.c.time, _table.c.digest).order_by(_table.c.id).limit(limit)

        def work(connection: Connection) -> int:
            chain = _locked(connection)
            rows = list(itertools.takewhile(lambda row: row.time < before, connection.execute(oldest)))
            if rows:
                pruned = chain.pruned + len(rows)
                connection.execute(update(_chain).values(anchor=rows[-1].digest, pruned=pruned))
                connection.execute(delete(_table).where(_table.c.id <= rows[-1].id))
            return len(rows)

        return await self._database.write(work)

    async def _page(self, after: int) -> Sequence[Row[Any]]:
        return await self._database.read(lambda connection: _page(connection, after))


def _page(connection: Connection, after: int) -> Sequence[Row[Any]]:
    return connection.execute(select(_table).where(_table.c.id > after).order_by(_table.c.id).limit(_PAGE)).all()


def _beginning(connection: Connection) -> tuple[str, int, Sequence[Row[Any]]]:
    """The anchor, how many were pruned before it, and the first entries; all of one moment."""
    chain = connection.execute(select(_chain)).one_or_none()
    return (GENESIS, 0, _page(connection, 0)) if chain is None else (chain.anchor, chain.pruned, _page(connection, 0))


def _locked(connection: Connection) -> Row[Any]:
    """The chain's row; nobody else may append until the transaction ends. It is made at the first use."""
    found = connection.execute(select(_chain).with_for_update()).one_or_none()
    if found is None:
        last = connection.scalar(select(_table.c.digest).order_by(_table.c.id.desc()).limit(1)) or GENESIS
        connection.execute(insert(_chain).values(id=1, digest=last, anchor=GENESIS, pruned=0))
        found = connection.execute(select(_chain)).one()
    return found


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
