"""Events as they cross: to workers, and to other hosts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from moorage.models.event import PluginEvent
from moorage_proto import events_pb2, value_pb2, values

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

#: What Python needs for one value beside its bytes on the wire.
_VALUE_BYTES = 64


def event_to_wire(event: PluginEvent) -> events_pb2.Event:
    return events_pb2.Event(
        id=event.id,
        topic=event.topic,
        source=event.source,
        time_micros=(event.time - _EPOCH) // _MICROSECOND,
        data=values.to_wire(event.data),
        missed=event.missed,
    )


def event_from_wire(wire: events_pb2.Event) -> PluginEvent:
    """Raises ValueInvalid."""
    data = values.from_wire(wire.data) if wire.HasField("data") else None
    time = _EPOCH + wire.time_micros * _MICROSECOND
    return PluginEvent(wire.id, wire.topic, wire.source, time, data, size_bytes=memory_of(wire.data))


def memory_of(data: value_pb2.Value) -> int:
    """Bytes that it takes once it is read, about. Raises ValueInvalid for more values than may come at once."""
    return data.ByteSize() + _VALUE_BYTES * values.check_parts((data,))
