"""Messages of the contract to and from the client library's."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from moorage.broker.services.servicebus.library import client
from moorage_proto import servicebus_pb2, value_pb2, values
from moorage_proto.errors import CallError, Reason, Status

log = logging.getLogger(__name__)

#: Of identifiers; Service Bus's own bound.
MAX_ID_CHARACTERS = 128

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
_IDS = ("message_id", "session_id", "reply_to_session_id", "partition_key")
_PROPERTY_TYPES = (str, int, float, bool, bytes, datetime, uuid.UUID)
_INTEGER_32, _INTEGER_64 = range(-(2**31), 2**31), range(-(2**63), 2**63)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def outgoing(message: servicebus_pb2.ServiceBusMessage) -> Any:
    """An ``azure.servicebus.ServiceBusMessage``. Raises CallError(REQUEST_INVALID)."""
    texts = {name: getattr(message, name) for name in _TEXTS if message.HasField(name)}
    for name in _IDS:
        if len(texts.get(name, "")) > MAX_ID_CHARACTERS:
            raise _invalid(f"its {name} has more than {MAX_ID_CHARACTERS} characters")
    lifetime = None
    if message.HasField("time_to_live_millis"):
        lifetime = _lifetime(message.time_to_live_millis)
    scheduled = None
    if message.HasField("scheduled_enqueue_time_millis"):
        scheduled = moment(message.scheduled_enqueue_time_millis)
    try:
        return client().ServiceBusMessage(
            message.body,
            application_properties=_properties(message.application_properties) or None,
            time_to_live=lifetime,
            scheduled_enqueue_time_utc=scheduled,
            **texts,
        )
    except ValueError as error:
        # The library's words on fields that do not go together; there is no address in them.
        raise _invalid(str(error)) from None


def moment(millis: int) -> datetime:
    """Raises CallError(REQUEST_INVALID)."""
    try:
        return _EPOCH + timedelta(milliseconds=millis)
    except OverflowError:
        raise _invalid("its time is out of range") from None


def received(message: Any, delivery: int) -> servicebus_pb2.ServiceBusReceivedMessage:
    """From an ``azure.servicebus.ServiceBusReceivedMessage``.

    Text in application properties comes as the library gives it: as bytes. Raises whatever reading a malformed message
    raises.
    """
    wire = servicebus_pb2.ServiceBusReceivedMessage(
        delivery=delivery,
        sequence_number=message.sequence_number or 0,
        delivery_count=message.delivery_count or 0,
        enqueued_time_millis=millis(message.enqueued_time_utc),
        state=int(message.state),
    )
    _fill_body(wire, message)
    for name in _TEXTS:
        found = getattr(message, name)
        if found is not None:
            setattr(wire.message, name, _text(found))
    for key, value in (message.application_properties or {}).items():
        wire.message.application_properties.entries.add(key=_text(key), value=_value(value))
    if message.time_to_live is not None:
        wire.message.time_to_live_millis = message.time_to_live // timedelta(milliseconds=1)
    if message.scheduled_enqueue_time_utc is not None:
        wire.message.scheduled_enqueue_time_millis = millis(message.scheduled_enqueue_time_utc)
    _fill_state(wire, message)
    return wire


def readable(messages: Iterable[Any]) -> list[servicebus_pb2.ServiceBusReceivedMessage]:
    """Of those that were only looked at; what cannot be read is left out."""
    found = []
    for message in messages:
        try:
            found.append(received(message, 0))
        except Exception:
            log.exception("a message that was peeked at cannot be read")
    return found


def _fill_body(wire: servicebus_pb2.ServiceBusReceivedMessage, message: Any) -> None:
    kinds = client().amqp.AmqpMessageBodyType
    if message.body_type is kinds.DATA:
        wire.message.body = b"".join(bytes(part) for part in message.body)
    elif message.body_type is kinds.VALUE:
        wire.value.CopyFrom(_value(message.body))
    else:
        wire.value.CopyFrom(_value([list(part) for part in message.body]))


def _fill_state(wire: servicebus_pb2.ServiceBusReceivedMessage, message: Any) -> None:
    """What the namespace says of it."""
    for name in ("locked_until", "expires_at"):
        at = getattr(message, f"{name}_utc")
        if at is not None:
            setattr(wire, f"{name}_millis", millis(at))
    for name in ("dead_letter_reason", "dead_letter_error_description", "dead_letter_source"):
        found = getattr(message, name)
        if found is not None:
            setattr(wire, name, _text(found))
    if message.enqueued_sequence_number is not None:
        wire.enqueued_sequence_number = message.enqueued_sequence_number
    if message.lock_token is not None:
        wire.lock_token = uuid.UUID(str(message.lock_token)).bytes


def _value(value: Any) -> value_pb2.Value:
    """What has no kind in the contract comes as text."""
    if isinstance(value, Mapping):
        value = {_text(key): item for key, item in value.items()}
    try:
        return values.to_wire(value)
    except values.ValueInvalid:
        return values.to_wire(str(value))


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def millis(at: datetime | None) -> int:
    return 0 if at is None else (at - _EPOCH) // timedelta(milliseconds=1)


def _properties(record: value_pb2.Record) -> dict[str, Any]:
    try:
        found = values.record_from_wire(record)
    except values.ValueInvalid as error:
        raise _invalid(str(error)) from None
    for key, value in found.items():
        if value is not None and not isinstance(value, _PROPERTY_TYPES):
            raise _invalid(f"its application property {key!r} is no text, number, bytes, UUID or time")
        if isinstance(value, int) and value not in _INTEGER_64:
            raise _invalid(f"its application property {key!r} does not fit into 64 bits")
        if isinstance(value, bytes) and not _is_text(value):
            # The library sends them as text.
            raise _invalid(f"its application property {key!r} has bytes that are no UTF-8; put such into the body")
    return {key: _typed(value) for key, value in found.items()}


def _typed(value: Any) -> Any:
    """The library takes any whole number for one of 32 bits, unless it is told otherwise."""
    if isinstance(value, int) and not isinstance(value, bool) and value not in _INTEGER_32:
        return {"TYPE": "LONG", "VALUE": value}
    return value


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _lifetime(lifetime_millis: int) -> timedelta:
    if not 0 < lifetime_millis < 2**32:
        raise _invalid("its time to live is not between a millisecond and 49 days")
    return timedelta(milliseconds=lifetime_millis)


def _invalid(problem: str) -> CallError:
    sentence = f"A Service Bus message cannot be sent: {problem}."
    return CallError(Status.INVALID_ARGUMENT, Reason.REQUEST_INVALID, sentence)
