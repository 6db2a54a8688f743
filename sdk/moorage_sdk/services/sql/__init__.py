"""SQL as PEP 249 has it, sync and async. The host holds the real connection and checks each statement.

    def execute(db: Connection) -> int:
        cursor = db.cursor()
        cursor.execute("SELECT count(*) FROM users WHERE name LIKE ?", ("A%",))
        return cursor.fetchone()[0]

An injected connection belongs to the execution: the host commits after the task has returned, and rolls back when it
fails. ``commit()`` commits earlier. One from ``connect()`` is rolled back where it is not committed.
"""

from __future__ import annotations

from moorage_sdk.services.sql.aio import AsyncConnection, connect_async
from moorage_sdk.services.sql.async_cursor import AsyncCursor
from moorage_sdk.services.sql.connection import Connection, connect
from moorage_sdk.services.sql.cursor import Cursor
from moorage_sdk.services.sql.errors import (
    DatabaseError,
    DataError,
    Error,
    IntegrityError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    Warning,  # noqa: A004 - PEP 249's name
)
from moorage_sdk.services.sql.types import (
    BINARY,
    DATETIME,
    NUMBER,
    ROWID,
    STRING,
    Binary,
    Date,
    DateFromTicks,
    Range,
    Time,
    TimeFromTicks,
    Timestamp,
    TimestampFromTicks,
)

apilevel = "2.0"
#: Threads may share the module, but not connections.
threadsafety = 1
#: Of SQLite; what a connection takes is its ``paramstyle``, which the host tells for each database.
paramstyle = "qmark"

__all__ = [
    "BINARY",
    "DATETIME",
    "NUMBER",
    "ROWID",
    "STRING",
    "AsyncConnection",
    "AsyncCursor",
    "Binary",
    "Connection",
    "Cursor",
    "DataError",
    "DatabaseError",
    "Date",
    "DateFromTicks",
    "Error",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "NotSupportedError",
    "OperationalError",
    "ProgrammingError",
    "Range",
    "Time",
    "TimeFromTicks",
    "Timestamp",
    "TimestampFromTicks",
    "Warning",
    "apilevel",
    "connect",
    "connect_async",
    "paramstyle",
    "threadsafety",
]
