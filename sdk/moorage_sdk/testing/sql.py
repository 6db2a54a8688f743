"""SQL for tests: ``moorage.sql.add(User(name="Ada"))``, ``moorage.sql.rows("SELECT name FROM users")``.

The databases are SQLite files in a temporary folder, checked by the same authorizer as the host's. Tables of mapped
classes are created when they are first needed, as the application that owns them would have done, but never those that
the plugin may define itself.
"""

from __future__ import annotations

import contextlib
import gc
import re
import sqlite3
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

from moorage_proto import link_pb2, sql_pb2, values
from moorage_proto.capability import MAIN_BACKEND, need
from moorage_proto.errors import CallError, Reason, Status
from moorage_proto.sqlite_errors import bindable, inspected_by_pragmas
from moorage_proto.sqlite_result import OpenCursor, Result
from moorage_proto.sqlite_session import SqliteSession, Transaction
from moorage_sdk.testing.base import FakeCaller, FakeScope, Guard

_KEY = "sql"
_NO_TABLE = "no such table: "

#: PostgreSQL's placeholders, other than in texts, quoted names and comments.
_NUMBERED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/|\$(\d+)", re.DOTALL)


class FakeSql:
    """Every backend that a test or the plugin names is there, and empty."""

    name = "sql"
    contract = sql_pb2.DESCRIPTOR.services_by_name["SqlService"]

    def __init__(self) -> None:
        self._databases: Dict[str, FakeDatabase] = {}
        #: "qmark", or "pyformat" for a plugin that writes its statements for PostgreSQL: then ``%s``, ``%(name)s`` and
        #: ``$1`` are its placeholders. What answers is SQLite all the same, with its SQL, types and values.
        self.paramstyle = "qmark"

    def database(self, backend: str = MAIN_BACKEND) -> FakeDatabase:
        if backend not in self._databases:
            self._databases[backend] = FakeDatabase(backend)
        return self._databases[backend]

    def add(self, *objects: Any, backend: str = MAIN_BACKEND) -> None:
        """Stores mapped objects, creating their tables first."""
        self.database(backend).add(objects)

    def create_all(self, metadata: Any, *, backend: str = MAIN_BACKEND) -> None:
        """Creates the tables of a SQLAlchemy MetaData."""
        self.database(backend).create_all(metadata)

    def rows(
        self, statement: str, parameters: Sequence[Any] = (), *, backend: str = MAIN_BACKEND
    ) -> List[Tuple[Any, ...]]:
        """Runs any statement as the application would, and commits."""
        return self.database(backend).rows(statement, parameters)

    def connect(self, caller: FakeCaller, request: sql_pb2.ConnectRequest) -> sql_pb2.ConnectReply:
        backend = request.backend or MAIN_BACKEND
        if request.scoped and (_KEY, backend) in caller.scope.keyed:
            joined = caller.scope.keyed[_KEY, backend]
            return sql_pb2.ConnectReply(connection=_handle(caller.scope, joined))
        connection = FakeConnection(self.database(backend), scoped=request.scoped)
        if request.scoped:
            caller.scope.keyed[_KEY, backend] = connection
        return sql_pb2.ConnectReply(connection=caller.scope.hold(connection))

    def execute(self, caller: FakeCaller, request: sql_pb2.ExecuteRequest) -> sql_pb2.ExecuteReply:
        connection = _connection(caller.scope, request.connection)
        parameters = [bindable(values.from_wire(value)) for value in request.parameters]
        statement = self._marked(request.statement)
        result = connection.execute(_guard(caller), statement, parameters, request.first_rows)
        reply = sql_pb2.ExecuteReply(
            columns=[sql_pb2.Column(name=name) for name in result.columns],
            rows=_rows(result.rows),
            row_count=result.row_count,
            last_row_id=result.last_row_id,
        )
        if result.cursor is not None:
            reply.cursor = caller.scope.hold(FakeCursor(connection, result.cursor))
        return reply

    def execute_many(self, caller: FakeCaller, requests: Iterator[sql_pb2.ExecuteManyRequest]) -> sql_pb2.ExecuteReply:
        first = next(requests)
        connection = _connection(caller.scope, first.connection)
        guard = _guard(caller)
        guard.require_any(connection.database.backend)
        row_count = 0
        for request in _chained(first, requests):
            rows = [[bindable(values.from_wire(value)) for value in row.parameters] for row in request.rows]
            if rows:
                row_count += max(connection.execute_many(guard, self._marked(first.statement), rows).row_count, 0)
        return sql_pb2.ExecuteReply(row_count=row_count)

    def fetch(self, caller: FakeCaller, request: sql_pb2.FetchRequest) -> Iterator[sql_pb2.Rows]:
        cursor = _cursor(caller.scope, request.cursor)
        try:
            while True:
                rows = cursor.fetch(request.batch_rows)
                if not rows:
                    return
                yield sql_pb2.Rows(rows=_rows(rows))
        finally:
            caller.scope.drop(request.cursor)
            cursor.release()

    def close_cursor(self, caller: FakeCaller, request: sql_pb2.CloseCursorRequest) -> sql_pb2.CloseCursorReply:
        _cursor(caller.scope, request.cursor).release()
        caller.scope.drop(request.cursor)
        return sql_pb2.CloseCursorReply()

    def commit(self, caller: FakeCaller, request: sql_pb2.CommitRequest) -> sql_pb2.CommitReply:
        _connection(caller.scope, request.connection).session.commit()
        return sql_pb2.CommitReply()

    def rollback(self, caller: FakeCaller, request: sql_pb2.RollbackRequest) -> sql_pb2.RollbackReply:
        _connection(caller.scope, request.connection).session.rollback()
        return sql_pb2.RollbackReply()

    def inspect(self, *_: object) -> sql_pb2.InspectReply:
        raise inspected_by_pragmas()

    def cancel_statement(
        self, caller: FakeCaller, request: sql_pb2.CancelStatementRequest
    ) -> sql_pb2.CancelStatementReply:
        """Calls are answered one after another in a test: nothing runs at this moment."""
        _connection(caller.scope, request.connection)
        return sql_pb2.CancelStatementReply()

    def close_connection(
        self, caller: FakeCaller, request: sql_pb2.CloseConnectionRequest
    ) -> sql_pb2.CloseConnectionReply:
        connection = _connection(caller.scope, request.connection)
        if not connection.scoped:
            connection.release()
            caller.scope.drop(request.connection)
        return sql_pb2.CloseConnectionReply()

    def describe(self, welcome: link_pb2.Welcome) -> None:
        for name in {MAIN_BACKEND, *self._databases}:
            welcome.sql_backends.add(
                name=name,
                dialect="sqlite",
                paramstyle="numeric_dollar" if self._is_numbered else "qmark",
                server_version=sqlite3.sqlite_version_info,
            )

    def close(self) -> None:
        for database in self._databases.values():
            database.close()
        self._databases.clear()

    @property
    def _is_numbered(self) -> bool:
        return self.paramstyle == "pyformat"

    def _marked(self, statement: str) -> str:
        """With SQLite's ``?1`` for PostgreSQL's ``$1``."""
        if not self._is_numbered:
            return statement
        return _NUMBERED.sub(lambda found: f"?{found[1]}" if found[1] else found[0], statement)


class FakeDatabase:
    """One SQLite file."""

    def __init__(self, backend: str) -> None:
        self.backend = backend
        self._folder = tempfile.TemporaryDirectory(prefix="moorage-sql-")
        self._path = Path(self._folder.name) / "test.db"
        with contextlib.closing(self.connect()) as raw:
            raw.execute("PRAGMA journal_mode = WAL")

    def connect(self) -> sqlite3.Connection:
        raw = sqlite3.connect(
            str(self._path), timeout=0.05, isolation_level=None, check_same_thread=False, cached_statements=0
        )
        raw.execute("PRAGMA synchronous = OFF")
        raw.execute("PRAGMA foreign_keys = ON")
        return raw

    def rows(self, statement: str, parameters: Sequence[Any]) -> List[Tuple[Any, ...]]:
        while True:
            try:
                with contextlib.closing(self.connect()) as raw:
                    return raw.execute(statement, tuple(parameters)).fetchall()
            except sqlite3.OperationalError as error:
                if not self.create_mapped(_missing_table(str(error))):
                    raise

    def add(self, objects: Iterable[Any]) -> None:
        from sqlalchemy.orm import Session  # noqa: PLC0415 - a plugin without SQLAlchemy tests without it

        listed = list(objects)
        with self._engine() as engine:
            for metadata in {type(one).metadata for one in listed}:
                metadata.create_all(engine)
            with Session(engine) as session:
                session.add_all(listed)
                session.commit()

    def create_all(self, metadata: Any) -> None:
        with self._engine() as engine:
            metadata.create_all(engine)

    def create_mapped(self, table: str) -> bool:
        """Creates the mapped table of this name, if it is mapped and was missing."""
        if not table or "sqlalchemy" not in sys.modules:
            return False
        from sqlalchemy import MetaData  # noqa: PLC0415 - imported already by who mapped it

        for found in [one for one in gc.get_objects() if isinstance(one, MetaData) and table in one.tables]:
            with self._engine() as engine:
                found.tables[table].create(engine)
            return True
        return False

    def close(self) -> None:
        self._folder.cleanup()

    @contextlib.contextmanager
    def _engine(self) -> Iterator[Any]:
        from sqlalchemy import create_engine  # noqa: PLC0415 - a plugin without SQLAlchemy tests without it

        engine = create_engine(f"sqlite:///{self._path}")
        try:
            yield engine
        finally:
            engine.dispose()


class FakeConnection:
    """Implements ``Held``. Nobody waits in a test: a second writer is told at once that the database is locked."""

    def __init__(self, database: FakeDatabase, *, scoped: bool) -> None:
        self.database = database
        self.scoped = scoped
        self.session = SqliteSession(database.connect(), database.backend)
        self._released = False

    def execute(self, guard: Guard, statement: str, parameters: Sequence[Any], first_rows: int) -> Result:
        return self._patiently(
            guard,
            lambda: self.session.run(guard, statement, parameters, may_write=True, first_rows=first_rows),
        )

    def execute_many(self, guard: Guard, statement: str, rows: Sequence[Sequence[Any]]) -> Result:
        return self._patiently(guard, lambda: self.session.run_many(guard, statement, rows, may_write=True))

    def finish(self, *, success: bool) -> None:
        if success and self.scoped:
            self.session.commit()
        else:
            self.session.rollback()

    def release(self) -> None:
        if not self._released:
            self._released = True
            self.session.close()

    def _patiently(self, guard: Guard, run: Any) -> Result:
        """Creates the application's mapped tables when a statement misses them."""
        while True:
            try:
                result: Optional[Result] = run()
            except CallError as error:
                if not self._create_missing(_missing_table(error.message), guard):
                    raise
            else:
                assert result is not None, "a fake always may write"
                return result

    def _create_missing(self, table: str, guard: Guard) -> bool:
        own = guard.asks_for(need("sql.define", table, backend=self.database.backend))
        if not table or own or self.session.transaction is Transaction.WRITING:
            return False
        return self.database.create_mapped(table)


class FakeCursor:
    """Implements ``Held``."""

    def __init__(self, connection: FakeConnection, cursor: OpenCursor) -> None:
        self._connection = connection
        self._cursor = cursor

    def fetch(self, rows: int) -> List[Tuple[Any, ...]]:
        return self._connection.session.fetch(self._cursor, rows)

    def finish(self, *, success: bool) -> None:
        """Nothing: its connection is finished."""

    def release(self) -> None:
        self._connection.session.close_cursor(self._cursor)


def _guard(caller: FakeCaller) -> Guard:
    assert caller.guard is not None, "the contract gives these methods a late rule"
    return caller.guard


def _handle(scope: FakeScope, resource: object) -> int:
    return next(handle for handle, held in scope.held.items() if held is resource)


def _connection(scope: FakeScope, handle: int) -> FakeConnection:
    found = scope.held.get(handle)
    if not isinstance(found, FakeConnection):
        raise _unknown(handle)
    return found


def _cursor(scope: FakeScope, handle: int) -> FakeCursor:
    found = scope.held.get(handle)
    if not isinstance(found, FakeCursor):
        raise _unknown(handle)
    return found


def _unknown(handle: int) -> CallError:
    sentence = f"Handle {handle} names nothing that this scope holds: it was closed, or belongs to another scope."
    return CallError(Status.NOT_FOUND, Reason.HANDLE_UNKNOWN, sentence)


def _rows(rows: Iterable[Sequence[Any]]) -> List[sql_pb2.Row]:
    return [sql_pb2.Row(values=[values.to_wire(value) for value in row]) for row in rows]


def _chained(
    first: sql_pb2.ExecuteManyRequest, rest: Iterator[sql_pb2.ExecuteManyRequest]
) -> Iterator[sql_pb2.ExecuteManyRequest]:
    yield first
    yield from rest


def _missing_table(message: str) -> str:
    return message[len(_NO_TABLE) :] if message.startswith(_NO_TABLE) else ""
