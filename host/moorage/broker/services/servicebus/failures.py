"""The client library's errors as the contract's. Their own text holds addresses, so it stays in the host's log."""

from __future__ import annotations

import logging
from enum import Enum, auto

from moorage.broker.services.servicebus.library import client
from moorage_proto.errors import CallError, Reason, Status
from moorage_proto.servicebus_names import Entity

log = logging.getLogger(__name__)


class Cure(Enum):
    """What becomes of the link on which an operation failed."""

    #: It works; the operation itself was refused.
    KEEP = auto()
    #: It is closed, and the next operation opens another.
    REOPEN = auto()
    #: As REOPEN, and the same operation may be tried again.
    RETRY = auto()


def cure(error: Exception) -> Cure:
    errors = client().exceptions
    if isinstance(
        error,
        (
            errors.MessageLockLostError,
            errors.MessageAlreadySettled,
            errors.MessageNotFoundError,
            errors.MessageSizeExceededError,
        ),
    ):
        return Cure.KEEP
    if isinstance(
        error,
        (
            errors.ServiceBusAuthenticationError,
            errors.ServiceBusAuthorizationError,
            errors.MessagingEntityNotFoundError,
            errors.MessagingEntityDisabledError,
            errors.ServiceBusQuotaExceededError,
        ),
    ):
        return Cure.REOPEN
    if isinstance(error, errors.ServiceBusError):
        is_transport = isinstance(
            error,
            (
                errors.ServiceBusConnectionError,
                errors.ServiceBusCommunicationError,
                errors.ServiceBusServerBusyError,
                errors.OperationTimeoutError,
            ),
        )
        # Without a condition of the peer's it is the library's own word for something that broke on the way.
        return Cure.RETRY if is_transport or not _condition(error) else Cure.REOPEN
    # What the library lets through when a connection ends in the middle of something.
    return Cure.RETRY


def call_error(backend: str, entity: Entity, error: Exception) -> CallError:
    errors = client().exceptions
    log.info("namespace %s, %s: %s", backend, entity, error)
    where = f"The Service Bus namespace {backend!r}"
    if isinstance(error, (errors.MessageLockLostError, errors.MessageAlreadySettled)):
        return lock_lost(entity)
    if isinstance(error, (errors.ServiceBusAuthenticationError, errors.ServiceBusAuthorizationError)):
        return _failed(
            Status.PERMISSION_DENIED,
            f"{where} itself does not let this host use {entity}. Its operator changes the access policies there, or "
            "the connection string in the host's settings.",
        )
    if isinstance(error, errors.MessagingEntityNotFoundError):
        return _failed(Status.NOT_FOUND, f"{where} has no entity {entity}. An operator creates it there.")
    if isinstance(error, errors.MessageNotFoundError):
        return _failed(
            Status.NOT_FOUND,
            f"{entity} in the Service Bus namespace {backend!r} has no message of such a number in this state.",
        )
    if isinstance(error, errors.MessagingEntityDisabledError):
        return _failed(Status.FAILED_PRECONDITION, f"{where} has {entity} switched off. An operator enables it there.")
    if isinstance(error, errors.MessageSizeExceededError):
        return too_large(backend, entity)
    if isinstance(error, errors.ServiceBusQuotaExceededError):
        return _failed(
            Status.RESOURCE_EXHAUSTED, f"{where} takes no further messages for {entity}: it is full.", retryable=True
        )
    if cure(error) is Cure.RETRY:
        return unavailable(backend, f"did not do it ({type(error).__name__})")
    return _failed(Status.ABORTED, f"{where} refused the operation on {entity} ({_condition(error)}).")


def lock_lost(entity: Entity) -> CallError:
    return CallError(
        Status.ABORTED,
        Reason.MESSAGE_LOCK_LOST,
        f"The message of {entity} was settled already, or held longer than its lock lasts; it may be handed out again."
        " Settle messages once, in the execution that received them.",
    )


def too_large(backend: str, entity: Entity) -> CallError:
    return CallError(
        Status.INVALID_ARGUMENT,
        Reason.MESSAGE_TOO_LARGE,
        f"The messages for {entity}, together, are larger than the Service Bus namespace {backend!r} takes at once. "
        "Send fewer at a time, or put large data where the receiver can read it and send where that is.",
    )


def unavailable(backend: str, problem: str) -> CallError:
    return CallError(
        Status.UNAVAILABLE,
        Reason.BACKEND_UNAVAILABLE,
        f"The Service Bus namespace {backend!r} {problem}; whether it took effect is unknown. Try again later; the "
        "host's log tells its operator more.",
        retryable=True,
    )


def _failed(status: Status, sentence: str, *, retryable: bool = False) -> CallError:
    return CallError(status, Reason.BACKEND_FAILED, sentence, retryable=retryable)


def _condition(error: Exception) -> str:
    """Such as amqp:not-allowed: a symbol of the protocol's. Empty where there is none."""
    found = getattr(error, "_condition", None)
    return found if isinstance(found, str) and not found.startswith("amqp:unknown") else ""
