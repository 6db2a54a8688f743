"""One brokered connection to a SQLite file: turns, the writer lock, time limits, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from moorage.broker.services.base import Guard
from moorage.broker.services.sql import refusals
from moorage.broker.services.sql.base import Answer, Opening, Rows
from moorage.broker.services.sql.threads import Forsaken, Share
from moorage.broker.services.sql.writer_lock import WriterLock
from moorage_proto import sql_pb2, values
from moorage_proto.errors import CallError
from moorage_proto.sqlite_errors import Kind, bindable, inspected_by_pragmas
from moorage_proto.sqlite_result import OpenCursor
from moorage_proto.sqlite_result import Result as SessionResult
from moorage_proto.sqlite_session import SqliteSession, Transaction

T = TypeVar("T")

#: What a statement came to, and its first rows as they are sent.
Ran = tuple[SessionResult, Rows]

#: With unread rows, of all connections of one installation: each holds the values that its statement has computed.
MAX_CURSORS = 64

#: A connection that could not be closed in time is closed when the call in it has ended.
CLOSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class SqliteLimits:
    """Of one database; times in seconds."""

    #: A transaction in which nothing happens for so long is rolled back.
    idle: float = 5.0
    #: Longest wait for other connections' writes. Longer than ``idle``, so that a forgotten writer goes first.
    writer_wait: float = 10.0
    #: Longest run of one statement, whatever the call's own deadline.
    statement: float = 60.0
    #: By how much the file may grow while one connection is open.
    growth_bytes: int = 1024**3


class Attempt(Protocol):
    """A statement that is ready to run, once it is known whether it may write."""

    def __call__(self, *, may_write: bool) -> Ran | None: ...


class SqliteConnection:
    """Implements ``Connection``. All state is the event loop's; the session is the thread's of the present turn."""

    def __init__(
        self,
        backend: str,
        opening: Opening,
        open_session: Callable[[], SqliteSession],
        share: Share,
        writer: WriterLock,
        limits: SqliteLimits,
        *,
        notes_commits: bool = False,
    ) -> None:
        self.opening = opening
        self._backend = backend
        self._open_session = open_session
        self._share = share
        self._writer = writer
        self._limits = limits
        #: Whoever takes it away closes it.
        self._session: SqliteSession | None = None
        self._released = False
        self._notes_commits = notes_commits
        self._has_written = False
        #: It was released while a call was in it, and is closed when that has ended.
        self._close_later = False
        self._one_call = asyncio.Lock()
        #: Of the present turn.
        self._caller: asyncio.Task[Any] | None = None
        self._cancelled = False
        self._turns = 0
        self._statement_timer: asyncio.TimerHandle | None = None
        self._idle_timer: asyncio.TimerHandle | None = None
        self._expiry: asyncio.Task[None] | None = None
        self.transaction_since: datetime | None = None
        share.connections += 1

    async def execute(
        self, guard: Guard, statement: str, parameters: Sequence[Any], *, first_rows: int, deadline: float | None
    ) -> Answer:
        bound = [bindable(value) for value in parameters]
        async with self._turn(deadline) as session:
            if self._share.open_cursors() >= MAX_CURSORS:
                raise refusals.too_many_cursors(MAX_CURSORS)

            def attempt(*, may_write: bool) -> Ran | None:
                return _ran(session.run(guard, statement, bound, may_write=may_write, first_rows=first_rows))

            return self._answer(await self._run(attempt, deadline))

    async def execute_many(
        self, guard: Guard, statement: str, rows: Sequence[Sequence[Any]], *, deadline: float | None
    ) -> Answer:
        bound = [[bindable(value) for value in row] for row in rows]
        async with self._turn(deadline) as session:

            def attempt(*, may_write: bool) -> Ran | None:
                return _ran(session.run_many(guard, statement, bound, may_write=may_write))

            return self._answer(await self._run(attempt, deadline))

    async def inspect(self, *_: object, **__: object) -> sql_pb2.InspectReply:
        raise inspected_by_pragmas()

    async def fetch(self, cursor: OpenCursor, rows: int, deadline: float | None) -> Rows:
        async with self._turn(deadline) as session:
            return await self._in_thread(lambda: _as_sent(session.fetch(cursor, rows)))

    async def close_cursor(self, cursor: OpenCursor) -> None:
        if not self._released:
            async with self._turn(None) as session:
                await self._in_thread(lambda: session.close_cursor(cursor))

    async def commit(self, deadline: float | None) -> None:
        if self._session is not None:
            async with self._turn(deadline) as session:
                await self._in_thread(session.commit)

    async def rollback(self, deadline: float | None) -> None:
        if self._session is not None:
            async with self._turn(deadline) as session:
                await self._in_thread(session.rollback)

    async def cancel(self) -> None:
        if self._caller is not None:
            self._cancelled = True
            self._caller.cancel()

    async def finish(self, *, success: bool) -> None:
        if success and self.opening.scoped:
            await self._note_commit()
            await self.commit(None)
        elif self._session is not None and not self._released:
            self._session.stop()
            await self.rollback(None)

    async def release(self) -> None:
        """Idempotent: a worker may close what its scope is about to end."""
        if self._released:
            return
        self._released = True
        self._stop_idling()
        try:
            if self._session is not None:
                self._session.stop()
                await self._close()
        finally:
            self._uncount()
            self._writer.release(self)

    def revoked(self) -> bool:
        return self._session is not None and self._session.is_revoked()

    async def _note_commit(self) -> None:
        execution = self.opening.execution
        if self._notes_commits and self._has_written and execution:
            async with self._turn(None) as session:
                await self._become_writer(None)
                try:
                    await self._in_thread(lambda: session.note_commit(self.opening.installation, execution))
                except CallError as error:
                    if error.sql is not None and error.sql.kind == Kind.INTEGRITY_ERROR:
                        raise refusals.committed_before(execution) from None
                    raise

    async def _close(self) -> None:
        """Whoever ends a scope does not wait for turns that threads without a caller keep."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                async with self._one_call:
                    closing = self._give_back()
                if closing is not None:
                    await asyncio.shield(closing)
        except TimeoutError:
            self._close_later = True
        except asyncio.CancelledError:
            self._close_later = True
            raise

    def _give_back(self) -> asyncio.Future[None] | None:
        """Closes the session in a thread. Nobody but a garbage collection would: it refers to itself."""
        session, self._session = self._session, None
        return None if session is None else self._share.later(session.close)

    async def _run(self, attempt: Attempt, deadline: float | None) -> Ran:
        """Only a statement that turns out to write waits for the lock, which its transaction then keeps."""
        holds = self._writer.owner is self
        result = await self._in_thread(lambda: attempt(may_write=holds))
        if result is None:
            await self._become_writer(deadline)
            result = await self._in_thread(lambda: attempt(may_write=True))
        assert result is not None, "a statement that may write was run"
        return result

    async def _become_writer(self, deadline: float | None) -> None:
        limit = min(self._limits.writer_wait, _remaining_seconds(deadline))
        try:
            await self._writer.acquire(self, limit)
        except TimeoutError:
            raise refusals.writer_busy(self._backend, limit, own=self._own_writer()) from None
        self._limit_statement(deadline)

    def _own_writer(self) -> bool:
        owner = self._writer.owner
        return isinstance(owner, SqliteConnection) and owner.opening.installation == self.opening.installation

    def _answer(self, ran: Ran) -> Answer:
        result, rows = ran
        cursor = None if result.cursor is None else SqliteCursor(self, result.cursor)
        return Answer(result.columns, rows, cursor, result.row_count, result.last_row_id)

    @contextlib.asynccontextmanager
    async def _turn(self, deadline: float | None) -> AsyncIterator[SqliteSession]:
        async with self._one_call:
            if self._released:
                raise refusals.connection_closed()
            self._stop_idling()
            self._turns += 1
            with self._cancellable():
                session = self._session or await self._open()
                self._limit_statement(deadline)
                try:
                    yield session
                finally:
                    self._settle(session)

    @contextlib.contextmanager
    def _cancellable(self) -> Iterator[None]:
        """What ``cancel`` does to the turn's caller is its statement's error, not the end of the call's task."""
        self._caller = task = asyncio.current_task()
        assert task is not None, "calls are tasks"
        try:
            yield
        except asyncio.CancelledError:
            if not self._cancelled or task.uncancel() > 0:
                raise
            raise refusals.statement_cancelled() from None
        finally:
            self._caller, self._cancelled = None, False
            if self._close_later:
                self._give_back()

    async def _open(self) -> SqliteSession:
        """Whoever leaves meanwhile leaves it to its thread, which closes what it has opened."""
        opened: list[SqliteSession] = []

        def close() -> None:
            for session in opened:
                session.close()

        try:
            await self._share.run(lambda: opened.append(self._open_session()), stop=_nothing, forsaken=close)
        except Forsaken:
            raise
        except asyncio.CancelledError:
            self._share.later(close)
            raise
        if self._released:
            self._share.later(close)
            raise refusals.connection_closed()
        (self._session,) = opened
        self._share.sessions.add(self._session)
        return self._session

    def _settle(self, session: SqliteSession) -> None:
        """After every turn: whoever does not write holds no lock, and whoever holds a transaction is timed."""
        self._lift_limit()
        self._has_written = self._has_written or session.transaction is Transaction.WRITING
        if session.transaction is not Transaction.WRITING or self._released:
            self._writer.release(self)
        if session.transaction is Transaction.NONE or self._released:
            self.transaction_since = None
        else:
            self.transaction_since = self.transaction_since or datetime.now(UTC)
            loop = asyncio.get_running_loop()
            self._idle_timer = loop.call_later(self._limits.idle, self._expire, self._turns)

    def _limit_statement(self, deadline: float | None) -> None:
        session = self._session
        if session is not None:
            self._lift_limit()
            seconds = min(self._limits.statement, _remaining_seconds(deadline))
            session.bound(time.monotonic() + seconds)
            self._statement_timer = asyncio.get_running_loop().call_later(seconds, session.stop)

    def _lift_limit(self) -> None:
        if self._statement_timer is not None:
            self._statement_timer.cancel()
            self._statement_timer = None

    async def _in_thread(self, function: Callable[[], T]) -> T:
        session = self._session
        assert session is not None, "a turn opens the session"
        try:
            return await self._share.run(function, stop=session.stop, forsaken=session.close)
        except Forsaken as forsaken:
            # The lock must not wait for the thread; SQLite's own keeps the next writer waiting for as long as needed.
            self._session = None
            self._abandon(forsaken.ended)
            raise

    def _abandon(self, ended: asyncio.Future[Any]) -> None:
        """The connection counts until its thread has ended and closes it."""
        if not self._released:
            self._released = True
            ended.add_done_callback(lambda _: self._uncount())
        self._writer.release(self)

    def _uncount(self) -> None:
        self._share.connections -= 1

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
            why = refusals.transaction_idle(self._limits.idle)
            try:
                await self._in_thread(lambda: session.abandon(why))
                self._settle(session)
            finally:
                if self._close_later:
                    self._give_back()


class SqliteCursor:
    """Implements ``Cursor``."""

    def __init__(self, connection: SqliteConnection, cursor: OpenCursor) -> None:
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
            with contextlib.suppress(CallError):
                await self._connection.close_cursor(self._cursor)

    def revoked(self) -> bool:
        return self._connection.revoked()


def _ran(result: SessionResult | None) -> Ran | None:
    """In the statement's thread."""
    return None if result is None else (result, _as_sent(result.rows))


def _as_sent(rows: Sequence[Sequence[Any]]) -> Rows:
    sent = Rows()
    for row in rows:
        sent.rows.add(values=map(values.to_wire, row))
    return sent


def _remaining_seconds(deadline: float | None) -> float:
    return float("inf") if deadline is None else max(0.0, deadline - asyncio.get_running_loop().time())


def _nothing() -> None:
    """Opening a file cannot be stopped."""
