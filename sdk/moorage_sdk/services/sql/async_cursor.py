"""The cursor of the async half."""

from __future__ import annotations

from typing import TYPE_CHECKING, AsyncIterator, Iterable, List, Optional

from moorage_proto import sql_pb2
from moorage_sdk.channel import ReplyStream
from moorage_sdk.services.sql.errors import misused, translated
from moorage_sdk.services.sql.placeholders import Parameters
from moorage_sdk.services.sql.result import CursorResult
from moorage_sdk.services.sql.state import CursorState, Row

if TYPE_CHECKING:
    from moorage_sdk.services.sql.aio import AsyncConnection


class AsyncCursor(CursorResult):
    """As Cursor: iterate with ``async for``."""

    connection: AsyncConnection

    def __init__(self, connection: AsyncConnection, *, server_side: bool = False) -> None:
        self.connection = connection
        self._state = CursorState(server_side=server_side)
        self._stream: Optional[ReplyStream[sql_pb2.Rows]] = None
        self._batches: Optional[AsyncIterator[sql_pb2.Rows]] = None

    async def execute(self, statement: str, parameters: Parameters = None) -> AsyncCursor:
        """Runs one statement with its parameters, a sequence or a mapping; returns the cursor itself."""
        await self._restart()
        connection = self.connection
        try:
            reply = await connection._execute(statement, parameters, self._timeout())  # noqa: SLF001 - one driver
        except BaseException:
            await connection._failed()  # noqa: SLF001 - one driver
            raise
        await self._take(reply)
        return self

    async def executemany(self, statement: str, rows: Iterable[Parameters]) -> AsyncCursor:
        """Runs one statement for each row of parameters; they are sent as they are taken from the iterable."""
        await self._restart()
        connection = self.connection
        try:
            reply = await connection._execute_many(statement, rows, self._timeout())  # noqa: SLF001 - one driver
        except BaseException:
            await connection._failed()  # noqa: SLF001 - one driver
            raise
        await self._take(reply)
        return self

    async def fetchone(self) -> Optional[Row]:
        self._state.check_fetch()
        if not await self._fill(1):
            return None
        return self._state.rows.popleft()

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
            self._state.closed = True
            await self._give_up()
            self._state.rows.clear()
            await self._end_autocommit()

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

    async def _take(self, reply: sql_pb2.ExecuteReply) -> None:
        self._take_reply(reply)
        if self.connection.autocommit:
            if not self._state.server_side:
                await self._keep()
            if not self._state.handle:
                await self._end_autocommit()

    async def _end_autocommit(self) -> None:
        if self.connection.autocommit and self.connection.in_transaction:
            await self.connection.commit()

    async def _fill(self, count: int) -> bool:
        """Whether there is a row, having tried to have so many."""
        while len(self._state.rows) < count and await self._receive():
            pass
        return bool(self._state.rows)

    async def _keep(self) -> None:
        """Brings all rows here, before the host forgets them."""
        while await self._receive():
            pass

    async def _receive(self) -> bool:
        """One more batch; whether there was one."""
        if self._batches is None:
            if not self._state.handle:
                return False
            self._stream = self.connection._fetch(self._state.handle, self._timeout())  # noqa: SLF001 - one driver
            self._batches = self._stream.__aiter__()
        try:
            with translated():
                batch = await self._batches.__anext__()
        except StopAsyncIteration:
            self._stream = self._batches = None
            self._read_all()
            if self._state.server_side:
                await self._end_autocommit()
            return False
        self._state.take_rows(batch.rows)
        return True

    async def _give_up(self) -> None:
        handle = self._read_all()
        stream, self._stream, self._batches = self._stream, None, None
        if stream is not None:
            # The host closes what it was streaming from.
            stream.close()
        elif handle:
            await self.connection._close_cursor(handle)  # noqa: SLF001 - one driver
