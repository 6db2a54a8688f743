"""What calls to the host raise in a plugin. All are MoorageErrors; their text is a sentence for people."""

from __future__ import annotations

from typing import Dict, Type

from moorage_proto.errors import CallError, Reason, ServiceError, Status

__all__ = [
    "BackendError",
    "Cancelled",
    "CapabilityMissing",
    "DeadlineExceeded",
    "HostUnavailable",
    "MoorageError",
    "PluginInvalid",
    "QuotaExceeded",
    "ScopeClosed",
    "SerializationFailure",
    "ServiceRefused",
]


class MoorageError(CallError):
    """Root of what the host answers. ``status``, ``reason``, ``capability``, ``remedy`` and ``retryable`` tell more."""


class CapabilityMissing(MoorageError):
    """The installation was not granted ``capability``; ``remedy`` is the command with which an operator grants it."""


class QuotaExceeded(MoorageError):
    """Too many calls, bytes or calls in flight; try again later."""


class DeadlineExceeded(MoorageError, TimeoutError):
    """The call's time ran out. Whether it took effect is unknown."""


class Cancelled(MoorageError):
    """The call was cancelled, from here or by the host."""


class ScopeClosed(MoorageError):
    """The execution that the call belongs to has ended."""


class SerializationFailure(MoorageError):
    """Another writer came between; run the transaction again."""


class BackendError(MoorageError):
    """The service behind the broker refused, failed or could not be reached."""


class HostUnavailable(MoorageError):
    """The link to the host has ended."""


class ServiceRefused(ServiceError, MoorageError):
    """A service of the application says no; ``kind`` tells which of its errors it is.

    Where the service's contract names a class for the kind, that class is raised.
    """


class PluginInvalid(MoorageError):
    """The plugin cannot be loaded as it is written; found before any of its tasks runs."""

    def __init__(self, sentence: str) -> None:
        super().__init__(Status.FAILED_PRECONDITION, Reason.LOAD_FAILED, sentence)


_BY_REASON = {
    Reason.CAPABILITY_MISSING: CapabilityMissing,
    Reason.GRANT_REVOKED: CapabilityMissing,
    Reason.QUOTA_EXCEEDED: QuotaExceeded,
    Reason.DEADLINE_EXCEEDED: DeadlineExceeded,
    Reason.CANCELLED: Cancelled,
    Reason.SCOPE_CLOSED: ScopeClosed,
    Reason.SERIALIZATION_FAILURE: SerializationFailure,
    Reason.BACKEND_UNAVAILABLE: BackendError,
    Reason.BACKEND_FAILED: BackendError,
    Reason.BACKEND_UNKNOWN: BackendError,
    Reason.LINK_CLOSED: HostUnavailable,
}


def typed(error: CallError) -> MoorageError:
    """The same error as the class that plugin code catches."""
    if error.service is not None:
        return service_error(ServiceRefused, error)
    found = _BY_REASON.get(error.reason, MoorageError)
    return found(
        error.status,
        error.reason,
        error.message,
        capability=error.capability,
        remedy=error.remedy,
        retryable=error.retryable,
        sql=error.sql,
        task=error.task,
    )


#: Of those that contracts name.
_service_errors: Dict[Type[ServiceError], Type[ServiceError]] = {ServiceRefused: ServiceRefused}


def service_error(named: Type[ServiceError], error: CallError) -> MoorageError:
    """What a service raised as one of its contract's classes, and as a MoorageError as well."""
    made = _service_errors.get(named)
    if made is None:
        names = {"__module__": named.__module__, "__qualname__": named.__qualname__, "__doc__": named.__doc__}
        made = _service_errors[named] = type(named.__name__, (named, MoorageError), names)
    kind = error.service.kind if error.service is not None else ""
    # Not through its own __init__: that may take what the sentence is made of.
    found = made.__new__(made)
    ServiceError.__init__(found, error.message, kind=kind, status=error.status, retryable=error.retryable)
    assert isinstance(found, MoorageError)
    return found
