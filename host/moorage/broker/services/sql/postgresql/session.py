"""One transaction on one PostgreSQL connection: statements, cursors of the server, and what failures did to it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from moorage.broker.services.base import Guard
from moorage.broker.services.sql.base import Rows
from moorage.broker.services.sql.postgresql import failures, pipeline, wire
from moorage.broker.services.sql.postgresql.pipeline import Command, Reply
from moorage.broker.services.sql.postgresql.raw import MAX_REPLY_BYTES, BoundedConnection
from moorage_proto.sqlite_access import AccessNeed
from moorage_proto.sqlite_limits import MAX_ROW_BYTES
from moorage_proto.sqlite_result import BATCH_BYTES, DEFAULT_ROWS, MAX_ROWS
from moorage_proto.values import ValueInvalid

#: Rows of the first fetch, which comes with the statement itself: how large they are is not known before.
FIRST_ROWS = 16
#: Of each further one, at most.
MORE_ROWS = 256
#: Whose values are read before the event loop goes on.
LOADED_ROWS = 64


@dataclass(eq=False)
class OpenCursor:
    """Rows that the server still has, or that came with the statement and were not sent yet."""

    name: str
    #: The last portion that came.
    portion: Reply
    #: The server has no more.
    is_complete: bool
    needs: tuple[AccessNeed, ...] = ()
    guard: Guard | None = None
    #: Taken from the portion, and not sent yet.
    waiting: deque[tuple[Any, ...]] = field(default_factory=deque)
    #: Of the rows that came so far, roughly.
    row_bytes: int = 64

    @property
    def is_spent(self) -> bool:
        return self.is_complete and not self.waiting and self.portion.is_read


@dataclass(frozen=True)
class Result:
    columns: tuple[str, ...]
    types: tuple[str, ...]
    cursor: OpenCursor | None
    row_count: int


class Session:
    """From the first statement to commit or rollback. Its methods run one after another, in tasks that end."""

    def __init__(self, backend: str, connection: BoundedConnection, label: str) -> None:
        self.connection = connection
        self.cursors: list[OpenCursor] = []
        #: Of the transaction, by the guard that allowed them last.
        self.used: dict[tuple[AccessNeed, ...], Guard] = {}
        #: A statement of the plugin's has succeeded in it.
        self.has_succeeded = False
        self.has_defined = False
        self._backend = backend
        self._label = label
        self._began = False
        self._cursor_count = 0
        self._closed_names: list[str] = []

    @property
    def is_aborted(self) -> bool:
        return self.connection.info.transaction_status == TransactionStatus.INERROR

    @property
    def is_open(self) -> bool:
        """Whether the connection is."""
        return not (self.connection.closed or self.connection.severed)

    @property
    def is_usable(self) -> bool:
        """Whether the connection may be given to another transaction, once this one has ended."""
        is_idle = self.connection.info.transaction_status == TransactionStatus.IDLE
        return is_idle and not self.connection.severed and not self.connection.stops

    async def run(self, statement: str, parameters: Sequence[Any]) -> Result:
        """All of the rows come at once. Raises CallError and psycopg.Error."""
        (reply,) = await self._run([(statement, parameters)])
        columns = reply.columns
        held = OpenCursor("", reply, is_complete=True) if columns else None
        return Result(columns, reply.types, held, reply.row_count)

    async def open(self, statement: str, parameters: Sequence[Any], first_rows: int) -> Result:
        """Through a cursor of the server, with the first of its rows."""
        self._cursor_count += 1
        name = f"moorage_{self._cursor_count}"
        count = min(first_rows or DEFAULT_ROWS, FIRST_ROWS)
        declare = (f"DECLARE {name} NO SCROLL CURSOR FOR {statement}", parameters)
        _, reply = await self._run([declare, _fetching(name, count)])
        held = OpenCursor(name, reply, is_complete=False)
        self._took(held, reply, count)
        return Result(reply.columns, reply.types, held, -1)

    async def run_many(self, statement: str, rows: Sequence[Sequence[Any]]) -> int:
        """How many rows were changed."""
        replies = await self._run([(statement, row) for row in rows])
        return sum(max(reply.row_count, 0) for reply in replies)

    async def query(self, statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """One of the host's own."""
        (reply,) = await self._run([(statement, parameters)])
        return reply.take(reply.result.ntuples)

    async def batch(self, held: OpenCursor, rows: int) -> Rows:
        """Some of the next rows; none: that was all."""
        limit = min(rows or DEFAULT_ROWS, MAX_ROWS)
        sent, size_bytes = Rows(), 0
        while len(sent.rows) < limit and size_bytes < BATCH_BYTES:
            if not held.waiting and not await self._portion(held, limit - len(sent.rows)):
                break
            row = _as_sent(held.waiting.popleft())
            row_bytes = row.ByteSize()
            if row_bytes > MAX_ROW_BYTES:
                self.close_cursor(held)
                raise failures.row_too_big(MAX_ROW_BYTES)
            size_bytes += row_bytes
            held.row_bytes = max(64, (held.row_bytes + row_bytes) // 2)
            sent.rows.append(row)
        return sent

    def close_cursor(self, held: OpenCursor) -> None:
        """The server is told with the next statement."""
        if held in self.cursors:
            self.cursors.remove(held)
        if held.name:
            self._closed_names.append(held.name)
            held.name = ""
        held.is_complete = True
        held.waiting.clear()

    def forget_cursors(self) -> None:
        """They ended with a savepoint, or may have."""
        for held in tuple(self.cursors):
            self.close_cursor(held)
        self._closed_names.clear()

    async def commit(self) -> None:
        """Raises CallError and psycopg.Error."""
        if self.is_aborted:
            raise failures.transaction_aborted()
        await self._send([("COMMIT", ())])

    async def rollback(self) -> None:
        await self._send([("ROLLBACK", ())])

    async def _portion(self, held: OpenCursor, wanted: int) -> bool:
        """Whether there is another row; reading values takes time, and others have their turn in between."""
        held.waiting.extend(held.portion.take(LOADED_ROWS))
        if not held.waiting and not held.is_complete:
            count = max(1, min(wanted, MORE_ROWS, 2 * BATCH_BYTES // held.row_bytes))
            (reply,) = await self._run([_fetching(held.name, count)])
            self._took(held, reply, count)
            held.waiting.extend(reply.take(LOADED_ROWS))
        await asyncio.sleep(0)
        return bool(held.waiting)

    def _took(self, held: OpenCursor, reply: Reply, asked: int) -> None:
        held.portion = reply
        if reply.result.ntuples < asked:
            held.is_complete = True
            self._closed_names.append(held.name)
            held.name = ""

    async def _run(self, commands: list[Command]) -> list[Reply]:
        """With what has to go before them: all in one turn of the network."""
        before: list[Command] = []
        if not self._began:
            label = sql.Literal(self._label).as_string()
            before += [("BEGIN", ()), (f"SET LOCAL application_name = {label}", ())]
        if not self.is_aborted:
            before += [(f"CLOSE {name}", ()) for name in self._closed_names]
        self._closed_names.clear()
        replies = await self._send([*before, *commands])
        return replies[len(before) :]

    async def _send(self, commands: list[Command]) -> list[Reply]:
        connection = self.connection
        connection.begin()
        try:
            return await pipeline.run(connection, commands)
        except psycopg.Error:
            if connection.overflowed:
                raise failures.reply_too_big(MAX_REPLY_BYTES) from None
            raise
        finally:
            self._began = connection.info.transaction_status != TransactionStatus.IDLE


def _fetching(name: str, count: int) -> Command:
    return (f"FETCH FORWARD {count} FROM {name}", ())


def _as_sent(found: tuple[Any, ...]) -> Any:
    try:
        return wire.row(found)
    except ValueInvalid as error:
        raise failures.value_unreadable(str(error)) from None
