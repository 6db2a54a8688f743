"""One brokered connection to a PostgreSQL server: turns, decisions, and its end.

It holds a real connection only while it is in a transaction; between transactions that one is the pool's.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from moorage.broker.services.base import Guard
from moorage.broker.services.sql import refusals
from moorage.broker.services.sql.base import Answer, Opening, Rows
from moorage.broker.services.sql.postgresql import failures, wire
from moorage.broker.services.sql.postgresql.cursor import PostgresCursor
from moorage.broker.services.sql.postgresql.inspection import inspected
from moorage.broker.services.sql.postgresql.pool import Pool
from moorage.broker.services.sql.postgresql.raw import CANCEL_SECONDS
from moorage.broker.services.sql.postgresql.session import OpenCursor, Result, Session
from moorage.broker.services.sql.postgresql.statements import Parser, Plan, Statement, SyntaxWrong
from moorage.broker.services.sql.postgresql.transaction import Place, Transaction
from moorage_proto import sql_pb2
from moorage_proto.sqlite_access import Forbidden, first_missing
from moorage_proto.values import ValueInvalid

#: With unread rows, of all connections of one installation: each keeps its place in the server's memory.
MAX_CURSORS = 64


@dataclass(frozen=True, slots=True)
class PostgresLimits:
    """Of one database; times in seconds."""

    #: A transaction in which nothing happens for so long is rolled back.
    idle: float = 5.0
    #: Longest run of one statement, whatever the call's own deadline.
    statement: float = 60.0


class PostgresConnection:
    """Implements ``Connection``. All state is the event loop's."""

    def __init__(
        self,
        backend: str,
        opening: Opening,
        pool: Pool,
        place: Place,
        parser: Parser,
        limits: PostgresLimits,
        mark: str = "",
    ) -> None:
        """``mark``: the statement that notes an execution whose work is committed, with $1 and $2 for installation and
        execution; empty: none is noted.
        """
        self.opening = opening
        self._backend = backend
        self._place = place
        self._parser = parser
        self._limits = limits
        self._mark = mark
        self._transaction = Transaction(backend, opening, pool, place, limits.statement)
        self._released = False
        self._one_call = asyncio.Lock()
        self._turns = 0
        self._idle_timer: asyncio.TimerHandle | None = None
        self._expiry: asyncio.Task[None] | None = None
        place.connections += 1

    @property
    def transaction_since(self) -> datetime | None:
        return self._transaction.since

    async def execute(
        self, guard: Guard, statement: str, parameters: Sequence[Any], *, first_rows: int, deadline: float | None
    ) -> Answer:
        bound = _bound(parameters)
        read = await self._read(statement, bound)
        async with self._turn():
            if self._place.cursors >= MAX_CURSORS:
                raise refusals.too_many_cursors(MAX_CURSORS)
            return await self._transaction.again(lambda: self._run(guard, read, bound, first_rows, deadline))

    async def execute_many(
        self, guard: Guard, statement: str, rows: Sequence[Sequence[Any]], *, deadline: float | None
    ) -> Answer:
        bound = [_bound(row) for row in rows]
        read = await self._read(statement, *bound)
        async with self._turn():

            async def run() -> Answer:
                plan, session = await self._decided(guard, read, deadline)
                count = await self._transaction.run(session, session.run_many(read.text, bound), deadline)
                self._note(plan, session, guard, read)
                return Answer((), Rows(), None, count, None)

            return await self._transaction.again(run)

    async def inspect(
        self, guard: Guard, schema: str, names: Sequence[str], *, deadline: float | None
    ) -> sql_pb2.InspectReply:
        async with self._turn():
            guard.require_any(self._backend)

            async def run() -> sql_pb2.InspectReply:
                session = await self._transaction.ready(guard, deadline)
                work = inspected(session.query, self._place.catalog, guard, self._backend, schema, names)
                return await self._transaction.run(session, work, deadline)

            return await self._transaction.again(run)

    async def fetch(self, cursor: OpenCursor, rows: int, deadline: float | None) -> Rows:
        async with self._turn():
            session = self._transaction.session
            if session is None or cursor not in session.cursors:
                raise failures.cursor_closed()
            found = await self._transaction.run(session, session.batch(cursor, rows), deadline)
            if not found.rows:
                self._transaction.close_cursor(cursor)
            return found

    async def close_cursor(self, cursor: OpenCursor) -> None:
        if not self._released:
            async with self._one_call:
                self._transaction.close_cursor(cursor)

    async def commit(self, deadline: float | None) -> None:
        async with self._turn():
            await self._transaction.commit(deadline)

    async def rollback(self, deadline: float | None) -> None:  # noqa: ARG002 - it has a limit of its own
        """Works when the server is gone, too."""
        async with self._turn(acknowledges=True):
            await self._transaction.roll_back()

    async def cancel(self) -> None:
        await self._transaction.cancel()

    async def finish(self, *, success: bool) -> None:
        if not (success and self.opening.scoped):
            await self._stop()
            if not self._released:
                await self.rollback(None)
            return
        async with self._turn():
            await self._transaction.note(self._mark)
            await self._transaction.commit(None)

    async def release(self) -> None:
        """Idempotent: a worker may close what its scope is about to end."""
        if self._released:
            return
        self._released = True
        self._stop_idling()
        await self._stop()
        try:
            async with self._one_call:
                await self._transaction.roll_back()
        finally:
            self._place.connections -= 1

    def revoked(self) -> bool:
        return self._transaction.revoked()

    async def _read(self, text: str, *rows: Sequence[Any]) -> Statement:
        """Raises CallError."""
        try:
            statement = await self._parser.parse(text)
        except SyntaxWrong as wrong:
            raise failures.syntax_wrong(str(wrong)) from None
        except Forbidden as forbidden:
            raise failures.translate(forbidden, self._backend) from None
        for row in rows:
            if statement.parameters != len(row):
                raise failures.parameters_wrong(statement.parameters, len(row))
        return statement

    async def _run(
        self, guard: Guard, statement: Statement, parameters: Sequence[Any], first_rows: int, deadline: float | None
    ) -> Answer:
        plan, session = await self._decided(guard, statement, deadline)

        async def run() -> tuple[Result, Rows]:
            if plan.streams:
                result = await session.open(statement.text, parameters, first_rows)
            else:
                result = await session.run(statement.text, parameters)
            return result, Rows() if result.cursor is None else await session.batch(result.cursor, first_rows)

        result, rows = await self._transaction.run(session, run(), deadline)
        if statement.ends_cursors:
            self._transaction.forget_cursors()
        cursor = self._note(plan, session, guard, statement, result.cursor)
        held = None if cursor is None else PostgresCursor(self, cursor)
        return Answer(result.columns, rows, held, result.row_count, None, result.types)

    async def _decided(self, guard: Guard, statement: Statement, deadline: float | None) -> tuple[Plan, Session]:
        """Decides everything that the statement takes before any of it is sent. Raises CallError."""
        session = await self._transaction.ready(guard, deadline)
        catalog = self._place.catalog
        try:
            plan = catalog.known(statement)
            if plan is None:
                plan = await self._transaction.run(session, catalog.plan(statement, session.query), deadline)
        except Forbidden as forbidden:
            raise failures.translate(forbidden, self._backend) from None
        missing = first_missing(plan.needs, self._backend, guard)
        if missing is not None:
            guard.decide(missing)
            raise guard.refusal(missing)
        if not plan.needs:
            guard.require_any(self._backend)
        if plan.forbidden:
            raise failures.translate(Forbidden(plan.forbidden), self._backend)
        if plan.unknown_column:
            raise failures.column_unknown(plan.unknown_column)
        await self._transaction.allow(guard, catalog.relations_of(statement.names))
        return plan, session

    def _note(
        self, plan: Plan, session: Session, guard: Guard, statement: Statement, cursor: OpenCursor | None = None
    ) -> OpenCursor | None:
        """What a statement that succeeded leaves behind; the cursor, where there are more rows."""
        session.has_succeeded = True
        if plan.needs:
            session.used[plan.needs] = guard
        if plan.writes or statement.changes_rows:
            self._transaction.has_written = True
        if plan.defines:
            session.has_defined = True
        if plan.defines or statement.ends_cursors:
            self._place.catalog.forget()
        if cursor is None or cursor.is_spent:
            return None
        cursor.needs, cursor.guard = plan.needs, guard
        self._transaction.hold(cursor)
        return cursor

    @contextlib.asynccontextmanager
    async def _turn(self, *, acknowledges: bool = False) -> AsyncIterator[None]:
        async with self._one_call:
            if self._released:
                raise refusals.connection_closed()
            self._stop_idling()
            self._turns += 1
            if self._transaction.lost is not None and not acknowledges:
                raise self._transaction.lost
            try:
                yield
            finally:
                if await self._transaction.settle():
                    loop = asyncio.get_running_loop()
                    self._idle_timer = loop.call_later(self._limits.idle, self._expire, self._turns)

    async def _stop(self) -> None:
        """Whatever runs ends soon."""
        session = self._transaction.session
        if session is not None and self._one_call.locked():
            asyncio.get_running_loop().call_later(CANCEL_SECONDS, self._cut_off, session)
            await session.connection.stop()

    def _cut_off(self, session: Session) -> None:
        if self._transaction.session is session and self._one_call.locked():
            session.connection.sever()

    def _stop_idling(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None

    def _expire(self, turn: int) -> None:
        name = f"{self.opening.label} idle transaction"
        self._expiry = asyncio.get_running_loop().create_task(self._roll_back_idle(turn), name=name)

    async def _roll_back_idle(self, turn: int) -> None:
        async with self._one_call:
            if self._transaction.session is None or self._released or self._turns != turn:
                return
            await self._transaction.roll_back()
            self._transaction.lost = refusals.transaction_idle(self._limits.idle)


def _bound(parameters: Sequence[Any]) -> list[Any]:
    try:
        return [wire.bindable(value) for value in parameters]
    except ValueInvalid as error:
        raise refusals.request_invalid(f"A parameter cannot be read: {error}.") from None
