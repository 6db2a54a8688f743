"""A message that was handed to a worker, and what all of them take."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from moorage_proto import servicebus_pb2

#: Of the messages in one answer; the others wait for the next.
MAX_ANSWER_BYTES = 8 * 1024 * 1024

#: Of one message: a call's answer has 16 MiB at most.
MAX_MESSAGE_BYTES = 15 * 1024 * 1024

#: Locks are renewed when this part of their time is over.
RENEW_AFTER = 0.5
SHORTEST_RENEWAL_SECONDS = 0.05


@dataclass(slots=True)
class Holding:
    """What the host holds for all receivers of an installation."""

    size_bytes: int = 0


@dataclass(slots=True, eq=False)
class Delivery:
    """A message that was handed out."""

    number: int
    #: The library's.
    message: Any
    size_bytes: int
    #: Of the monotonic clock.
    renew_at: float
    #: False: the lock was lost, so there is nothing to renew or to give back.
    is_locked: bool = True


def renewal(message: Any) -> float:
    """When to renew its lock, of the monotonic clock."""
    until = message.locked_until_utc
    left = (until - datetime.now(UTC)).total_seconds() if until is not None else 1.0
    return time.monotonic() + max(SHORTEST_RENEWAL_SECONDS, left * RENEW_AFTER)


def check_size(wire: servicebus_pb2.ServiceBusReceivedMessage) -> None:
    """Raises ValueError for one that cannot cross to a worker."""
    if wire.ByteSize() > MAX_MESSAGE_BYTES:
        raise ValueError(f"it has {wire.ByteSize():,} bytes, and at most {MAX_MESSAGE_BYTES:,} can cross to a worker")


def bounded(
    wire: Sequence[servicebus_pb2.ServiceBusReceivedMessage],
) -> list[servicebus_pb2.ServiceBusReceivedMessage]:
    """As many of the first as an answer has room for; always one."""
    found: list[servicebus_pb2.ServiceBusReceivedMessage] = []
    left = MAX_ANSWER_BYTES
    for message in wire:
        left -= message.ByteSize()
        if found and left < 0:
            break
        found.append(message)
    return found
