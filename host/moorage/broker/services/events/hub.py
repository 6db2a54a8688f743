"""Where events meet those who listen. Who publishes does not know who receives; nothing is kept for later."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol

from moorage.broker.services.events.wire import event_of
from moorage.events.subscription import Subscription, Subscriptions
from moorage.models.event import EventReply, PluginEvent, matches
from moorage_proto import topics, value_pb2, values
from moorage_proto.errors import CallError, Reason, Status

#: Of one event's data, serialised. What waits for readers is memory of the host; larger things go by other ways.
MAX_DATA_BYTES = 64 * 1024

#: Events that wait for one slow reader, and the memory that they may take.
CAPACITY = 256
CAPACITY_BYTES = 1024 * 1024

#: For requests without a deadline of their own.
REPLY_SECONDS = 30.0

#: The application's answer to a request: given the event, returns plain values.
Responder = Callable[[PluginEvent], Awaitable[Any]]


class Receiver(Protocol):
    """What takes every event besides the subscriptions: the handlers of plugins, other hosts."""

    def offer(self, event: PluginEvent) -> None:
        """Never blocks."""


class Replier(Protocol):
    """Who asks plugins for a reply."""

    async def reply(self, event: PluginEvent, timeout_seconds: float) -> EventReply | None:
        """None: nobody replies to the topic. Raises CallError."""


class EventHub:
    """On the event loop's thread."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._readers: Subscriptions[PluginEvent] = Subscriptions(_lost, _size)
        self._receivers: list[Receiver] = []
        self._replier: Replier | None = None
        self._responders: dict[str, Responder] = {}

    def attach(self, *receivers: Receiver, replier: Replier | None = None) -> None:
        """From now on they are offered every event; ``replier`` asks plugins."""
        self._receivers += receivers
        self._replier = replier or self._replier

    def publish(self, topic: str, data: Any = None, source: str = "") -> PluginEvent:
        """To all who listen now. ``data``: plain values, or a Value that came over the wire.

        Raises CallError(REQUEST_INVALID) for a topic that is none, or too large data.
        """
        event = self._made(topic, data, source)
        self._spread(event)
        return event

    def arrived(self, event: PluginEvent, by: Receiver) -> None:
        """Of another host: as one that is published here, and not sent back the way it came."""
        self._spread(event, by)

    def _spread(self, event: PluginEvent, source: Receiver | None = None) -> None:
        self._readers.offer(event)
        for receiver in self._receivers:
            if receiver is not source:
                receiver.offer(event)

    def subscribe(self, *patterns: str, capacity: int = CAPACITY) -> AsyncGenerator[PluginEvent]:
        """Events of these topics from now on; none named: all. One who does not keep up loses the oldest, and
        ``missed`` of the next tells how many. Raises CallError(REQUEST_INVALID).
        """
        for pattern in patterns:
            check(topics.problem_of_pattern(pattern))
        wanted = patterns or ("**",)
        reader = self._readers.add(
            capacity, lambda event: any(matches(pattern, event.topic) for pattern in wanted), CAPACITY_BYTES
        )
        return _counted(reader)

    def respond(self, topic: str, responder: Responder) -> None:
        """Requests to the topic are the application's to answer, from now on."""
        check(topics.problem_of(topic))
        self._responders[topic] = responder

    async def request(
        self, topic: str, data: Any = None, *, source: str = "", timeout_seconds: float = REPLY_SECONDS
    ) -> EventReply:
        """Raises CallError: nobody replies, or what became of the one who does."""
        event = self._made(topic, data, source)
        responder = self._responders.get(topic)
        if responder is not None:
            return EventReply(values.from_wire(to_wire(await responder(event))), "")
        reply = await self._replier.reply(event, timeout_seconds) if self._replier is not None else None
        if reply is None:
            sentence = (
                f"Nobody replies to {topic}: no enabled plugin that handles it was granted events.reply:{topic}, and"
                " neither does the application."
            )
            raise CallError(Status.UNAVAILABLE, Reason.BACKEND_UNAVAILABLE, sentence, retryable=True)
        return reply

    def close(self) -> None:
        self._readers.close()

    def _made(self, topic: str, data: Any, source: str) -> PluginEvent:
        check(topics.problem_of(topic))
        try:
            # As those who receive it will see it: after the way over the wire.
            return event_of(f"ev-{secrets.token_hex(6)}", topic, source, self._now(), to_wire(data))
        except values.ValueInvalid as error:
            raise _invalid(f"The data of an event cannot be read: {error}.") from None


def to_wire(data: Any) -> value_pb2.Value:
    """Raises CallError(REQUEST_INVALID) for what cannot cross or is too large."""
    try:
        wire = data if isinstance(data, value_pb2.Value) else values.to_wire(data)
    except values.ValueInvalid as error:
        raise _invalid(f"The data of an event cannot cross: {error}.") from None
    if (size := wire.ByteSize()) > MAX_DATA_BYTES:
        raise _invalid(f"The data of an event take at most {MAX_DATA_BYTES:,} bytes; these have {size:,}.")
    return wire


def check(problem: str) -> None:
    if problem:
        raise _invalid(problem)


def _invalid(sentence: str) -> CallError:
    return CallError(Status.INVALID_ARGUMENT, Reason.REQUEST_INVALID, sentence)


def _size(event: PluginEvent) -> int:
    return event.size_bytes


def _lost(count: int) -> PluginEvent:
    """Stands for so many; never leaves this file."""
    return PluginEvent("", "", "", datetime.min.replace(tzinfo=UTC), None, missed=count)


async def _counted(reader: Subscription[PluginEvent]) -> AsyncGenerator[PluginEvent]:
    missed = 0
    async with reader:
        async for event in reader:
            if not event.id:
                missed += event.missed
            else:
                yield replace(event, missed=missed) if missed else event
                missed = 0
