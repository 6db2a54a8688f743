"""The async half of the driver: the same names, awaited."""

from __future__ import annotations

from types import TracebackType
from typing import Any, AsyncIterator, Iterable, List, Optional, Sequence, Type, TypeVar

from google.protobuf.message import Message

from moorage_proto import sql_pb2
from moorage_proto.capability import MAIN_BACKEND
from moorage_proto.methods import Method
from moorage_sdk import channel as channels
from moorage_sdk.channel import Channel, ReplyStream
from moorage_sdk.scope import Scope, entered
from moorage_sdk.services.sql.errors import misused, translated
from moorage_sdk.services.sql.state import (
    CLOSE,
    CLOSE_CURSOR,
    COMMIT,
    CONNECT,
    EXECUTE,
    EXECUTE_MANY,
    FETCH,
    ROLLBACK,
    ConnectionState,
    CursorState,
    Description,
    Row,
)

Request = TypeVar("Request", bound=Message)
Reply = TypeVar("Reply", bound=Message)


def connect_async(backend: str = MAIN_BACKEND, *, scoped: bool = False) -> AsyncConnection:
    """As ``connect``, for coroutines."""
    return AsyncConnection(channels.current(), backend, scoped=scoped)


class AsyncConnection:
    """Used as a context manager it commits at the end of the block, or rolls back, and stays open."""

    def __init__(
        self, channel: Channel, backend: str = MAIN_BACKEND, *, scoped: bool = False, scope: Optional[Scope] = None
    ) -> None:
        self._state = ConnectionState(channel, backend, scoped=scoped, scope=scope)

    @property
    def in_transaction(self) -> bool:
        return self._state.began

    @property
    def is_scoped(self) -> bool:
        return self._state.scoped

    @property
    def is_sealed(self) -> bool:
        return self._state.sealed

    def cursor(self) -> AsyncCursor:
        self._state.check_open()
        return AsyncCursor(self)

    async def execute(self, statement: str, parameters: Sequence[Any] = ()) -> AsyncCursor:
        """A new cursor that has executed the statement."""
        return await self.cursor().execute(statement, parameters)

    async def executemany(self, statement: str, rows: Iterable[Sequence[Any]]) -> AsyncCursor:
        return await self.cursor().executemany(statement, rows)

    async def commit(self) -> None:
        """Makes what was done so far permanent; a scoped connection goes on with a new transaction."""
        if self._state.must_end():
            await self._call(COMMIT, sql_pb2.CommitRequest(connection=self._state.handle))
            self._state.began = False

    async def rollback(self) -> None:
        if self._state.must_end() and self._state.handle:
            await self._call(ROLLBACK, sql_pb2.RollbackRequest(connection=self._state.handle))
        self._state.began = False

    async def close(self) -> None:
        """Rolls back what was not committed. A scoped connection's transaction stays the host's to end."""
        if self._state.must_close() and not self._state.scoped:
            await self._call(CLOSE, sql_pb2.CloseConnectionRequest(connection=self._state.handle))
        self._state.closed = True

    def seal(self) -> None:
        """From now on the host alone decides how the transaction ends; nothing more is sent. For injection."""
        self._state.sealed = True

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

    async def _call(self, method: Method[Request, Reply], request: Request) -> Reply:
        with translated(), entered(self._state.scope):
            return await self._state.channel.call_async(method, request)

    async def _open(self) -> ConnectionState:
        state = self._state
        state.check_open()
        if not state.handle:
            state.handle = (await self._call(CONNECT, state.connect_request())).connection
        return state

    async def _execute(self, statement: str, parameters: Sequence[Any]) -> sql_pb2.ExecuteReply:
        state = await self._open()
        return await self._call(EXECUTE, state.execute_request(statement, parameters))

    async def _execute_many(self, statement: str, rows: Iterable[Sequence[Any]]) -> sql_pb2.ExecuteReply:
        requests = (await self._open()).execute_many_requests(statement, rows)
        with translated(), entered(self._state.scope):
            return await self._state.channel.send_all_async(EXECUTE_MANY, requests)

    def _fetch(self, handle: int) -> ReplyStream[sql_pb2.Rows]:
        with translated(), entered(self._state.scope):
            return self._state.channel.stream(FETCH, sql_pb2.FetchRequest(cursor=handle))

    async def _close_cursor(self, handle: int) -> None:
        if not (self._state.closed or self._state.sealed):
            await self._call(CLOSE_CURSOR, sql_pb2.CloseCursorRequest(cursor=handle))


class AsyncCursor:
    """As Cursor: iterate with ``async for``."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self._state = CursorState()
        self._stream: Optional[ReplyStream[sql_pb2.Rows]] = None
        self._batches: Optional[AsyncIterator[sql_pb2.Rows]] = None

    @property
    def description(self) -> Description:
        return self._state.description

    @property
    def rowcount(self) -> int:
        return self._state.rowcount

    @property
    def lastrowid(self) -> Optional[int]:
        return self._state.lastrowid

    @property
    def arraysize(self) -> int:
        return self._state.arraysize

    @arraysize.setter
    def arraysize(self, rows: int) -> None:
        self._state.arraysize = rows

    async def execute(self, statement: str, parameters: Sequence[Any] = ()) -> AsyncCursor:
        """Runs one statement with a parameter for each ``?``; returns the cursor itself."""
        await self._restart()
        self._state.take_reply(await self.connection._execute(statement, parameters))  # noqa: SLF001 - one driver
        return self

    async def executemany(self, statement: str, rows: Iterable[Sequence[Any]]) -> AsyncCursor:
        """Runs one statement for each row of parameters; they are sent as they are taken from the iterable."""
        await self._restart()
        self._state.take_reply(await self.connection._execute_many(statement, rows))  # noqa: SLF001 - one driver
        return self

    async def fetchone(self) -> Optional[Row]:
        self._state.check_fetch()
        await self._fill(1)
        return self._state.rows.popleft() if self._state.rows else None

    async def fetchmany(self, size: Optional[int] = None) -> List[Row]:
        self._state.check_fetch()
        count = self._state.arraysize if size is None else size
        await self._fill(count)
        return self._state.pop(count)

    async def fetchall(self) -> List[Row]:
        self._state.check_fetch()
        while await self._receive():
            pass
        return self._state.pop(len(self._state.rows))

    async def close(self) -> None:
        """Gives unread rows up."""
        if not self._state.closed:
            await self._give_up()
            self._state.closed = True

    def __aiter__(self) -> AsyncIterator[Row]:
        return self

    async def __anext__(self) -> Row:
        row = await self.fetchone()
        if row is None:
            raise StopAsyncIteration
        return row

    async def __aenter__(self) -> AsyncCursor:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _restart(self) -> None:
        if self._state.closed:
            raise misused("The cursor is closed.")
        await self._give_up()
        self._state.reset()

    async def _fill(self, count: int) -> None:
        while len(self._state.rows) < count and await self._receive():
            pass

    async def _receive(self) -> bool:
        """One more batch; whether there was one."""
        if self._batches is None:
            if not self._state.handle:
                return False
            self._stream = self.connection._fetch(self._state.handle)  # noqa: SLF001 - one driver
            self._batches = self._stream.__aiter__()
        try:
            with translated():
                batch = await self._batches.__anext__()
        except StopAsyncIteration:
            self._stream = self._batches = None
            self._state.handle = 0
            return False
        self._state.take_rows(batch.rows)
        return True

    async def _give_up(self) -> None:
        handle, self._state.handle = self._state.handle, 0
        stream, self._stream, self._batches = self._stream, None, None
        if stream is not None:
            # The host closes what it was streaming from.
            stream.close()
        elif handle:
            await self.connection._close_cursor(handle)  # noqa: SLF001 - one driver
