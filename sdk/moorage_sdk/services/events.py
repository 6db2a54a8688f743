"""Events on the host's bus: published, subscribed to, and requests that somebody replies to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, AsyncIterator, Iterator, Optional, Tuple, Type, TypeVar, Union

from moorage_proto import events_pb2, values
from moorage_proto.methods import Method, service_methods
from moorage_sdk.channel import Channel, ReplyStream
from moorage_sdk.schema import shape_of
from moorage_sdk.schema.containers import plain
from moorage_sdk.services.base import Ask, Provided

Data = TypeVar("Data")

_METHODS = service_methods(events_pb2, "EventsService")
_PUBLISH: Method[events_pb2.PublishEventRequest, events_pb2.PublishEventReply] = _METHODS["publish"]
_REQUEST: Method[events_pb2.RequestEventRequest, events_pb2.RequestEventReply] = _METHODS["request"]
_SUBSCRIBE: Method[events_pb2.SubscribeEventsRequest, events_pb2.Event] = _METHODS["subscribe"]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Event:
    """One event as it arrived."""

    #: The same for all who receive it: to tell one that came twice.
    id: str
    topic: str
    #: Installation that published it; empty: the application.
    source: str
    #: Aware UTC.
    time: datetime
    #: Plain values: what was published, after it crossed.
    data: Any
    #: How many events of the subscription were lost before it, because they were not read in time.
    missed: int = 0

    def read(self, wanted: Type[Data]) -> Data:
        """The data as a dataclass, TypedDict or pydantic model. Raises ``Mismatch``, which says what does not fit."""
        read: Data = shape_of(wanted).read(self.data, "data")
        return read


class Subscription:
    """Events as they come: ``for event in ...`` in a thread, ``async for event in ...`` in a coroutine."""

    def __init__(self, stream: ReplyStream[events_pb2.Event]) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[Event]:
        return (from_wire(event) for event in self._stream)

    async def __aiter__(self) -> AsyncIterator[Event]:
        async for event in self._stream:
            yield from_wire(event)

    def close(self) -> None:
        """Ends it, from any thread; a loop over it ends. It ends with the task that it was opened in, too."""
        self._stream.close()

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Events:
    """Data are plain values, dataclasses, TypedDicts or pydantic models. Safe to use from several threads."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def publish(self, topic: str, data: Any = None) -> str:
        """Tells all who listen to the topic, now; returns the event's id. Nobody may be listening: that is no error."""
        return self._channel.call(_PUBLISH, _publish(topic, data)).id

    async def publish_async(self, topic: str, data: Any = None) -> str:
        """As ``publish``, for coroutines."""
        return (await self._channel.call_async(_PUBLISH, _publish(topic, data))).id

    def request(self, topic: str, data: Any = None, *, timeout: Union[float, timedelta] = 10.0) -> Any:
        """What the one who replies to the topic answers, as plain values. ``timeout`` in seconds.

        Raises BackendError when nobody replies to it, or what the one who does raised; DeadlineExceeded.
        """
        return _reply(self._channel.call(_REQUEST, _request(topic, data), timeout=_seconds(timeout)))

    async def request_async(self, topic: str, data: Any = None, *, timeout: Union[float, timedelta] = 10.0) -> Any:
        """As ``request``, for coroutines."""
        return _reply(await self._channel.call_async(_REQUEST, _request(topic, data), timeout=_seconds(timeout)))

    def subscribe(self, *topics: str) -> Subscription:
        """Events of these topics from now on; globs as in capabilities: ``track.*``.

        For as long as the task runs that opens it. What is to be called whenever an event comes is a handler:
        ``@plugin.on_event``.
        """
        return Subscription(self._channel.stream(_SUBSCRIBE, events_pb2.SubscribeEventsRequest(topics=topics)))


class EventsFace:
    """One for the worker's life; calls belong to the scope in which they are made."""

    provides: Tuple[str, ...] = ("moorage_sdk.services.events:Events",)
    per_scope = False
    capability_verbs: Tuple[str, ...] = ("events.publish", "events.request", "events.subscribe")

    def make(self, ask: Ask) -> Provided:
        return Provided(Events(ask.channel))


def from_wire(event: events_pb2.Event) -> Event:
    """Raises ValueInvalid for malformed data."""
    return Event(
        id=event.id,
        topic=event.topic,
        source=event.source,
        time=_EPOCH + timedelta(microseconds=event.time_micros),
        data=values.from_wire(event.data) if event.HasField("data") else None,
        missed=event.missed,
    )


def _publish(topic: str, data: Any) -> events_pb2.PublishEventRequest:
    return events_pb2.PublishEventRequest(topic=topic, data=values.to_wire(plain(data, "data")))


def _request(topic: str, data: Any) -> events_pb2.RequestEventRequest:
    return events_pb2.RequestEventRequest(topic=topic, data=values.to_wire(plain(data, "data")))


def _reply(reply: events_pb2.RequestEventReply) -> Any:
    return values.from_wire(reply.data) if reply.HasField("data") else None


def _seconds(timeout: Union[float, timedelta]) -> Optional[float]:
    return timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
