"""The hosts that use the store, each with a lease: one that has run out says that its host is dead.

Leases are measured by the database's own clock, so that the clocks of the hosts may differ.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from moorage.models.execution import ExecutionState
from moorage.models.host import HostStatus
from moorage.store import schema
from moorage.store.database import Database

_table = schema.hosts
_OPEN = tuple(state for state in ExecutionState if not state.is_outcome)


class Hosts:
    """Of one process of a host: what another process of the same id does is another's."""

    def __init__(self, database: Database, host: str = "") -> None:
        self._database = database
        self._host = host
        self._session = secrets.token_hex(8)

    async def register(self, name: str, version: str, length: timedelta) -> None:
        """This process is the host from now on, and has a lease; one that was so before has lost it."""
        row = {"name": name, "version": version, "session": self._session}

        def work(connection: Connection) -> None:
            now = database_now(connection)
            connection.execute(delete(_table).where(_table.c.id == self._host))
            values = {"id": self._host, "started_at": now, "leased_until": now + length}
            connection.execute(insert(_table).values(row | values))

        await self._database.write_urgently(work)

    async def renew(self, length: timedelta) -> bool:
        """False: the lease was lost meanwhile. It had run out, or another process has registered as this host."""

        def work(connection: Connection) -> bool:
            now = database_now(connection)
            held = update(_table).where(self._own(), _table.c.leased_until > now)
            return connection.execute(held.values(leased_until=now + length)).rowcount == 1

        return await self._database.write_urgently(work)

    async def regain(self, name: str, version: str, length: timedelta) -> bool:
        """Registers again after the lease was lost. False: another process has it, as this host, and is alive."""
        row = {"name": name, "version": version, "session": self._session}

        def work(connection: Connection) -> bool:
            now = database_now(connection)
            twin = (_table.c.session != self._session) & (_table.c.leased_until > now)
            if connection.execute(select(_table.c.id).where(_table.c.id == self._host, twin)).first() is not None:
                return False
            connection.execute(delete(_table).where(_table.c.id == self._host))
            values = {"id": self._host, "started_at": now, "leased_until": now + length}
            connection.execute(insert(_table).values(row | values))
            return True

        return await self._database.write_urgently(work)

    async def leave(self) -> None:
        """The lease ends now: others take over at once what is left."""

        def work(connection: Connection) -> None:
            connection.execute(update(_table).where(self._own()).values(leased_until=database_now(connection)))

        await self._database.write(work)

    async def expired(self) -> tuple[str, ...]:
        """Other hosts whose lease has run out, or that have open executions and are no hosts any more."""
        executions = schema.executions

        def work(connection: Connection) -> tuple[str, ...]:
            others = _table.c.id != self._host
            out = connection.scalars(
                select(_table.c.id).where(others, _table.c.leased_until <= database_now(connection))
            )
            unknown = executions.c.host.not_in(select(_table.c.id)) & (executions.c.host != self._host)
            left = select(executions.c.host).where(executions.c.state.in_(_OPEN), unknown).distinct()
            return tuple(sorted({*out, *connection.scalars(left)}))

        return await self._database.read(work)

    async def forget(self, hosts: Collection[str]) -> None:
        """Those of them that are still dead: others have taken over what they had."""

        def work(connection: Connection) -> None:
            dead = _table.c.id.in_(hosts) & (_table.c.leased_until <= database_now(connection))
            connection.execute(delete(_table).where(dead))

        await self._database.write(work)

    async def list(self) -> tuple[HostStatus, ...]:
        """By id."""

        def work(connection: Connection) -> tuple[HostStatus, ...]:
            now = database_now(connection)
            rows = connection.execute(select(_table).order_by(_table.c.id))
            return tuple(
                HostStatus(row.id, row.name, row.version, row.started_at, row.leased_until, row.leased_until > now)
                for row in rows
            )

        return await self._database.read(work)

    def _own(self) -> ColumnElement[bool]:
        return (_table.c.id == self._host) & (_table.c.session == self._session)


def database_now(connection: Connection) -> datetime:
    """By the clock that all hosts of the store share; an SQLite file has one host."""
    if connection.dialect.name != "postgresql":
        return datetime.now(UTC)
    now: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return now
