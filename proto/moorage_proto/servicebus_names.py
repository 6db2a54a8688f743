"""Names of queues, topics and subscriptions of Service Bus, as plugins write them. Pure; both sides use it.

One spelling of each entity is decided on, opened and shown: what the gate has allowed is what is used.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from moorage_proto.errors import CallError, Reason, Status

_SUBSCRIPTIONS = "/subscriptions/"
_DEAD_LETTERS = "/$deadletterqueue"

_SEGMENT = r"[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?"
_PATH = re.compile(
    rf"(?P<name>{_SEGMENT}(?:/{_SEGMENT})*?)(?:{_SUBSCRIPTIONS}(?P<subscription>{_SEGMENT}))?"
    rf"(?P<dead>{re.escape(_DEAD_LETTERS)})?",
    re.ASCII,
)

#: Service Bus's own bounds.
MAX_NAME_CHARACTERS = 260
MAX_SUBSCRIPTION_CHARACTERS = 50

#: Of a name, in a sentence.
_SHOWN_CHARACTERS = 200


@dataclass(frozen=True)
class Entity:
    """In lower case: Service Bus's names have no case."""

    name: str
    subscription: str = ""
    #: The subqueue of what could not be processed.
    is_dead_letters: bool = False

    def __str__(self) -> str:
        subscription = f"{_SUBSCRIPTIONS}{self.subscription}" if self.subscription else ""
        return f"{self.name}{subscription}{_DEAD_LETTERS if self.is_dead_letters else ''}"

    @property
    def is_target(self) -> bool:
        """Whether something can be sent there."""
        return not (self.subscription or self.is_dead_letters)


def source(text: str) -> Entity:
    """To receive from. Raises CallError(REQUEST_INVALID)."""
    match = _PATH.fullmatch(text.lower()) if text.isascii() else None
    name, subscription = (match["name"], match["subscription"] or "") if match is not None else ("", "")
    if (
        match is None
        or len(name) > MAX_NAME_CHARACTERS
        or len(subscription) > MAX_SUBSCRIPTION_CHARACTERS
        or "subscriptions" in name.split("/")
    ):
        raise _invalid(
            f"{text[:_SHOWN_CHARACTERS]!r} cannot be the name of a Service Bus entity. Write a queue, or "
            "topic/subscriptions/name, or one of both with /$deadletterqueue behind it; names have up to 260 letters, "
            "digits, '.', '_', '-' or '/', of a subscription up to 50."
        )
    return Entity(name, subscription, bool(match["dead"]))


def target(text: str) -> Entity:
    """To send to. Raises CallError(REQUEST_INVALID)."""
    found = source(text)
    if not found.is_target:
        raise _invalid(f"Nothing can be sent to {str(found)!r}: send to the queue or topic {found.name!r}.")
    return found


def _invalid(sentence: str) -> CallError:
    return CallError(Status.INVALID_ARGUMENT, Reason.REQUEST_INVALID, sentence)
