"""The ``sqlite3`` module's errors as the contract's, and the values it takes. Host and testing kit share it."""

from __future__ import annotations

import sqlite3
from datetime import date, datetime
from typing import Any, Tuple, Type

from moorage_proto import error_pb2
from moorage_proto.errors import CallError, Reason, Status
from moorage_proto.sqlite_access import Forbidden

Kind = error_pb2.SqlFailure

#: First match counts: subclasses before their bases.
_KINDS: Tuple[Tuple[Type[BaseException], Status, Any], ...] = (
    (sqlite3.IntegrityError, Status.FAILED_PRECONDITION, Kind.INTEGRITY_ERROR),
    (sqlite3.OperationalError, Status.INVALID_ARGUMENT, Kind.OPERATIONAL_ERROR),
    (sqlite3.ProgrammingError, Status.INVALID_ARGUMENT, Kind.PROGRAMMING_ERROR),
    (sqlite3.DataError, Status.INVALID_ARGUMENT, Kind.DATA_ERROR),
    (sqlite3.NotSupportedError, Status.UNIMPLEMENTED, Kind.NOT_SUPPORTED_ERROR),
    (sqlite3.InternalError, Status.INTERNAL, Kind.INTERNAL_ERROR),
    (sqlite3.DatabaseError, Status.INTERNAL, Kind.DATABASE_ERROR),
    (sqlite3.InterfaceError, Status.INVALID_ARGUMENT, Kind.INTERFACE_ERROR),
    # "You can only execute one statement at a time", on Python below 3.11.
    (sqlite3.Warning, Status.INVALID_ARGUMENT, Kind.PROGRAMMING_ERROR),
    # "Python int too large to convert to SQLite INTEGER"
    (OverflowError, Status.INVALID_ARGUMENT, Kind.DATA_ERROR),
    # "embedded null character", a lone surrogate
    (ValueError, Status.INVALID_ARGUMENT, Kind.PROGRAMMING_ERROR),
)

#: What `translate` takes.
ERRORS = (sqlite3.Error, sqlite3.Warning, MemoryError, OverflowError, ValueError, Forbidden)


_TOO_LONG = "The statement is too long for the memory it may take. Split it."
_TOO_BIG = (
    "a value may have 1 MiB, less in a statement of many columns or functions, and 32 KiB where trim, replace, instr "
    "or JSON is called. Read the value as it is and work on it in the plugin."
)
_FULL = "there is no space left, or this connection has let the file grow by as much as one may. Write less at a time."

#: https://www.sqlite.org/rescode.html#busy_snapshot
_BUSY_SNAPSHOT = 517


def translate(error: BaseException) -> CallError:
    """SQLite's own words are kept: libraries and people know them. They hold names of the schema, never a path."""
    if isinstance(error, Forbidden):
        return failure(f"{error} No capability allows it.", Kind.NOT_SUPPORTED_ERROR, Status.PERMISSION_DENIED)
    if isinstance(error, MemoryError):
        return failure(_TOO_LONG, Kind.OPERATIONAL_ERROR, Status.RESOURCE_EXHAUSTED)
    if str(error) == "string or blob too big":
        return failure(f"{error}: {_TOO_BIG}", Kind.DATA_ERROR, Status.RESOURCE_EXHAUSTED)
    if str(error) == "database or disk is full":
        return failure(f"{error}: {_FULL}", Kind.OPERATIONAL_ERROR, Status.RESOURCE_EXHAUSTED)
    if is_busy(error):
        return failure(str(error), Kind.OPERATIONAL_ERROR, Status.UNAVAILABLE, retryable=True)
    for known, status, kind in _KINDS:
        if isinstance(error, known):
            return failure(str(error), kind, status)
    return failure("The database failed the statement.", Kind.DATABASE_ERROR, Status.INTERNAL)


def is_busy(error: BaseException) -> bool:
    return isinstance(error, sqlite3.OperationalError) and str(error) == "database is locked"


def is_stale_snapshot(error: BaseException) -> bool:
    """Whether another has written since this transaction first read. Before Python 3.11 nothing tells it from busy."""
    return is_busy(error) and getattr(error, "sqlite_errorcode", _BUSY_SNAPSHOT) == _BUSY_SNAPSHOT


def serialization_failure() -> CallError:
    return CallError(
        Status.ABORTED,
        Reason.SERIALIZATION_FAILURE,
        "Another transaction has written since this one first read. Roll back and run the transaction again; one that "
        "begins with a write is not interrupted like this.",
        retryable=True,
        sql=error_pb2.SqlFailure(kind=Kind.OPERATIONAL_ERROR, sqlstate="40001"),
    )


def deadline_exceeded() -> CallError:
    return CallError(
        Status.DEADLINE_EXCEEDED,
        Reason.DEADLINE_EXCEEDED,
        "The statement was interrupted, because its time was up.",
        sql=error_pb2.SqlFailure(kind=Kind.OPERATIONAL_ERROR),
    )


def rolled_back_by_sqlite(cause: Exception) -> CallError:
    return failure(
        f"The transaction was rolled back when a statement failed: {cause} Call rollback(), then run it again.",
        Kind.OPERATIONAL_ERROR,
        Status.FAILED_PRECONDITION,
    )


def cursor_closed() -> CallError:
    return CallError(
        Status.NOT_FOUND,
        Reason.HANDLE_UNKNOWN,
        "The cursor's remaining rows are gone: its transaction has ended. Fetch all rows before commit or rollback.",
        sql=error_pb2.SqlFailure(kind=Kind.PROGRAMMING_ERROR),
    )


def row_too_big(limit: int) -> CallError:
    return failure(
        f"A row has more than {limit // 1024**2} MiB, and no message holds it. Select fewer columns at a time, or "
        "parts of them with substr().",
        Kind.DATA_ERROR,
        Status.RESOURCE_EXHAUSTED,
    )


def inspected_by_pragmas() -> CallError:
    return failure(
        "SQLite is inspected by its pragmas, such as table_info, and by moorage_schema(); Inspect is for PostgreSQL.",
        Kind.NOT_SUPPORTED_ERROR,
        Status.UNIMPLEMENTED,
    )


def failure(message: str, kind: Any, status: Status, *, retryable: bool = False) -> CallError:
    return CallError(status, Reason.BACKEND_FAILED, message, retryable=retryable, sql=error_pb2.SqlFailure(kind=kind))


def bindable(value: Any) -> Any:
    """A parameter as SQLite stores it; dates as ISO 8601 text, as the ``sqlite3`` module's adapters write them.

    Raises CallError for a type that SQLite has no form for.
    """
    if value is None or isinstance(value, (int, float, str, bytes)):
        return value
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, date):
        return value.isoformat()
    raise failure(
        f"A parameter of type {type(value).__name__} is not supported by SQLite; pass text, a number, bytes or None.",
        Kind.INTERFACE_ERROR,
        Status.INVALID_ARGUMENT,
    )
