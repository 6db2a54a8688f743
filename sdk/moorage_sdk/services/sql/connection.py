"""The sync half of the driver: Connection and Cursor as PEP 249 has them."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Iterable, Iterator, List, Optional, Sequence, Type, TypeVar

from google.protobuf.message import Message

from moorage_proto import sql_pb2
from moorage_proto.capability import MAIN_BACKEND
from moorage_proto.methods import Method
from moorage_sdk import channel as channels
from moorage_sdk.channel import Channel, ReplyStream
from moorage_sdk.scope import Scope, entered
from moorage_sdk.services.sql import errors
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


def connect(backend: str = MAIN_BACKEND, *, scoped: bool = False) -> Connection:
    """Opens a connection in the current scope.

    It is rolled back when the scope ends, unless ``scoped``: then it joins the one that the host commits after the
    task has returned.
    """
    return Connection(channels.current(), backend, scoped=scoped)


class Connection:
    """PEP 249. Used as a context manager it commits at the end of the block, or rolls back, and stays open."""

    Warning = errors.Warning
    Error = errors.Error
    InterfaceError = errors.InterfaceError
    DatabaseError = errors.DatabaseError
    DataError = errors.DataError
    OperationalError = errors.OperationalError
    IntegrityError = errors.IntegrityError
    InternalError = errors.InternalError
    ProgrammingError = errors.ProgrammingError
    NotSupportedError = errors.NotSupportedError

    def __init__(
        self, channel: Channel, backend: str = MAIN_BACKEND, *, scoped: bool = False, scope: Optional[Scope] = None
    ) -> None:
        self._state = ConnectionState(channel, backend, scoped=scoped, scope=scope)

    @property
    def in_transaction(self) -> bool:
        return self._state.began

    def cursor(self) -> Cursor:
        self._state.check_open()
        return Cursor(self)

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> Cursor:
        """A new cursor that has executed the statement."""
        return self.cursor().execute(statement, parameters)

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]]) -> Cursor:
        return self.cursor().executemany(statement, rows)

    def commit(self) -> None:
        """Makes what was done so far permanent; a scoped connection goes on with a new transaction."""
        if self._state.must_end():
            self._call(COMMIT, sql_pb2.CommitRequest(connection=self._state.handle))
            self._state.began = False

    def rollback(self) -> None:
        if self._state.must_end() and self._state.handle:
            self._call(ROLLBACK, sql_pb2.RollbackRequest(connection=self._state.handle))
        self._state.began = False

    def close(self) -> None:
        """Rolls back what was not committed. A scoped connection's transaction stays the host's to end."""
        if self._state.must_close() and not self._state.scoped:
            self._call(CLOSE, sql_pb2.CloseConnectionRequest(connection=self._state.handle))
        self._state.closed = True

    def seal(self) -> None:
        """From now on the host alone decides how the transaction ends; nothing more is sent. For injection."""
        self._state.sealed = True

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        if kind is None:
            self.commit()
        else:
            self.rollback()

    def _call(self, method: Method[Request, Reply], request: Request) -> Reply:
        with translated(), entered(self._state.scope):
            return self._state.channel.call(method, request)

    def _open(self) -> ConnectionState:
        state = self._state
        state.check_open()
        if not state.handle:
            state.handle = self._call(CONNECT, state.connect_request()).connection
        return state

    def _execute(self, statement: str, parameters: Sequence[Any]) -> sql_pb2.ExecuteReply:
        return self._call(EXECUTE, self._open().execute_request(statement, parameters))

    def _execute_many(self, statement: str, rows: Iterable[Sequence[Any]]) -> sql_pb2.ExecuteReply:
        requests = self._open().execute_many_requests(statement, rows)
        with translated(), entered(self._state.scope):
            return self._state.channel.send_all(EXECUTE_MANY, requests)

    def _fetch(self, handle: int) -> ReplyStream[sql_pb2.Rows]:
        with translated(), entered(self._state.scope):
            return self._state.channel.stream(FETCH, sql_pb2.FetchRequest(cursor=handle))

    def _close_cursor(self, handle: int) -> None:
        if not (self._state.closed or self._state.sealed):
            self._call(CLOSE_CURSOR, sql_pb2.CloseCursorRequest(cursor=handle))


class Cursor:
    """PEP 249. Rows beyond the first some hundred stay in the host until they are fetched."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._state = CursorState()
        self._stream: Optional[ReplyStream[sql_pb2.Rows]] = None
        self._batches: Optional[Iterator[sql_pb2.Rows]] = None

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

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> Cursor:
        """Runs one statement with a parameter for each ``?``; returns the cursor itself."""
        self._restart()
        self._state.take_reply(self.connection._execute(statement, parameters))  # noqa: SLF001 - one driver
        return self

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]]) -> Cursor:
        """Runs one statement for each row of parameters; they are sent as they are taken from the iterable."""
        self._restart()
        self._state.take_reply(self.connection._execute_many(statement, rows))  # noqa: SLF001 - one driver
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
            self._give_up()
            self._state.closed = True

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

    def _fill(self, count: int) -> bool:
        """Whether there is a row, having tried to have so many."""
        while len(self._state.rows) < count and self._receive():
            pass
        return bool(self._state.rows)

    def _receive(self) -> bool:
        """One more batch; whether there was one."""
        if self._batches is None:
            if not self._state.handle:
                return False
            self._stream = self.connection._fetch(self._state.handle)  # noqa: SLF001 - one driver
            self._batches = iter(self._stream)
        with translated():
            batch = next(self._batches, None)
        if batch is None:
            self._stream = self._batches = None
            self._state.handle = 0
            return False
        self._state.take_rows(batch.rows)
        return True

    def _give_up(self) -> None:
        handle, self._state.handle = self._state.handle, 0
        stream, self._stream, self._batches = self._stream, None, None
        if stream is not None:
            # The host closes what it was streaming from.
            stream.close()
        elif handle:
            self.connection._close_cursor(handle)  # noqa: SLF001 - one driver
