"""Errors with the names that Azure's library has for them; they are MoorageErrors as well."""

from __future__ import annotations

import contextlib
from typing import Dict, Iterator, Type

from moorage_proto import error_pb2
from moorage_proto.errors import Reason, Status
from moorage_sdk.errors import MoorageError, ScopeClosed


class MessageLockLostError(MoorageError):
    """The message was settled already, or held longer than its lock lasts; it may be handed out again."""


class MessageAlreadySettled(MessageLockLostError, ValueError):
    """The message was settled in this very execution."""


class MessageSizeExceededError(MoorageError, ValueError):
    """The messages are larger than Service Bus takes, one by one or together."""


_BY_REASON: Dict[error_pb2.Reason, Type[MoorageError]] = {
    Reason.MESSAGE_LOCK_LOST: MessageLockLostError,
    Reason.MESSAGE_TOO_LARGE: MessageSizeExceededError,
}


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Around calls to the host."""
    try:
        yield
    except MoorageError as error:
        found = _BY_REASON.get(error.reason)
        if found is None:
            raise
        raise found(error.status, error.reason, error.message, retryable=error.retryable) from None


def already_settled(what: str) -> MessageAlreadySettled:
    return MessageAlreadySettled(
        Status.FAILED_PRECONDITION,
        Reason.MESSAGE_LOCK_LOST,
        f"Cannot {what} a message that is settled already. Settle each message once.",
    )


def too_large(size: int, limit: int) -> MessageSizeExceededError:
    return MessageSizeExceededError(
        Status.INVALID_ARGUMENT,
        Reason.MESSAGE_TOO_LARGE,
        f"With this message the batch would have about {size:,} bytes, and {limit:,} are its limit. Send what is in "
        "it, and begin another.",
    )


def closed(what: str) -> ScopeClosed:
    return ScopeClosed(
        Status.FAILED_PRECONDITION,
        Reason.SCOPE_CLOSED,
        f"This {what} is closed, or belongs to an execution that has ended; ask for a ServiceBusClient in each task.",
    )
