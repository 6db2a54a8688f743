"""The error of a call, as an exception; both sides raise it and translate it to and from the wire."""

from __future__ import annotations

from enum import IntEnum
from typing import Optional

from moorage_proto import error_pb2


class Status(IntEnum):
    """gRPC's status codes."""

    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


#: The reasons of the contract: ``Reason.CAPABILITY_MISSING``.
Reason = error_pb2.Reason


class CallError(Exception):
    """A call that did not succeed. ``str()`` is the sentence for people."""

    def __init__(
        self,
        status: Status,
        reason: error_pb2.Reason,
        message: str,
        *,
        capability: str = "",
        remedy: str = "",
        retryable: bool = False,
        sql: Optional[error_pb2.SqlFailure] = None,
        task: Optional[error_pb2.TaskFailure] = None,
        service: Optional[error_pb2.ServiceFailure] = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.capability = capability
        self.remedy = remedy
        self.retryable = retryable
        self.sql = sql
        self.task = task
        self.service = service


class ServiceError(CallError):
    """A service of the application says no: the sentence, for the plugin and its log, is all that crosses with it.

    Subclasses are errors of their own: raised by the service they arrive as the same class in a plugin whose contract
    names them, ``@service("billing", errors=[CardDeclined])``.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: str = "",
        status: Status = Status.FAILED_PRECONDITION,
        retryable: bool = False,
    ) -> None:
        """``kind``: by which plugins tell it from others; the class's name unless it is given."""
        #: Never empty.
        self.kind = kind or type(self).__name__
        failure = error_pb2.ServiceFailure(kind=self.kind)
        super().__init__(status, Reason.SERVICE_REFUSED, message, retryable=retryable, service=failure)


def to_wire(error: CallError) -> error_pb2.Error:
    wire = error_pb2.Error(
        code=int(error.status),
        reason=error.reason,
        message=error.message,
        capability=error.capability,
        remedy=error.remedy,
        retryable=error.retryable,
    )
    if error.sql is not None:
        wire.sql.CopyFrom(error.sql)
    elif error.task is not None:
        wire.task.CopyFrom(error.task)
    elif error.service is not None:
        wire.service.CopyFrom(error.service)
    return wire


def from_wire(wire: error_pb2.Error) -> CallError:
    """Never raises: an unknown code from a newer or hostile peer becomes UNKNOWN."""
    try:
        status = Status(wire.code)
    except ValueError:
        status = Status.UNKNOWN
    detail = wire.WhichOneof("detail")
    return CallError(
        status,
        wire.reason,
        wire.message,
        capability=wire.capability,
        remedy=wire.remedy,
        retryable=wire.retryable,
        sql=wire.sql if detail == "sql" else None,
        task=wire.task if detail == "task" else None,
        service=wire.service if detail == "service" else None,
    )
