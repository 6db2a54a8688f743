"""The cursor of the sync half."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Iterable, Iterator, List, Optional

from moorage_proto import sql_pb2
from moorage_sdk.channel import ReplyStream
from moorage_sdk.services.sql.errors import misused, translated
from moorage_sdk.services.sql.placeholders import Parameters
from moorage_sdk.services.sql.result import CursorResult
from moorage_sdk.services.sql.state import CursorState, Row

if TYPE_CHECKING:
    from moorage_sdk.services.sql.connection import Connection


class Cursor(CursorResult):
    """PEP 249. Rows beyond the first some hundred stay in the host until they are fetched."""

    connection: Connection

    def __init__(self, connection: Connection, *, server_side: bool = False) -> None:
        self.connection = connection
        self._state = CursorState(server_side=server_side)
        self._stream: Optional[ReplyStream[sql_pb2.Rows]] = None
        self._batches: Optional[Iterator[sql_pb2.Rows]] = None

    def execute(self, statement: str, parameters: Parameters = None) -> Cursor:
        """Runs one statement with its parameters, a sequence or a mapping; returns the cursor itself."""
        self._restart()
        connection = self.connection
        try:
            reply = connection._execute(statement, parameters, self._timeout())  # noqa: SLF001 - one driver
        except BaseException:
            connection._failed()  # noqa: SLF001 - one driver
            raise
        self._take(reply)
        return self

    def executemany(self, statement: str, rows: Iterable[Parameters]) -> Cursor:
        """Runs one statement for each row of parameters; they are sent as they are taken from the iterable."""
        self._restart()
        connection = self.connection
        try:
            reply = connection._execute_many(statement, rows, self._timeout())  # noqa: SLF001 - one driver
        except BaseException:
            connection._failed()  # noqa: SLF001 - one driver
            raise
        self._take(reply)
        return self

    def fetchone(self) -> Optional[Row]:
        self._state.check_fetch()
        if not self._fill(1):
            return None
        return self._state.rows.popleft()

    def fetchmany(self, size: Optional[int] = None) -> List[Row]:
        self._state.check_fetch()
        count = self._state.arraysize if size is None else size
        self._fill(count)
        return self._state.pop(count)

    def fetchall(self) -> List[Row]:
        self._state.check_fetch()
        while self._receive():
            pass
        return self._state.pop(len(self._state.rows))

    def setinputsizes(self, sizes: Any) -> None:
        """Nothing: PEP 249 allows that."""

    def setoutputsize(self, size: Any, column: Any = None) -> None:
        """Nothing: PEP 249 allows that."""

    def close(self) -> None:
        """Gives unread rows up."""
        if not self._state.closed:
            self._state.closed = True
            self._give_up()
            self._state.rows.clear()
            self._end_autocommit()

    def __iter__(self) -> Iterator[Row]:
        return self

    def __next__(self) -> Row:
        row = self.fetchone()
        if row is None:
            raise StopIteration
        return row

    def __enter__(self) -> Cursor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _restart(self) -> None:
        if self._state.closed:
            raise misused("The cursor is closed.")
        self._give_up()
        self._state.reset()

    def _take(self, reply: sql_pb2.ExecuteReply) -> None:
        self._take_reply(reply)
        if self.connection.autocommit:
            if not self._state.server_side:
                self._keep()
            if not self._state.handle:
                self._end_autocommit()

    def _end_autocommit(self) -> None:
        if self.connection.autocommit and self.connection.in_transaction:
            self.connection.commit()

    def _fill(self, count: int) -> bool:
        """Whether there is a row, having tried to have so many."""
        while len(self._state.rows) < count and self._receive():
            pass
        return bool(self._state.rows)

    def _keep(self) -> None:
        """Brings all rows here, before the host forgets them."""
        while self._receive():
            pass

    def _receive(self) -> bool:
        """One more batch; whether there was one."""
        if self._batches is None:
            if not self._state.handle:
                return False
            self._stream = self.connection._fetch(self._state.handle, self._timeout())  # noqa: SLF001 - one driver
            self._batches = iter(self._stream)
        with translated():
            batch = next(self._batches, None)
        if batch is None:
            self._stream = self._batches = None
            self._read_all()
            if self._state.server_side:
                self._end_autocommit()
            return False
        self._state.take_rows(batch.rows)
        return True

    def _give_up(self) -> None:
        handle = self._read_all()
        stream, self._stream, self._batches = self._stream, None, None
        if stream is not None:
            # The host closes what it was streaming from.
            stream.close()
        elif handle:
            self.connection._close_cursor(handle)  # noqa: SLF001 - one driver
