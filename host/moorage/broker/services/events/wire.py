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
    wire = events_pb2.Event(
        id=event.id,
        topic=event.topic,
        source=event.source,
        time_micros=(event.time - _EPOCH) // _MICROSECOND,
        missed=event.missed,
    )
    if event.packed:
        wire.data.ParseFromString(event.packed)
    else:
        wire.data.CopyFrom(values.to_wire(event.data))
    return wire


def event_from_wire(wire: events_pb2.Event) -> PluginEvent:
    """Raises ValueInvalid."""
    data = wire.data if wire.HasField("data") else values.to_wire(None)
    return event_of(wire.id, wire.topic, wire.source, _EPOCH + wire.time_micros * _MICROSECOND, data)


def event_of(event_id: str, topic: str, source: str, time: datetime, data: value_pb2.Value) -> PluginEvent:
    """Raises ValueInvalid for malformed data, and for more values than may come at once."""
    packed = data.SerializeToString()
    size_bytes = 2 * len(packed) + _VALUE_BYTES * values.check_parts((data,))
    return PluginEvent(event_id, topic, source, time, values.from_wire(data), size_bytes=size_bytes, packed=packed)
