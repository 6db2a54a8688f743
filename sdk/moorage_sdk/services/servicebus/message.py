"""Messages with the attributes that Azure's library gives them, to and from the contract."""

from __future__ import annotations

import enum
from datetime import datetime, timedelta, timezone
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Union
from uuid import UUID

from moorage_proto import servicebus_pb2, values
from moorage_sdk.services.servicebus.errors import too_large

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MILLISECOND = timedelta(milliseconds=1)

_TEXTS = (
    "message_id",
    "session_id",
    "correlation_id",
    "content_type",
    "subject",
    "to",
    "reply_to",
    "reply_to_session_id",
    "partition_key",
)

#: What a batch may have; the namespace may take less.
MAX_BATCH_BYTES = 256 * 1024
#: About what a message takes in a batch beside its fields.
_MESSAGE_OVERHEAD_BYTES = 96

Wire = servicebus_pb2.ServiceBusMessage


class ServiceBusReceiveMode(str, enum.Enum):
    #: A message is locked until it is settled, or its lock expires.
    PEEK_LOCK = "peeklock"
    #: A message is gone from the entity when it is received.
    RECEIVE_AND_DELETE = "receiveanddelete"


class ServiceBusSubQueue(str, enum.Enum):
    DEAD_LETTER = "deadletter"


class ServiceBusMessageState(int, enum.Enum):
    ACTIVE = 0
    DEFERRED = 1
    SCHEDULED = 2


class ServiceBusMessage:
    """A message to send. Wherever one is taken, ``azure.servicebus.ServiceBusMessage`` is taken, too."""

    def __init__(
        self,
        body: Union[str, bytes, None],
        *,
        application_properties: Optional[Mapping[Any, Any]] = None,
        session_id: Optional[str] = None,
        message_id: Optional[str] = None,
        scheduled_enqueue_time_utc: Optional[datetime] = None,
        time_to_live: Optional[timedelta] = None,
        content_type: Optional[str] = None,
        correlation_id: Optional[str] = None,
        subject: Optional[str] = None,
        partition_key: Optional[str] = None,
        to: Optional[str] = None,
        reply_to: Optional[str] = None,
        reply_to_session_id: Optional[str] = None,
    ) -> None:
        """Text is sent as UTF-8. Application properties are text, numbers, bytes, UUIDs, times, True, False or None."""
        self._body = _bytes(b"" if body is None else body)
        self.application_properties: Optional[Dict[Any, Any]] = (
            None if application_properties is None else dict(application_properties)
        )
        self.session_id = session_id
        self.message_id = message_id
        self.scheduled_enqueue_time_utc = scheduled_enqueue_time_utc
        self.time_to_live = time_to_live
        self.content_type = content_type
        self.correlation_id = correlation_id
        self.subject = subject
        self.partition_key = partition_key
        self.to = to
        self.reply_to = reply_to
        self.reply_to_session_id = reply_to_session_id

    @property
    def body(self) -> Any:
        """The parts of the body, as bytes: ``b"".join(message.body)``."""
        return iter((self._body,))

    @property
    def body_type(self) -> str:
        return "data"

    def __str__(self) -> str:
        return self._body.decode(errors="replace")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(body={str(self)[:200]!r}, message_id={self.message_id!r})"


class ServiceBusReceivedMessage(ServiceBusMessage):
    """A message that was received or peeked at.

    As with Azure's library, keys and text of ``application_properties`` are bytes: ``{b"kind": b"order"}``.
    """

    def __init__(self, wire: servicebus_pb2.ServiceBusReceivedMessage) -> None:
        message = wire.message
        super().__init__(
            message.body,
            time_to_live=_duration(message, "time_to_live_millis"),
            scheduled_enqueue_time_utc=_optional_moment(message, "scheduled_enqueue_time_millis"),
            **{name: getattr(message, name) if message.HasField(name) else None for name in _TEXTS},
        )
        properties = values.record_from_wire(message.application_properties)
        self.application_properties = {key.encode(): _as_received(value) for key, value in properties.items()} or None
        self._value = values.from_wire(wire.value) if wire.HasField("value") else None
        self._has_value = wire.HasField("value")
        #: By which the host knows it; 0: it cannot be settled.
        self._delivery = wire.delivery
        self._settled = False
        self.sequence_number: int = wire.sequence_number
        self.delivery_count: int = wire.delivery_count
        self.enqueued_time_utc = moment(wire.enqueued_time_millis)
        self.locked_until_utc = _optional_moment(wire, "locked_until_millis")
        self.expires_at_utc = _optional_moment(wire, "expires_at_millis")
        self.lock_token = UUID(bytes=wire.lock_token) if wire.HasField("lock_token") else None
        self.dead_letter_reason = _optional(wire, "dead_letter_reason")
        self.dead_letter_error_description = _optional(wire, "dead_letter_error_description")
        self.dead_letter_source = _optional(wire, "dead_letter_source")
        self.enqueued_sequence_number = _optional(wire, "enqueued_sequence_number")
        self.state = ServiceBusMessageState(wire.state)

    @property
    def body(self) -> Any:
        """Parts of bytes; of a message with an AMQP value (``body_type`` "value"), that value."""
        return self._value if self._has_value else super().body

    @property
    def body_type(self) -> str:
        return "value" if self._has_value else "data"

    def __str__(self) -> str:
        return str(self._value) if self._has_value else super().__str__()


class ServiceBusMessageBatch:
    """Messages that are sent at once: all or none of them arrive."""

    def __init__(self, max_size_in_bytes: Optional[int] = None) -> None:
        self.max_size_in_bytes = min(max_size_in_bytes or MAX_BATCH_BYTES, MAX_BATCH_BYTES)
        self.size_in_bytes = 0
        self._messages: List[Wire] = []

    def add_message(self, message: Any) -> None:
        """Raises MessageSizeExceededError when there is no room for it; the batch stays as it was."""
        wire = to_wire(message)
        size = self.size_in_bytes + wire.ByteSize() + _MESSAGE_OVERHEAD_BYTES
        if size > self.max_size_in_bytes:
            raise too_large(size, self.max_size_in_bytes)
        self._messages.append(wire)
        self.size_in_bytes = size

    def __len__(self) -> int:
        return len(self._messages)

    def __iter__(self) -> Iterator[Wire]:
        return iter(self._messages)


def all_to_wire(messages: Any) -> List[Wire]:
    """Of one message, a sequence of them, or a batch. Raises TypeError, ValueError."""
    if isinstance(messages, ServiceBusMessageBatch):
        return list(messages)
    if isinstance(messages, Iterable) and not isinstance(messages, (str, bytes, ServiceBusMessage)):
        return [to_wire(message) for message in messages]
    return [to_wire(messages)]


def to_wire(message: Any) -> Wire:
    """Of this module's message or Azure's, by their common attributes. Raises TypeError, ValueError."""
    if not hasattr(message, "application_properties"):
        raise TypeError(f"a ServiceBusMessage is expected, not {type(message).__name__}")
    wire = Wire(body=_joined(message))
    for key, value in (message.application_properties or {}).items():
        name = key.decode() if isinstance(key, bytes) else key
        wire.application_properties.entries.add(key=name, value=values.to_wire(_sent(value)))
    for name in _TEXTS:
        value = getattr(message, name, None)
        if value is not None:
            setattr(wire, name, value.decode() if isinstance(value, bytes) else str(value))
    if message.time_to_live is not None:
        wire.time_to_live_millis = message.time_to_live // _MILLISECOND
    if message.scheduled_enqueue_time_utc is not None:
        wire.scheduled_enqueue_time_millis = millis(message.scheduled_enqueue_time_utc)
    return wire


def millis(at: datetime) -> int:
    """A time without a zone is UTC, as the attributes' names say."""
    aware = at.replace(tzinfo=timezone.utc) if at.tzinfo is None else at
    return (aware - _EPOCH) // _MILLISECOND


def moment(at_millis: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=at_millis)


def _optional_moment(wire: Any, name: str) -> Optional[datetime]:
    return moment(getattr(wire, name)) if wire.HasField(name) else None


def _optional(wire: servicebus_pb2.ServiceBusReceivedMessage, name: str) -> Any:
    return getattr(wire, name) if wire.HasField(name) else None


def _duration(message: Wire, name: str) -> Optional[timedelta]:
    return timedelta(milliseconds=getattr(message, name)) if message.HasField(name) else None


def _as_received(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


def _sent(value: Any) -> Any:
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.replace(tzinfo=timezone.utc)
    return value


def _joined(message: Any) -> bytes:
    kind = getattr(message, "body_type", "data")
    if getattr(kind, "value", kind) != "data":
        raise TypeError("only messages with a body of text or bytes can be sent")
    body = message.body
    if body is None or isinstance(body, (str, bytes)):
        return _bytes(b"" if body is None else body)
    return b"".join(_bytes(part) for part in body)


def _bytes(body: Any) -> bytes:
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, (bytes, bytearray, memoryview)):
        return bytes(body)
    raise TypeError(f"the body of a ServiceBusMessage is str or bytes, not {type(body).__name__}")
