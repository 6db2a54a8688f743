"""One brokered connection to a PostgreSQL server: turns, decisions, time limits, and its end.

It holds a real connection only while it is in a transaction; between transactions that one is the pool's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

import psycopg

from moorage.broker.services.base import Guard
from moorage.broker.services.sql import refusals
from moorage.broker.services.sql.base import Answer, Opening, Rows
from moorage.broker.services.sql.postgresql import failures, wire
from moorage.broker.services.sql.postgresql.catalog import Catalog
from moorage.broker.services.sql.postgresql.facts import Relation
from moorage.broker.services.sql.postgresql.inspection import inspected
from moorage.broker.services.sql.postgresql.pool import Pool
from moorage.broker.services.sql.postgresql.raw import CANCEL_SECONDS, REPEAT_SECONDS, BoundedConnection
from moorage.broker.services.sql.postgresql.session import OpenCursor, Result, Session
from moorage.broker.services.sql.postgresql.statements import Parser, Plan, Statement, SyntaxWrong
from moorage_proto import sql_pb2
from moorage_proto.errors import CallError
from moorage_proto.sqlite_access import Forbidden, first_missing, is_covered
from moorage_proto.values import ValueInvalid

T = TypeVar("T")

log = logging.getLogger(__name__)

#: With unread rows, of all connections of one installation: each keeps its place in the server's memory.
MAX_CURSORS = 64


@dataclass(frozen=True, slots=True)
class PostgresLimits:
    """Of one database; times in seconds."""

    #: A transaction in which nothing happens for so long is rolled back.
    idle: float = 5.0
    #: Longest run of one statement, whatever the call's own deadline.
    statement: float = 60.0


class Place(Protocol):
    """Where an installation's statements run."""

    catalog: Catalog
    #: Of all of its connections.
    cursors: int
    connections: int

    async def ready(self, user: object, guard: Guard, relations: Mapping[tuple[str, str], Relation]) -> None:
        """Before a connection is taken, and before a statement runs that touches the relations: the role is there, and
        has the rights that the guard's grants say, as long as the user does not leave. Raises CallError.
        """

    def leave(self, user: object) -> None:
        """Its transaction has ended."""


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
        self._pool = pool
        self._place = place
        self._parser = parser
        self._limits = limits
        self._mark = mark
        self._session: Session | None = None
        #: Why the transaction is gone although the plugin has not ended it; it has to roll back to go on.
        self._lost: CallError | None = None
        self._released = False
        self._has_written = False
        self._one_call = asyncio.Lock()
        #: What a statement of the plugin's runs on at the moment.
        self._running: BoundedConnection | None = None
        self._cancelled = False
        self._turns = 0
        self._idle_timer: asyncio.TimerHandle | None = None
        self._expiry: asyncio.Task[None] | None = None
        self.transaction_since: datetime | None = None
        place.connections += 1

    async def execute(
        self, guard: Guard, statement: str, parameters: Sequence[Any], *, first_rows: int, deadline: float | None
    ) -> Answer:
        bound = _bound(parameters)
        read = await self._read(statement, bound)
        async with self._turn():
            if self._place.cursors >= MAX_CURSORS:
                raise refusals.too_many_cursors(MAX_CURSORS)
            return await self._again(lambda: self._run(guard, read, bound, first_rows, deadline))

    async def execute_many(
        self, guard: Guard, statement: str, rows: Sequence[Sequence[Any]], *, deadline: float | None
    ) -> Answer:
        bound = [_bound(row) for row in rows]
        read = await self._read(statement, *bound)
        async with self._turn():

            async def run() -> Answer:
                plan, session = await self._decided(guard, read, deadline)
                count = await self._limited(session, session.run_many(read.text, bound), deadline)
                self._note(plan, session, guard, read)
                return Answer((), Rows(), None, count, None)

            return await self._again(run)

    async def inspect(
        self, guard: Guard, schema: str, names: Sequence[str], *, deadline: float | None
    ) -> sql_pb2.InspectReply:
        async with self._turn():
            guard.require_any(self._backend)

            async def run() -> sql_pb2.InspectReply:
                session = await self._ready(guard, deadline)
                work = inspected(session.query, self._place.catalog, guard, self._backend, schema, names)
                return await self._limited(session, work, deadline)

            return await self._again(run)

    async def fetch(self, cursor: OpenCursor, rows: int, deadline: float | None) -> Rows:
        async with self._turn():
            session = self._session
            if session is None or cursor not in session.cursors:
                raise failures.cursor_closed()
            found = await self._limited(session, session.batch(cursor, rows), deadline)
            if not found.rows:
                self._close_cursor(cursor)
            return found

    async def close_cursor(self, cursor: OpenCursor) -> None:
        if not self._released:
            async with self._one_call:
                self._close_cursor(cursor)

    async def commit(self, deadline: float | None) -> None:
        async with self._turn():
            if self._session is not None:
                await self._end(self._session, self._session.commit(), deadline, commits=True)

    async def rollback(self, deadline: float | None) -> None:  # noqa: ARG002 - it has a limit of its own
        """Works when the server is gone, too."""
        async with self._turn(acknowledges=True):
            if self._session is not None:
                await self._roll_back(self._session)

    async def cancel(self) -> None:
        if self._running is not None:
            self._cancelled = True
            await self._running.stop()

    async def finish(self, *, success: bool) -> None:
        if not (success and self.opening.scoped):
            await self._stop()
            if not self._released:
                await self.rollback(None)
            return
        async with self._turn():
            await self._note_commit()
            if self._session is not None:
                await self._end(self._session, self._session.commit(), None, commits=True)

    async def release(self) -> None:
        """Idempotent: a worker may close what its scope is about to end."""
        if self._released:
            return
        self._released = True
        self._stop_idling()
        await self._stop()
        try:
            async with self._one_call:
                if self._session is not None:
                    await self._roll_back(self._session)
        finally:
            self._place.connections -= 1

    def revoked(self) -> bool:
        session = self._session
        if session is None:
            return False
        used = [*session.used.items(), *((each.needs, each.guard) for each in session.cursors if each.guard)]
        return not all(is_covered(needs, self._backend, guard) for needs, guard in used)

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

        result, rows = await self._limited(session, run(), deadline)
        if statement.ends_cursors:
            self._forget_cursors(session)
        cursor = self._note(plan, session, guard, statement, result.cursor)
        held = None if cursor is None else PostgresCursor(self, cursor)
        return Answer(result.columns, rows, held, result.row_count, None, result.types)

    async def _decided(self, guard: Guard, statement: Statement, deadline: float | None) -> tuple[Plan, Session]:
        """Decides everything that the statement takes before any of it is sent. Raises CallError."""
        session = await self._ready(guard, deadline)
        try:
            catalog = self._place.catalog
            plan = catalog.known(statement)
            if plan is None:
                plan = await self._limited(session, catalog.plan(statement, session.query), deadline)
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
        await self._place.ready(self, guard, catalog.relations_of(statement.names))
        return plan, session

    def _note(
        self,
        plan: Plan,
        session: Session,
        guard: Guard,
        statement: Statement,
        cursor: OpenCursor | None = None,
    ) -> OpenCursor | None:
        """What a statement that succeeded leaves behind; the cursor, where there are more rows."""
        session.has_succeeded = True
        if plan.needs:
            session.used[plan.needs] = guard
        self._has_written = self._has_written or plan.writes or statement.changes_rows
        if plan.defines:
            session.has_defined = True
        if plan.defines or statement.ends_cursors:
            self._place.catalog.forget()
        if cursor is None or cursor.is_spent:
            return None
        cursor.needs, cursor.guard = plan.needs, guard
        session.cursors.append(cursor)
        self._place.cursors += 1
        return cursor

    async def _ready(self, guard: Guard, deadline: float | None) -> Session:
        """In a transaction, or about to begin one."""
        if self._session is None:
            try:
                await self._place.ready(self, guard, {})
                connection = await self._pool.take(self.opening.installation, deadline)
            except BaseException:
                self._place.leave(self)
                raise
            self._session = Session(self._backend, connection, self.opening.label)
        return self._session

    async def _again(self, run: Callable[[], Awaitable[T]]) -> T:
        """A connection that rested may have died meanwhile. Where nothing was done on it yet, another one does it."""
        is_first = self._session is None
        try:
            return await run()
        except CallError as error:
            if not (is_first and self._lost is error and error.sql is not None and error.sql.sqlstate == _LOST):
                raise
        self._lost = None
        self._pool.forget(self.opening.installation)
        try:
            return await run()
        except CallError as error:
            if is_first and self._lost is error and error.sql is not None and error.sql.sqlstate == _LOST:
                # Nothing was done in it.
                self._lost = None
            raise

    async def _limited(self, session: Session, work: Coroutine[Any, Any, T], deadline: float | None) -> T:
        """Runs it in a task that nobody cancels; when time is up, or the caller leaves, the server is told to stop."""
        loop = asyncio.get_running_loop()
        seconds = self._limits.statement if deadline is None else min(self._limits.statement, deadline - loop.time())
        task = loop.create_task(work, name=f"{self.opening.label} statement")
        why: CallError | None = None
        self._running, self._cancelled = session.connection, False
        try:
            done, _ = await asyncio.wait((task,), timeout=max(0.0, seconds))
            if not done:
                why = failures.deadline_exceeded()
                await self._interrupt(session.connection, task)
        except asyncio.CancelledError:
            await _to_the_end(self._interrupt(session.connection, task))
            self._settle_failure(session, task.exception(), refusals.statement_cancelled())
            raise
        finally:
            self._running = None
        try:
            return task.result()
        except (psycopg.Error, CallError) as error:
            raise self._settle_failure(session, error, why) from None

    async def _interrupt(self, connection: BoundedConnection, task: asyncio.Task[Any]) -> None:
        """Until the task has ended. The server ignores a request that comes between two statements: hence another."""
        until = asyncio.get_running_loop().time() + CANCEL_SECONDS
        while not task.done() and asyncio.get_running_loop().time() < until:
            await connection.stop()
            await asyncio.wait((task,), timeout=REPEAT_SECONDS)
        if not task.done():
            connection.sever()
            await asyncio.wait((task,))

    def _settle_failure(self, session: Session, error: BaseException | None, why: CallError | None) -> CallError:
        """What a failure did to the transaction, and how it is told."""
        if error is None:
            return why or refusals.statement_cancelled()
        told = error if isinstance(error, CallError) else failures.translate(error, self._backend)
        is_interrupted = isinstance(error, psycopg.errors.QueryCanceled)
        if why is not None and (is_interrupted or failures.is_lost(error)):
            told = why
        elif is_interrupted:
            told = refusals.statement_cancelled() if self._cancelled else failures.deadline_exceeded()
        if not session.is_open:
            self._lose(session, told)
        return told

    def _lose(self, session: Session, why: CallError) -> None:
        """The connection is gone, and with it the transaction."""
        self._give_up(session)
        self._lost = why

    def _give_up(self, session: Session) -> None:
        """Its connection goes back to the pool, or is closed: in the middle of a transaction that rolls back."""
        self._forget_cursors(session)
        if session.has_defined:
            self._place.catalog.forget()
        installation = self.opening.installation
        if session.is_usable:
            self._pool.give(installation, session.connection)
        else:
            self._pool.drop(installation, session.connection)
        self._session = None
        self._place.leave(self)
        self.transaction_since = None

    async def _end(
        self, session: Session, work: Coroutine[Any, Any, None], deadline: float | None, *, commits: bool = False
    ) -> None:
        """Commits or rolls back. Raises CallError."""
        try:
            await self._limited(session, work, deadline)
        except CallError as error:
            # Where the connection is gone the answer did not come: it may have been committed or not.
            told = failures.commit_unknown(self._backend) if commits and self._session is None else error
            if session.is_usable:
                # PostgreSQL rolls a transaction back whose commit fails, as when a deferred constraint does.
                self._give_up(session)
            if self._session is None:
                self._lost = told
            raise told from None
        self._give_up(session)

    async def _roll_back(self, session: Session) -> None:
        """It is gone afterwards, whatever becomes of the connection: to cut that off rolls back as well."""
        await _to_the_end(_undo(session))
        self._give_up(session)
        self._lost = None

    async def _note_commit(self) -> None:
        """In the same transaction: that the execution's work was committed."""
        if not (self._mark and self._has_written and self.opening.execution):
            return
        if self._session is None:
            connection = await self._pool.take(self.opening.installation, None)
            self._session = Session(self._backend, connection, self.opening.label)
        session = self._session
        if not session.is_aborted:
            work = session.query(self._mark, (self.opening.installation, self.opening.execution))
            await self._limited(session, work, None)

    def _close_cursor(self, cursor: OpenCursor) -> None:
        session = self._session
        if session is not None and cursor in session.cursors:
            session.close_cursor(cursor)
            self._place.cursors -= 1

    def _forget_cursors(self, session: Session) -> None:
        self._place.cursors -= len(session.cursors)
        session.forget_cursors()

    @contextlib.asynccontextmanager
    async def _turn(self, *, acknowledges: bool = False) -> AsyncIterator[None]:
        async with self._one_call:
            if self._released:
                raise refusals.connection_closed()
            self._stop_idling()
            self._turns += 1
            if acknowledges:
                self._lost = None
            elif self._lost is not None:
                raise self._lost
            try:
                yield
            finally:
                await self._settle()

    async def _settle(self) -> None:
        """After every turn: whoever holds a transaction is timed."""
        session = self._session
        if session is None:
            return
        if not session.has_succeeded:
            # Nothing was done before what failed: an aborted, or empty, transaction would only be in the way.
            await self._roll_back(session)
        else:
            self.transaction_since = self.transaction_since or datetime.now(UTC)
            loop = asyncio.get_running_loop()
            self._idle_timer = loop.call_later(self._limits.idle, self._expire, self._turns)

    async def _stop(self) -> None:
        """Whatever runs ends soon."""
        session = self._session
        if session is not None and self._one_call.locked():
            asyncio.get_running_loop().call_later(CANCEL_SECONDS, self._cut_off, session)
            await session.connection.stop()

    def _cut_off(self, session: Session) -> None:
        if self._session is session and self._one_call.locked():
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
            session = self._session
            if session is None or self._released or self._turns != turn:
                return
            await self._roll_back(session)
            self._lost = refusals.transaction_idle(self._limits.idle)


class PostgresCursor:
    """Implements ``Cursor``."""

    def __init__(self, connection: PostgresConnection, cursor: OpenCursor) -> None:
        self._connection = connection
        self._cursor = cursor
        self._released = False

    async def fetch(self, rows: int, deadline: float | None) -> Rows:
        return await self._connection.fetch(self._cursor, rows, deadline)

    async def finish(self, *, success: bool) -> None:
        """Nothing: its connection is finished."""

    async def release(self) -> None:
        if not self._released:
            self._released = True
            await self._connection.close_cursor(self._cursor)

    def revoked(self) -> bool:
        return self._connection.revoked()


async def _to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """However often the waiting task is cancelled meanwhile: the connection must not be used before."""
    task = asyncio.get_running_loop().create_task(work, name="sql interrupts a statement")
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait((task,))


async def _undo(session: Session) -> None:
    task = asyncio.get_running_loop().create_task(session.rollback(), name="sql rolls back")
    await asyncio.wait((task,), timeout=CANCEL_SECONDS)
    if not task.done():
        session.connection.sever()
        await asyncio.wait((task,))
    # Whatever it raises: a connection that is not in order afterwards is closed.
    task.exception()


def _bound(parameters: Sequence[Any]) -> list[Any]:
    try:
        return [wire.bindable(value) for value in parameters]
    except ValueInvalid as error:
        raise refusals.request_invalid(f"A parameter cannot be read: {error}.") from None


_LOST = "08006"
