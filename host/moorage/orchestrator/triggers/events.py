"""Events on the host's bus as triggers: each makes an execution, unlike the handlers of plugins.

The bus keeps nothing. What is published is offered to the source at once, and is an execution as soon as the store has
it; an event of the moments in between is lost with a host that dies, and so are the oldest of those that wait where
more come than can be taken. Those are counted: ``missed`` of the next one.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Protocol

from moorage.clock import Clock, SystemClock
from moorage.models.event import PluginEvent
from moorage.orchestrator.triggers.base import Door, Signal, SourceFailed
from moorage.orchestrator.triggers.beside import Beside, taken
from moorage_proto.errors import CallError

log = logging.getLogger(__name__)

#: Events that wait for one trigger; the hub bounds the memory that they take, too.
CAPACITY = 1_000


class Hub(Protocol):
    """Where events are published."""

    def subscribe(self, *patterns: str, capacity: int) -> AsyncGenerator[PluginEvent]:
        """Raises CallError for a pattern that is none."""


class EventSource:
    """Implements ``Source`` over events of one topic, globs allowed: "track.*"."""

    def __init__(self, hub: Hub, topic: str, *, clock: Clock | None = None) -> None:
        self._hub = hub
        self._topic = topic
        self._clock = clock or SystemClock()

    async def run(self, door: Door) -> None:
        beside = Beside(door)
        try:
            events = self._hub.subscribe(self._topic, capacity=CAPACITY)
        except CallError as error:
            raise SourceFailed(error.message) from error
        async with aclosing(events):
            try:
                async for event in events:
                    if event.missed:
                        log.warning("%d events of %s were lost: too many waited", event.missed, self._topic)
                    await beside.room()
                    beside.start(self._take(event, door), f"event {event.id}")
            finally:
                await beside.close()

    async def _take(self, event: PluginEvent, door: Door) -> None:
        await taken(door, Signal(event.id, record(event), f"{event.topic} {event.id}"), self._clock)


def record(event: PluginEvent) -> dict[str, Any]:
    """The fields of the SDK's ``EventMessage``."""
    return {
        "id": event.id,
        "topic": event.topic,
        "source": event.source,
        "time": event.time,
        "data": event.data,
        "missed": event.missed,
    }
