"""Sentences of the SQL service."""

from __future__ import annotations

from moorage_proto import error_pb2
from moorage_proto.errors import CallError, Reason, Status
from moorage_proto.sqlite_errors import Kind


def backend_unknown(name: str) -> CallError:
    return CallError(
        Status.NOT_FOUND,
        Reason.BACKEND_UNKNOWN,
        f"This host has no database named {name!r}. Its operator adds one as [sql.{name}] in the host's settings.",
        sql=error_pb2.SqlFailure(kind=Kind.INTERFACE_ERROR),
    )


def unavailable(name: str, problem: str) -> CallError:
    return CallError(
        Status.UNAVAILABLE,
        Reason.BACKEND_UNAVAILABLE,
        f"The database {name!r} cannot be opened ({problem}). Its operator has to look at its file.",
        retryable=True,
        sql=error_pb2.SqlFailure(kind=Kind.OPERATIONAL_ERROR),
    )


def too_many_connections(name: str, limit: int) -> CallError:
    return CallError(
        Status.RESOURCE_EXHAUSTED,
        Reason.QUOTA_EXCEEDED,
        f"{limit} connections to {name!r} are open already, which is the limit of an installation. Close those that "
        "are not used.",
        retryable=True,
        sql=error_pb2.SqlFailure(kind=Kind.OPERATIONAL_ERROR),
    )


def too_many_cursors(limit: int) -> CallError:
    return CallError(
        Status.RESOURCE_EXHAUSTED,
        Reason.QUOTA_EXCEEDED,
        f"{limit} cursors with unread rows are open already, which is the limit of an installation. Fetch all "
        "rows or close them.",
        sql=error_pb2.SqlFailure(kind=Kind.OPERATIONAL_ERROR),
    )


def writer_busy(name: str, seconds: float, *, own: bool) -> CallError:
    holder = "another connection of this installation" if own else "another transaction"
    return CallError(
        Status.UNAVAILABLE,
        Reason.BACKEND_FAILED,
        f"The database {name!r} was being written by {holder} for {seconds:g} s, and it takes one writer at a time. "
        "Try again, and commit soon after writing.",
        retryable=True,
        sql=error_pb2.SqlFailure(kind=Kind.OPERATIONAL_ERROR),
    )


def statement_cancelled() -> CallError:
    return CallError(
        Status.CANCELLED,
        Reason.CANCELLED,
        "The statement was cancelled.",
        sql=error_pb2.SqlFailure(kind=Kind.OPERATIONAL_ERROR, sqlstate="57014"),
    )


def transaction_idle(seconds: float) -> CallError:
    return CallError(
        Status.ABORTED,
        Reason.TRANSACTION_IDLE,
        f"The transaction was rolled back, because nothing came for {seconds:g} s while it was open. Call rollback() "
        "and run it again; commit before work that takes long.",
        sql=error_pb2.SqlFailure(kind=Kind.OPERATIONAL_ERROR, sqlstate="25P03"),
    )


def committed_before(execution: str) -> CallError:
    return CallError(
        Status.ABORTED,
        Reason.BACKEND_FAILED,
        f"Another attempt of {execution} has committed already, and this one is rolled back: what it does is done "
        "once.",
        sql=error_pb2.SqlFailure(kind=Kind.INTEGRITY_ERROR, sqlstate="23505"),
    )


def connection_closed() -> CallError:
    return CallError(
        Status.NOT_FOUND,
        Reason.HANDLE_UNKNOWN,
        "The connection is closed; open another one.",
        sql=error_pb2.SqlFailure(kind=Kind.PROGRAMMING_ERROR),
    )


def not_a(what: str, handle: int) -> CallError:
    return CallError(
        Status.INVALID_ARGUMENT, Reason.REQUEST_INVALID, f"The handle {handle} does not name a {what} of this scope."
    )


def request_invalid(problem: str) -> CallError:
    return CallError(
        Status.INVALID_ARGUMENT,
        Reason.REQUEST_INVALID,
        problem,
        sql=error_pb2.SqlFailure(kind=Kind.INTERFACE_ERROR),
    )
