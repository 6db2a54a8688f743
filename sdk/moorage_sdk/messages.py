"""What a trigger brings, as the input of the task that it starts: ``def execute(message: KafkaMessage)``.

A task that takes no input runs without it; one whose input has another type is given the payload alone. So a task that
takes an ``Order`` works for a person who gives one, and for a topic on which orders come as JSON.
"""

from __future__ import annotations

import dataclasses
import json
import typing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Dict, List, Mapping, Optional, Tuple, Type, TypeVar

from moorage_sdk.schema import shape_of

__all__ = [
    "ChannelMessage",
    "Ended",
    "EventMessage",
    "KafkaMessage",
    "RedisMessage",
    "ServiceBusMessage",
    "Tick",
    "WebhookRequest",
]

Wanted = TypeVar("Wanted")


class Message:
    """What all of them have."""

    def json(self) -> Any:
        """What it carries, as plain values. Raises ValueError where that is no JSON."""
        raise NotImplementedError

    def read(self, wanted: Type[Wanted]) -> Wanted:
        """What it carries as a dataclass, TypedDict or pydantic model; of JSON as text or ``bytes``, too.

        Raises ValueError, which says what does not fit.
        """
        read: Wanted = shape_of(wanted).read(self.payload(wanted), "payload")
        return read

    def payload(self, wanted: Any) -> Any:  # noqa: ARG002 - bodies look at it
        """Plain values for an input of that type. Raises ValueError."""
        return self.json()


class _WithBody(Message):
    def _body(self) -> Optional[bytes]:
        """None: there is none."""
        raise NotImplementedError

    def json(self) -> Any:
        body = self._body()
        try:
            return None if body is None else json.loads(body)
        except RecursionError:
            raise ValueError("it is nested too deep") from None

    def payload(self, wanted: Any) -> Any:
        body = self._body()
        if wanted is bytes or body is None:
            return body
        return body.decode() if wanted is str else self.json()


@dataclass(frozen=True)
class Tick(Message):
    """Of a schedule. It carries nothing: a task of another input is given its defaults."""

    #: When it was due; aware UTC, as all instants here.
    scheduled_at: datetime
    #: When it really fired.
    fired_at: datetime
    #: Ticks before it that were due and did not fire.
    missed: int = 0
    #: Id of the schedule: "churn/nightly".
    trigger: str = ""

    def json(self) -> Any:
        return None


@dataclass(frozen=True)
class KafkaMessage(_WithBody):
    topic: str
    partition: int
    offset: int
    key: Optional[bytes] = None
    #: None: a tombstone.
    value: Optional[bytes] = None
    #: In their order; a name may come twice.
    headers: List[Tuple[str, Optional[bytes]]] = field(default_factory=list)
    timestamp: Optional[datetime] = None

    def _body(self) -> Optional[bytes]:
        return self.value


@dataclass(frozen=True)
class RedisMessage(Message):
    """An entry of a stream. It carries its fields, as text where they are UTF-8."""

    stream: str
    #: "1732094400000-0"
    id: str
    fields: Dict[str, bytes] = field(default_factory=dict)

    def json(self) -> Any:
        return {name: _text(value) for name, value in self.fields.items()}


@dataclass(frozen=True)
class ChannelMessage(_WithBody):
    """What was published on a channel of Redis."""

    channel: str
    data: bytes = b""
    #: By which it was subscribed to; empty: by its name.
    pattern: str = ""

    def _body(self) -> Optional[bytes]:
        return self.data


@dataclass(frozen=True)
class ServiceBusMessage(_WithBody):
    """From a queue or a subscription of Azure Service Bus."""

    #: "orders", or "orders/subscriptions/billing".
    entity: str
    body: bytes = b""
    message_id: str = ""
    sequence_number: int = 0
    #: How often it was handed out before; more than 0: it came again.
    delivery_count: int = 0
    enqueued_at: Optional[datetime] = None
    application_properties: Dict[str, Any] = field(default_factory=dict)
    subject: str = ""
    content_type: str = ""
    correlation_id: str = ""
    reply_to: str = ""
    #: Of a message whose body is a value of AMQP's rather than bytes.
    value: Any = None

    def _body(self) -> Optional[bytes]:
        return self.body

    def json(self) -> Any:
        return self.value if self.value is not None else super().json()

    def payload(self, wanted: Any) -> Any:
        return self.value if self.value is not None else super().payload(wanted)


@dataclass(frozen=True)
class EventMessage(Message):
    """An event on the host's bus; it carries its data."""

    #: The same for all who receive it.
    id: str
    topic: str
    #: Installation that published it; empty: the application.
    source: str
    time: datetime
    data: Any = None
    #: Events of the trigger that were lost before it, because too many waited.
    missed: int = 0

    def json(self) -> Any:
        return self.data


@dataclass(frozen=True)
class WebhookRequest(_WithBody):
    method: str
    #: "/v1/webhooks/churn/github"
    path: str
    #: A name may come several times.
    query: Dict[str, List[str]] = field(default_factory=dict)
    #: Names in small letters. The signature is not among them.
    headers: Dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def _body(self) -> Optional[bytes]:
        return self.body


@dataclass(frozen=True)
class Ended(Message):
    """The outcome of another execution; it carries its result."""

    installation: str
    task: str
    #: Its id.
    execution: str
    #: "succeeded", "failed", "timed_out", "crashed", "cancelled", "rejected" or "abandoned".
    state: str
    result: Any = None
    #: Empty: it succeeded. "LookupError" and "no users", for example.
    error_type: str = ""
    error: str = ""
    plugin: str = ""
    version: str = ""
    #: Tries that it took.
    attempt: int = 1
    ended_at: Optional[datetime] = None
    #: Ids of the triggers by which it has itself followed on outcomes, the first one first: "churn/report".
    chain: List[str] = field(default_factory=list)

    def json(self) -> Any:
        return self.result


#: By the names of their fields, of which no two have the same.
_MESSAGES: Dict[Any, Type[Message]] = {
    frozenset(one.name for one in dataclasses.fields(message)): message
    for message in (
        Tick,
        KafkaMessage,
        RedisMessage,
        ChannelMessage,
        ServiceBusMessage,
        EventMessage,
        WebhookRequest,
        Ended,
    )
}


def brought(value: Any) -> Optional[Message]:
    """The message that a trigger's record is; None: it is none, but an input that was written down for the task.

    Raises Mismatch for one with the fields of a message and other values.
    """
    found = _MESSAGES.get(frozenset(value)) if isinstance(value, Mapping) else None
    if found is None:
        return None
    message: Message = shape_of(found).read(value, "input")
    return message


def takes_whole(annotation: Any) -> bool:
    """Whether a parameter of this type is given the message, and not its payload."""
    if isinstance(annotation, type) and issubclass(annotation, Message):
        return True
    return any(takes_whole(one) for one in typing.get_args(annotation))


def _text(value: bytes) -> Any:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value
