"""PEP 249's exceptions. Each is a MoorageError as well, so that ``except CapabilityMissing`` works for SQL, too."""

from __future__ import annotations

import contextlib
from typing import Dict, Iterator, Optional, Type

from moorage_proto import error_pb2
from moorage_proto.errors import Reason, Status
from moorage_sdk.errors import (
    Cancelled,
    CapabilityMissing,
    DeadlineExceeded,
    HostUnavailable,
    MoorageError,
    QuotaExceeded,
    ScopeClosed,
    SerializationFailure,
)

_Kind = error_pb2.SqlFailure


class Warning(Exception):  # noqa: A001 - PEP 249's name
    """Never raised here; PEP 249 asks for it."""


class Error(MoorageError):
    """Root of what this driver raises."""

    @property
    def sqlstate(self) -> Optional[str]:
        """The five characters, such as "23505", where the backend has them."""
        return (self.sql.sqlstate or None) if self.sql is not None else None


class InterfaceError(Error):
    """The driver was used in a way that it does not know."""


class DatabaseError(Error):
    """The database, or the host on its behalf, did not do what it was asked."""


class DataError(DatabaseError):
    """A value does not fit."""


class OperationalError(DatabaseError):
    """Not, or not only, the statement's fault: busy, interrupted, unavailable; in SQLite also no such table."""


class IntegrityError(DatabaseError):
    """A constraint stands against it."""


class InternalError(DatabaseError):
    """The database is in trouble."""


class ProgrammingError(DatabaseError):
    """The statement or its parameters are wrong."""


class NotSupportedError(DatabaseError):
    """What plugins cannot do whatever they are granted: ATTACH, triggers, most pragmas."""


class StatementRefused(ProgrammingError, CapabilityMissing):
    """A capability is missing; nothing was read or written."""


class TransactionConflict(OperationalError, SerializationFailure):
    """Another writer came between: roll back and run the transaction again."""


class StatementOverdue(OperationalError, DeadlineExceeded):
    """The statement's time was up."""


class StatementCancelled(OperationalError, Cancelled):
    """The statement was cancelled."""


class TooManyStatements(OperationalError, QuotaExceeded):
    """Calls, connections or cursors exceed what one installation may have."""


class ConnectionOutlived(InterfaceError, ScopeClosed):
    """The execution that the connection belongs to has ended."""


class HostLost(OperationalError, HostUnavailable):
    """The link to the host has ended."""


def from_call(error: MoorageError) -> Error:
    """The same error as this driver raises it."""
    if isinstance(error, Error):
        return error
    found = _BY_REASON.get(error.reason)
    if found is None:
        found = DatabaseError if error.sql is None else _BY_KIND.get(error.sql.kind, DatabaseError)
    return found(
        error.status,
        error.reason,
        error.message,
        capability=error.capability,
        remedy=error.remedy,
        retryable=error.retryable,
        sql=error.sql,
    )


def misused(sentence: str, kind: Type[Error] = ProgrammingError) -> Error:
    """What the driver finds by itself."""
    return kind(Status.INVALID_ARGUMENT, Reason.REQUEST_INVALID, sentence)


@contextlib.contextmanager
def translated() -> Iterator[None]:
    try:
        yield
    except MoorageError as error:
        raise from_call(error) from None


_BY_REASON: Dict[int, Type[Error]] = {
    Reason.CAPABILITY_MISSING: StatementRefused,
    Reason.GRANT_REVOKED: StatementRefused,
    Reason.SERIALIZATION_FAILURE: TransactionConflict,
    Reason.DEADLINE_EXCEEDED: StatementOverdue,
    Reason.CANCELLED: StatementCancelled,
    Reason.QUOTA_EXCEEDED: TooManyStatements,
    Reason.SCOPE_CLOSED: ConnectionOutlived,
    Reason.LINK_CLOSED: HostLost,
    Reason.TRANSACTION_IDLE: OperationalError,
    Reason.BACKEND_UNAVAILABLE: OperationalError,
    Reason.BACKEND_UNKNOWN: InterfaceError,
    Reason.HANDLE_UNKNOWN: ProgrammingError,
    Reason.MESSAGE_TOO_LARGE: DataError,
}

_BY_KIND: Dict[int, Type[Error]] = {
    _Kind.OPERATIONAL_ERROR: OperationalError,
    _Kind.INTEGRITY_ERROR: IntegrityError,
    _Kind.PROGRAMMING_ERROR: ProgrammingError,
    _Kind.DATA_ERROR: DataError,
    _Kind.INTERNAL_ERROR: InternalError,
    _Kind.NOT_SUPPORTED_ERROR: NotSupportedError,
    _Kind.INTERFACE_ERROR: InterfaceError,
}
