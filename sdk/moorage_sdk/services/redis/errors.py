"""What calls to the host raise through redis-py: its own exceptions, each of which is a MoorageError as well."""

from __future__ import annotations

from typing import Any, Dict, Type

from redis import exceptions

from moorage_proto.errors import Reason, Status
from moorage_sdk.errors import (
    BackendError,
    Cancelled,
    CapabilityMissing,
    DeadlineExceeded,
    HostUnavailable,
    MoorageError,
    QuotaExceeded,
    ScopeClosed,
)
from moorage_sdk.services.redis.wire import Wire


class CommandRefused(CapabilityMissing, exceptions.NoPermissionError):
    """A capability is missing; nothing of the call was sent to the server."""


class CommandNotOffered(MoorageError, exceptions.NoPermissionError):
    """No plugin may call it, whatever is granted."""


class CommandInvalid(MoorageError, exceptions.ResponseError):
    """The host cannot make sense of it, or its answer is too large."""


class TooManyCalls(QuotaExceeded, exceptions.ResponseError):
    """Calls or connections exceed what one installation may have."""


class ServerUnavailable(BackendError, exceptions.ConnectionError):
    """The server cannot be reached, or broke off."""


class CallOverdue(DeadlineExceeded, exceptions.TimeoutError):
    """The call's time was up. Whether it took effect is unknown."""


class CallCancelled(Cancelled, exceptions.ConnectionError):
    """The call was cancelled, from here or by the host."""


class ClientOutlived(ScopeClosed, exceptions.ConnectionError):
    """The execution that the client belongs to has ended."""


class HostLost(HostUnavailable, exceptions.ConnectionError):
    """The link to the host has ended."""


_BY_REASON: Dict[int, Type[MoorageError]] = {
    Reason.CAPABILITY_MISSING: CommandRefused,
    Reason.GRANT_REVOKED: CommandRefused,
    Reason.QUOTA_EXCEEDED: TooManyCalls,
    Reason.DEADLINE_EXCEEDED: CallOverdue,
    Reason.CANCELLED: CallCancelled,
    Reason.SCOPE_CLOSED: ClientOutlived,
    Reason.LINK_CLOSED: HostLost,
    Reason.BACKEND_UNAVAILABLE: ServerUnavailable,
    Reason.BACKEND_UNKNOWN: ServerUnavailable,
    Reason.BACKEND_FAILED: ServerUnavailable,
    # What was open on the connection is gone.
    Reason.HANDLE_UNKNOWN: ServerUnavailable,
}


def from_call(error: MoorageError) -> MoorageError:
    """The same error as redis-py's callers expect it."""
    if isinstance(error, exceptions.RedisError):
        return error
    found = _BY_REASON.get(error.reason)
    if found is None:
        found = CommandNotOffered if error.status is Status.PERMISSION_DENIED else CommandInvalid
    made = found(
        error.status,
        error.reason,
        error.message,
        capability=error.capability,
        remedy=error.remedy,
        retryable=error.retryable,
    )
    # redis-py 8 looks at them, and sets them where its own classes come first.
    for name, value in _OF_REDIS_8.items():
        if not hasattr(made, name):
            setattr(made, name, value)
    return made


def _of_redis_8() -> Dict[str, Any]:
    kinds = getattr(exceptions, "ExceptionType", None)
    return {} if kinds is None else {"error_type": kinds.SERVER, "status_code": None}


_OF_REDIS_8 = _of_redis_8()


def check(wire: Wire) -> None:
    """Raises ClientOutlived."""
    try:
        wire.check()
    except MoorageError as error:
        raise from_call(error) from None


def is_reply(error: MoorageError) -> bool:
    """Whether it stands for the answer to each command; the connection is lost with the others."""
    return isinstance(error, exceptions.ResponseError)
