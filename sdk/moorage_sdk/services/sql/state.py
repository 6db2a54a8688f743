"""What sync and async connections have in common: everything but the waiting."""

from __future__ import annotations

from collections import deque
from typing import Any, Deque, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

from moorage_proto import sql_pb2, values
from moorage_proto.capability import MAIN_BACKEND
from moorage_proto.methods import Method, service_methods
from moorage_proto.values import ValueInvalid
from moorage_sdk import scope as scopes
from moorage_sdk.channel import Channel
from moorage_sdk.scope import Scope
from moorage_sdk.services.sql.errors import ConnectionOutlived, InterfaceError, ProgrammingError, misused

Row = Tuple[Any, ...]
Description = Optional[Tuple[Tuple[str, Optional[str], None, None, None, None, None], ...]]

_METHODS = service_methods(sql_pb2, "SqlService")
CONNECT: Method[sql_pb2.ConnectRequest, sql_pb2.ConnectReply] = _METHODS["connect"]
EXECUTE: Method[sql_pb2.ExecuteRequest, sql_pb2.ExecuteReply] = _METHODS["execute"]
EXECUTE_MANY: Method[sql_pb2.ExecuteManyRequest, sql_pb2.ExecuteReply] = _METHODS["execute_many"]
FETCH: Method[sql_pb2.FetchRequest, sql_pb2.Rows] = _METHODS["fetch"]
CLOSE_CURSOR: Method[sql_pb2.CloseCursorRequest, sql_pb2.CloseCursorReply] = _METHODS["close_cursor"]
COMMIT: Method[sql_pb2.CommitRequest, sql_pb2.CommitReply] = _METHODS["commit"]
ROLLBACK: Method[sql_pb2.RollbackRequest, sql_pb2.RollbackReply] = _METHODS["rollback"]
CLOSE: Method[sql_pb2.CloseConnectionRequest, sql_pb2.CloseConnectionReply] = _METHODS["close_connection"]

#: Rows of parameters of one item of ExecuteMany.
ROWS_AN_ITEM = 128


class ConnectionState:
    """One connection of one scope; the host opens it with the first statement."""

    def __init__(self, channel: Channel, backend: str, *, scoped: bool, scope: Optional[Scope]) -> None:
        self.channel = channel
        self.backend = backend or MAIN_BACKEND
        self.scoped = scoped
        #: Calls are made in it, wherever the connection is used.
        self.scope = scope or scopes.current()
        #: The host's; 0: not opened yet.
        self.handle = 0
        #: Whether statements ran since the last commit or rollback.
        self.began = False
        self.closed = False
        self.sealed = False

    def check_open(self) -> None:
        if self.sealed:
            raise misused(
                "The connection belongs to an execution that has ended; ask for one in each task.", ConnectionOutlived
            )
        if self.closed:
            raise misused("The connection is closed.", InterfaceError)

    def must_end(self) -> bool:
        """Whether there is something to commit or roll back; never once the end is the host's to decide."""
        if self.sealed:
            return False
        self.check_open()
        return self.began

    def must_close(self) -> bool:
        """Whether the host holds something for it that it would not end by itself."""
        return bool(self.handle) and not (self.closed or self.sealed)

    def connect_request(self) -> sql_pb2.ConnectRequest:
        return sql_pb2.ConnectRequest(backend=self.backend, scoped=self.scoped)

    def execute_request(self, statement: str, parameters: Sequence[Any]) -> sql_pb2.ExecuteRequest:
        self.began = True
        request = sql_pb2.ExecuteRequest(connection=self.handle, statement=statement)
        for value in _checked(parameters):
            request.parameters.add().CopyFrom(_to_wire(value))
        return request

    def execute_many_requests(
        self, statement: str, rows: Iterable[Sequence[Any]]
    ) -> Iterator[sql_pb2.ExecuteManyRequest]:
        self.began = True
        request = sql_pb2.ExecuteManyRequest(connection=self.handle, statement=statement)
        for row in rows:
            added = request.rows.add()
            for value in _checked(row):
                added.parameters.add().CopyFrom(_to_wire(value))
            if len(request.rows) >= ROWS_AN_ITEM:
                yield request
                request = sql_pb2.ExecuteManyRequest()
        if request.rows or request.statement:
            yield request


class CursorState:
    """The result of the last statement, as far as it has arrived."""

    def __init__(self) -> None:
        self.description: Description = None
        self.rowcount = -1
        self.lastrowid: Optional[int] = None
        #: Rows that ``fetchmany()`` gives when it is not told how many.
        self.arraysize = 1
        self.closed = False
        self.rows: Deque[Row] = deque()
        #: The host's; 0: all rows have arrived.
        self.handle = 0

    def reset(self) -> None:
        self.description = None
        self.rowcount = -1
        self.rows.clear()
        self.handle = 0

    def take_reply(self, reply: sql_pb2.ExecuteReply) -> None:
        if reply.columns:
            self.description = tuple(
                (column.name, column.type or None, None, None, None, None, None) for column in reply.columns
            )
        self.rowcount = reply.row_count
        if reply.HasField("last_row_id"):
            self.lastrowid = reply.last_row_id
        self.take_rows(reply.rows)
        self.handle = reply.cursor

    def take_rows(self, rows: Iterable[sql_pb2.Row]) -> None:
        self.rows.extend(tuple(values.from_wire(value) for value in row.values) for row in rows)

    def check_fetch(self) -> None:
        if self.closed:
            raise misused("The cursor is closed.")
        if self.description is None:
            raise misused("There are no rows to fetch: no statement that returns rows was executed.")

    def pop(self, count: int) -> List[Row]:
        return [self.rows.popleft() for _ in range(min(count, len(self.rows)))]


def _checked(parameters: Sequence[Any]) -> Sequence[Any]:
    if isinstance(parameters, (str, bytes, Mapping)) or not hasattr(parameters, "__iter__"):
        raise misused("Parameters are a sequence, one for each ? of the statement.", ProgrammingError)
    return parameters


def _to_wire(value: Any) -> Any:
    try:
        return values.to_wire(value)
    except ValueInvalid as error:
        raise misused(f"A parameter cannot be sent: {error}.", InterfaceError) from None
