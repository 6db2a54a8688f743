"""psycopg's errors as the contract's. PostgreSQL's own words are kept, but for those that tell of the host's side."""

from __future__ import annotations

import psycopg
from psycopg import errors

from moorage_proto import error_pb2
from moorage_proto.errors import CallError, Reason, Status
from moorage_proto.sqlite_access import Forbidden

Kind = error_pb2.SqlFailure

#: First match counts: subclasses before their bases. https://peps.python.org/pep-0249/#exceptions
_KINDS: tuple[tuple[type[BaseException], Status, error_pb2.SqlFailure.Kind], ...] = (
    (psycopg.IntegrityError, Status.FAILED_PRECONDITION, Kind.INTEGRITY_ERROR),
    (psycopg.DataError, Status.INVALID_ARGUMENT, Kind.DATA_ERROR),
    (psycopg.ProgrammingError, Status.INVALID_ARGUMENT, Kind.PROGRAMMING_ERROR),
    (psycopg.NotSupportedError, Status.UNIMPLEMENTED, Kind.NOT_SUPPORTED_ERROR),
    (psycopg.OperationalError, Status.INVALID_ARGUMENT, Kind.OPERATIONAL_ERROR),
    (psycopg.InternalError, Status.FAILED_PRECONDITION, Kind.INTERNAL_ERROR),
    (psycopg.InterfaceError, Status.INVALID_ARGUMENT, Kind.INTERFACE_ERROR),
    (psycopg.DatabaseError, Status.INTERNAL, Kind.DATABASE_ERROR),
)

#: The transaction may be run again as it is.
_CONFLICTS = (errors.SerializationFailure, errors.DeadlockDetected)
#: Somebody else is in the way at the moment.
_BUSY = (errors.LockNotAvailable, errors.TooManyConnections, errors.InsufficientResources)
#: Classes of SQLSTATE whose words tell of the server's machine: system errors, its configuration, its own mistakes,
#: data that is damaged. https://www.postgresql.org/docs/current/errcodes-appendix.html
_INWARD = ("58", "F0", "XX", "28", "08")

#: The SQLSTATE of a connection that was lost in the middle of a transaction.
LOST = "08006"

#: A row that is there already.
DUPLICATE = "23505"

#: Constraints and the conditions of views, whose details show values of rows.
_OF_ROWS = ("23", "44")

#: What the first fence allowed and the role may not do.
_PRIVILEGE = "42501"


def is_lost(error: BaseException) -> bool:
    """Whether the connection is no more."""
    if isinstance(error, errors.AdminShutdown | errors.CrashShutdown | errors.CannotConnectNow):
        return True
    return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) and error.sqlstate is None


def translate(error: BaseException, backend: str, *, tells_rows: bool = True) -> CallError:
    """``tells_rows``: PostgreSQL's words on the row that breaks a constraint are kept. It leaves out of them what the
    role may not read, which says nothing where one role is everybody's.
    """
    if isinstance(error, Forbidden):
        return _failure(f"{error} No capability allows it.", Kind.NOT_SUPPORTED_ERROR, Status.PERMISSION_DENIED)
    if isinstance(error, psycopg.Error):
        return _of_psycopg(error, backend, tells_rows=tells_rows)
    return _failure("The database failed the statement.", Kind.DATABASE_ERROR, Status.INTERNAL)


def _of_psycopg(error: psycopg.Error, backend: str, *, tells_rows: bool) -> CallError:
    if is_lost(error):
        return lost(backend)
    state = error.sqlstate or ""
    if isinstance(error, _CONFLICTS):
        return _conflict(error, state)
    if isinstance(error, errors.IdleInTransactionSessionTimeout):
        return lost(backend)
    message = sentence(error) if tells_rows or not state.startswith(_OF_ROWS) else primary(error)
    if state.startswith(_INWARD):
        message = f"The database {backend!r} is in trouble (SQLSTATE {state}). Its operator finds more in its log."
    elif state == _PRIVILEGE:
        message = (
            f"{message}. The capabilities allow it, and the rights of the installation's role in the database do not: "
            "the operator has to look at them (moorage sql plan)."
        )
    if isinstance(error, _BUSY):
        return _failure(message, Kind.OPERATIONAL_ERROR, Status.UNAVAILABLE, state, retryable=True)
    for known, status, kind in _KINDS:
        if isinstance(error, known):
            return _failure(message, kind, status, state)
    return _failure(message, Kind.DATABASE_ERROR, Status.INTERNAL, state)


def sentence(error: psycopg.Error) -> str:
    """PostgreSQL's, with its detail: names of the schema, and values of the statement's own."""
    detail = error.diag.message_detail
    return f"{primary(error)}. {detail}" if detail else primary(error)


def primary(error: psycopg.Error) -> str:
    return error.diag.message_primary or str(error).partition("\n")[0]


def _conflict(error: psycopg.Error, state: str) -> CallError:
    return CallError(
        Status.ABORTED,
        Reason.SERIALIZATION_FAILURE,
        f"Another transaction came between ({error.diag.message_primary}). Roll back and run the transaction again.",
        retryable=True,
        sql=error_pb2.SqlFailure(kind=Kind.OPERATIONAL_ERROR, sqlstate=state),
    )


def lost(backend: str) -> CallError:
    """In the middle of a transaction, which is gone."""
    return CallError(
        Status.UNAVAILABLE,
        Reason.BACKEND_UNAVAILABLE,
        f"The connection to the database {backend!r} was lost, and with it the transaction: nothing of it was kept. "
        "Call rollback() and run it again.",
        retryable=True,
        sql=error_pb2.SqlFailure(kind=Kind.OPERATIONAL_ERROR, sqlstate=LOST),
    )


def commit_unknown(backend: str) -> CallError:
    return CallError(
        Status.UNAVAILABLE,
        Reason.BACKEND_UNAVAILABLE,
        f"The connection to the database {backend!r} was lost during the commit, and nobody knows whether it took "
        "place. Look at the data before running the transaction again.",
        sql=error_pb2.SqlFailure(kind=Kind.OPERATIONAL_ERROR, sqlstate="08007"),
    )


def unreachable(backend: str) -> CallError:
    return CallError(
        Status.UNAVAILABLE,
        Reason.BACKEND_UNAVAILABLE,
        f"The database {backend!r} cannot be reached at the moment. Try again; its operator finds the reason in the "
        "host's log.",
        retryable=True,
        sql=error_pb2.SqlFailure(kind=Kind.OPERATIONAL_ERROR, sqlstate="08001"),
    )


def not_prepared(backend: str, problem: str) -> CallError:
    return CallError(
        Status.UNAVAILABLE,
        Reason.BACKEND_UNAVAILABLE,
        f"The database {backend!r} is not prepared for this installation: {problem}",
        sql=error_pb2.SqlFailure(kind=Kind.OPERATIONAL_ERROR),
    )


def deadline_exceeded() -> CallError:
    return CallError(
        Status.DEADLINE_EXCEEDED,
        Reason.DEADLINE_EXCEEDED,
        "The statement was interrupted, because its time was up.",
        sql=error_pb2.SqlFailure(kind=Kind.OPERATIONAL_ERROR, sqlstate="57014"),
    )


def reply_too_big(limit_bytes: int) -> CallError:
    return _failure(
        f"The statement brought more than {limit_bytes // 1024**2} MiB at once, and its transaction was rolled back. "
        "Select fewer or smaller columns, or parts of them with substr(); RETURNING and FOR UPDATE bring all rows at "
        "once.",
        Kind.DATA_ERROR,
        Status.RESOURCE_EXHAUSTED,
    )


def row_too_big(limit_bytes: int) -> CallError:
    return _failure(
        f"A row has more than {limit_bytes // 1024**2} MiB, and no message holds it. Select fewer columns at a time, "
        "or parts of them with substr().",
        Kind.DATA_ERROR,
        Status.RESOURCE_EXHAUSTED,
    )


def value_unreadable(problem: str) -> CallError:
    return _failure(f"A value cannot be sent: {problem}.", Kind.DATA_ERROR, Status.OUT_OF_RANGE)


def transaction_aborted() -> CallError:
    return _failure(
        "The transaction cannot be committed, because a statement in it failed. Call rollback() and run it again; "
        "a savepoint before a statement that may fail lets the transaction go on.",
        Kind.INTERNAL_ERROR,
        Status.FAILED_PRECONDITION,
        "25P02",
    )


def syntax_wrong(message: str) -> CallError:
    return _failure(message, Kind.PROGRAMMING_ERROR, Status.INVALID_ARGUMENT, "42601")


def parameters_wrong(taken: int, given: int) -> CallError:
    return _failure(
        f"The statement takes {taken} parameters, by its placeholders $1 and so on, and {given} were given.",
        Kind.PROGRAMMING_ERROR,
        Status.INVALID_ARGUMENT,
        "08P01",
    )


def cursor_closed() -> CallError:
    return CallError(
        Status.NOT_FOUND,
        Reason.HANDLE_UNKNOWN,
        "The cursor's remaining rows are gone: its transaction has ended, or went back to a savepoint. Fetch all rows "
        "before that.",
        sql=error_pb2.SqlFailure(kind=Kind.PROGRAMMING_ERROR),
    )


def column_unknown(column: str) -> CallError:
    return _failure(f"column {column} does not exist", Kind.PROGRAMMING_ERROR, Status.INVALID_ARGUMENT, "42703")


def connections_busy(backend: str, seconds: float) -> CallError:
    return CallError(
        Status.RESOURCE_EXHAUSTED,
        Reason.QUOTA_EXCEEDED,
        f"All connections to the database {backend!r} were in use for {seconds:g} s. Try again, and commit soon: a "
        "connection is held as long as its transaction is open.",
        retryable=True,
        sql=error_pb2.SqlFailure(kind=Kind.OPERATIONAL_ERROR, sqlstate="53300"),
    )


def _failure(
    message: str, kind: error_pb2.SqlFailure.Kind, status: Status, state: str = "", *, retryable: bool = False
) -> CallError:
    detail = error_pb2.SqlFailure(kind=kind, sqlstate=state)
    return CallError(status, Reason.BACKEND_FAILED, message, retryable=retryable, sql=detail)
