"""A message of Service Bus as a task is given it: the fields of the SDK's ``ServiceBusMessage``."""

from __future__ import annotations

from typing import Any

from moorage.broker.services.servicebus import messages
from moorage.orchestrator.triggers.base import Signal
from moorage_proto import servicebus_pb2, values
from moorage_proto.servicebus_names import Entity


def record(message: Any, entity: Entity) -> dict[str, Any]:
    """From the library's. Raises whatever reading a malformed message raises."""
    wire = messages.received(message, 0)
    found = wire.message
    properties = values.record_from_wire(found.application_properties)
    return {
        "entity": str(entity),
        "body": found.body,
        "message_id": found.message_id,
        "sequence_number": wire.sequence_number,
        "delivery_count": wire.delivery_count,
        "enqueued_at": message.enqueued_time_utc,
        "application_properties": {name: _text(value) for name, value in properties.items()},
        "subject": found.subject,
        "content_type": found.content_type,
        "correlation_id": found.correlation_id,
        "reply_to": found.reply_to,
        "value": _value(wire),
    }


def signal(found: dict[str, Any]) -> Signal:
    """By the id that its sender gave it; of a message without one, by its number in the entity."""
    sender, number = found["message_id"], found["sequence_number"]
    return Signal(
        key=f"{found['entity']}/{sender}" if sender else f"{found['entity']}/#{number}",
        input=found,
        position=f"{found['entity']} #{number}",
    )


def _value(wire: servicebus_pb2.ServiceBusReceivedMessage) -> Any:
    return values.from_wire(wire.value) if wire.HasField("value") else None


def _text(value: Any) -> Any:
    """The library gives text in properties as bytes."""
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value
