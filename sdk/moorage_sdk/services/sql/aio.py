"""The async half of the driver: the same names, awaited."""

from __future__ import annotations

from types import TracebackType
from typing import Iterable, Optional, Sequence, Type, TypeVar

from google.protobuf.message import Message

from moorage_proto import sql_pb2
from moorage_proto.capability import MAIN_BACKEND
from moorage_proto.methods import Method
from moorage_sdk import channel as channels
from moorage_sdk.channel import Channel, ReplyStream
from moorage_sdk.scope import Scope, entered
from moorage_sdk.services.sql.async_cursor import AsyncCursor
from moorage_sdk.services.sql.errors import Error, translated
from moorage_sdk.services.sql.placeholders import Parameters
from moorage_sdk.services.sql.settings import ConnectionSettings
from moorage_sdk.services.sql.state import (
    CANCEL,
    CLOSE,
    CLOSE_CURSOR,
    COMMIT,
    CONNECT,
    EXECUTE,
    EXECUTE_MANY,
    FETCH,
    INSPECT,
    ROLLBACK,
    ConnectionState,
)

Request = TypeVar("Request", bound=Message)
Reply = TypeVar("Reply", bound=Message)


def connect_async(backend: str = MAIN_BACKEND, *, scoped: bool = False) -> AsyncConnection:
    """As ``connect``, for coroutines."""
    return AsyncConnection(channels.current(), backend, scoped=scoped)


class AsyncConnection(ConnectionSettings):
    """Used as a context manager it commits at the end of the block, or rolls back, and stays open."""

    def __init__(
        self, channel: Channel, backend: str = MAIN_BACKEND, *, scoped: bool = False, scope: Optional[Scope] = None
    ) -> None:
        self._state = ConnectionState(channel, backend, scoped=scoped, scope=scope)

    def cursor(self, *, server_side: bool = False) -> AsyncCursor:
        """``server_side``: rows that were not fetched are lost at the next commit, instead of all coming here first."""
        self._state.check_open()
        return AsyncCursor(self, server_side=server_side)

    async def execute(self, statement: str, parameters: Parameters = None) -> AsyncCursor:
        """A new cursor that has executed the statement."""
        return await self.cursor().execute(statement, parameters)

    async def executemany(self, statement: str, rows: Iterable[Parameters]) -> AsyncCursor:
        return await self.cursor().executemany(statement, rows)

    async def commit(self) -> None:
        """Makes what was done so far permanent; a scoped connection goes on with a new transaction."""
        if self._state.must_end():
            for cursor in list(self._state.unread):
                await cursor._keep()  # noqa: SLF001 - one driver
            await self._call(COMMIT, sql_pb2.CommitRequest(connection=self._state.handle))
            self._state.ended()

    async def rollback(self) -> None:
        if self._state.must_end() and self._state.handle:
            await self._call(ROLLBACK, sql_pb2.RollbackRequest(connection=self._state.handle))
        self._state.ended()

    async def cancel(self) -> None:
        """From another task: ends what runs on this connection, which then raises StatementCancelled there."""
        if self._state.is_reachable():
            await self._call(CANCEL, sql_pb2.CancelStatementRequest(connection=self._state.handle))

    async def inspect(self, schema: str = "", names: Sequence[str] = ()) -> sql_pb2.InspectReply:
        """For SQLAlchemy's dialects: what there is of PostgreSQL's to which the installation has some right."""
        request = sql_pb2.InspectRequest(connection=(await self._open()).handle, schema=schema, names=names)
        self._state.began = True
        return await self._call(INSPECT, request)

    async def close(self) -> None:
        """Rolls back what was not committed. A scoped connection's transaction stays the host's to end."""
        if self._state.must_close() and not self._state.scoped:
            await self._call(CLOSE, sql_pb2.CloseConnectionRequest(connection=self._state.handle))
        self._state.closed = True

    async def __aenter__(self) -> AsyncConnection:
        return self

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        if kind is None:
            await self.commit()
        else:
            await self.rollback()

    async def _call(self, method: Method[Request, Reply], request: Request, timeout: Optional[float] = None) -> Reply:
        with translated(), entered(self._state.scope):
            return await self._state.channel.call_async(method, request, timeout=timeout)

    async def _open(self) -> ConnectionState:
        state = self._state
        state.check_open()
        if not state.handle:
            state.handle = (await self._call(CONNECT, state.connect_request())).connection
        while state.forgotten:
            await self._close_cursor(state.forgotten.pop())
        return state

    async def _execute(self, statement: str, parameters: Parameters, timeout: Optional[float]) -> sql_pb2.ExecuteReply:
        state = await self._open()
        first = state.opening_statement()
        request = state.execute_request(statement, parameters)
        if first:
            await self._call(EXECUTE, state.execute_request(first, None))
        return await self._call(EXECUTE, request, timeout)

    async def _execute_many(
        self, statement: str, rows: Iterable[Parameters], timeout: Optional[float]
    ) -> sql_pb2.ExecuteReply:
        state = await self._open()
        first = state.opening_statement()
        if first:
            await self._call(EXECUTE, state.execute_request(first, None))
        requests = state.execute_many_requests(statement, rows)
        with translated(), entered(state.scope):
            return await state.channel.send_all_async(EXECUTE_MANY, requests, timeout=timeout)

    def _fetch(self, handle: int, timeout: Optional[float]) -> ReplyStream[sql_pb2.Rows]:
        with translated(), entered(self._state.scope):
            return self._state.channel.stream(FETCH, sql_pb2.FetchRequest(cursor=handle), timeout=timeout)

    async def _close_cursor(self, handle: int) -> None:
        if not (self._state.closed or self._state.sealed):
            await self._call(CLOSE_CURSOR, sql_pb2.CloseCursorRequest(cursor=handle))

    async def _failed(self) -> None:
        """In autocommit a statement that failed leaves no transaction behind."""
        if self._state.characteristics.autocommit:
            try:
                await self.rollback()
            except Error:
                self._state.ended()
