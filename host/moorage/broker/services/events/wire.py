"""Events as they cross: to workers, and to other hosts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from moorage.models.event import PluginEvent
from moorage_proto import events_pb2, values

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


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
    return PluginEvent(wire.id, wire.topic, wire.source, _EPOCH + wire.time_micros * _MICROSECOND, data)
