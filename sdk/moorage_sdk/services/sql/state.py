"""What sync and async connections have in common: everything but the waiting."""

from __future__ import annotations

import json
import weakref
from collections import deque
from typing import Any, Callable, Deque, Iterable, Iterator, List, Optional, Tuple

from moorage_proto import sql_pb2, values
from moorage_proto.capability import MAIN_BACKEND
from moorage_proto.methods import Method, service_methods
from moorage_proto.values import ValueInvalid
from moorage_sdk import host as hosts
from moorage_sdk import scope as scopes
from moorage_sdk.channel import Channel
from moorage_sdk.scope import Scope
from moorage_sdk.services.sql import placeholders
from moorage_sdk.services.sql.characteristics import Characteristics
from moorage_sdk.services.sql.errors import ConnectionOutlived, InterfaceError, misused
from moorage_sdk.services.sql.placeholders import Parameters
from moorage_sdk.services.sql.readers import Reader, row_readers, written

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
CANCEL: Method[sql_pb2.CancelStatementRequest, sql_pb2.CancelStatementReply] = _METHODS["cancel_statement"]
INSPECT: Method[sql_pb2.InspectRequest, sql_pb2.InspectReply] = _METHODS["inspect"]
CLOSE: Method[sql_pb2.CloseConnectionRequest, sql_pb2.CloseConnectionReply] = _METHODS["close_connection"]

#: Rows of parameters of one item of ExecuteMany.
ROWS_AN_ITEM = 128

#: Of a backend of which the host has told nothing: the contract's first, SQLite's.
_UNKNOWN = hosts.SqlBackend("", "sqlite", "qmark")


class ConnectionState:
    """One connection of one scope; the host opens it with the first statement."""

    def __init__(self, channel: Channel, backend: str, *, scoped: bool, scope: Optional[Scope]) -> None:
        self.channel = channel
        self.backend = backend or MAIN_BACKEND
        self.facts = hosts.current().sql_backends.get(self.backend, _UNKNOWN)
        self.scoped = scoped
        #: Calls are made in it, wherever the connection is used.
        self.scope = scope or scopes.current()
        #: The host's; 0: not opened yet.
        self.handle = 0
        #: Whether statements ran since the last commit or rollback.
        self.began = False
        self.closed = False
        self.sealed = False
        self.characteristics = Characteristics(self.facts.dialect)
        #: Seconds that a statement may take; None: as long as the host lets it.
        self.timeout: Optional[float] = None
        #: Reads what columns of the types json and jsonb hold.
        self.json_loads: Callable[[str], Any] = json.loads
        #: With rows that a commit would take away.
        self.unread: weakref.WeakSet[Any] = weakref.WeakSet()
        #: Of cursors that nobody has any more: they are closed before the next statement.
        self.forgotten: List[int] = []

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

    def is_reachable(self) -> bool:
        """Whether the host knows of it."""
        return bool(self.handle) and not (self.closed or self.sealed)

    def ended(self) -> None:
        self.began = False
        self.unread.clear()
        self.forgotten.clear()

    def connect_request(self) -> sql_pb2.ConnectRequest:
        return sql_pb2.ConnectRequest(backend=self.backend, scoped=self.scoped)

    def opening_statement(self) -> str:
        """What has to come before the first statement of a transaction; empty: nothing."""
        return "" if self.began else self.characteristics.statement()

    def execute_request(self, statement: str, parameters: Parameters) -> sql_pb2.ExecuteRequest:
        sent, arranged = placeholders.filled(self.facts.paramstyle, statement, parameters)
        request = sql_pb2.ExecuteRequest(connection=self.handle, statement=sent)
        for value in arranged:
            request.parameters.add().CopyFrom(self._to_wire(value))
        self.began = True
        return request

    def execute_many_requests(self, statement: str, rows: Iterable[Parameters]) -> Iterator[sql_pb2.ExecuteManyRequest]:
        request: Optional[sql_pb2.ExecuteManyRequest] = None
        names: Tuple[Optional[str], ...] = ()
        for row in rows:
            if request is None:
                sent, names = placeholders.template(self.facts.paramstyle, statement, row)
                request = sql_pb2.ExecuteManyRequest(connection=self.handle, statement=sent)
                self.began = True
            added = request.rows.add()
            for value in placeholders.arranged(names, row):
                added.parameters.add().CopyFrom(self._to_wire(value))
            if len(request.rows) >= ROWS_AN_ITEM:
                yield request
                request = sql_pb2.ExecuteManyRequest()
        if request is None:
            request = sql_pb2.ExecuteManyRequest(connection=self.handle, statement=statement)
        if request.rows or request.statement:
            self.began = True
            yield request

    def _to_wire(self, value: Any) -> Any:
        try:
            return values.to_wire(written(value) if self.facts.dialect == "postgresql" else value)
        except ValueInvalid as error:
            raise misused(f"A parameter cannot be sent: {error}.", InterfaceError) from None


class CursorState:
    """The result of the last statement, as far as it has arrived."""

    def __init__(self, *, server_side: bool) -> None:
        self.description: Description = None
        self.rowcount = -1
        self.lastrowid: Optional[int] = None
        #: Rows that ``fetchmany()`` gives when it is not told how many.
        self.arraysize = 1
        #: Seconds; None: as the connection has it.
        self.timeout: Optional[float] = None
        #: Whether rows stay in the host when its transaction ends, and so are lost.
        self.server_side = server_side
        self.closed = False
        self.rows: Deque[Row] = deque()
        #: The host's; 0: all rows have arrived.
        self.handle = 0
        self._readers: Optional[Tuple[Optional[Reader], ...]] = None

    def reset(self) -> None:
        self.description = None
        self.rowcount = -1
        self.rows.clear()
        self.handle = 0

    def take_reply(self, reply: sql_pb2.ExecuteReply, json_loads: Callable[[str], Any]) -> None:
        if reply.columns:
            self.description = tuple(
                (column.name, column.type or None, None, None, None, None, None) for column in reply.columns
            )
        self.rowcount = reply.row_count
        self.lastrowid = reply.last_row_id if reply.HasField("last_row_id") else self.lastrowid
        self._readers = row_readers([column.type for column in reply.columns], json_loads)
        self.take_rows(reply.rows)
        self.handle = reply.cursor

    def take_rows(self, rows: Iterable[sql_pb2.Row]) -> None:
        plain = (tuple(values.from_wire(value) for value in row.values) for row in rows)
        readers = self._readers
        if readers is None:
            self.rows.extend(plain)
        else:
            self.rows.extend(
                tuple(value if reader is None else reader(value) for reader, value in zip(readers, row))
                for row in plain
            )

    def check_fetch(self) -> None:
        if self.closed:
            raise misused("The cursor is closed.")
        if self.description is None:
            raise misused("There are no rows to fetch: no statement that returns rows was executed.")

    def pop(self, count: int) -> List[Row]:
        return [self.rows.popleft() for _ in range(min(count, len(self.rows)))]
