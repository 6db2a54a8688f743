"""Where events meet those who listen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from types import SimpleNamespace

import pytest

from moorage.broker.services.events.hub import CAPACITY, CAPACITY_BYTES, MAX_DATA_BYTES, EventHub
from moorage.broker.services.events.service import MAX_SUBSCRIPTIONS, EventsService
from moorage.models.event import EventReply, PluginEvent, matches
from moorage_proto import events_pb2
from moorage_proto.errors import CallError, Reason

DEADLINE_SECONDS = 10


class Recorder:
    def __init__(self) -> None:
        self.events: list[PluginEvent] = []

    def offer(self, event: PluginEvent) -> None:
        self.events.append(event)


@pytest.mark.parametrize(
    ("pattern", "topic", "expected"),
    [
        ("track.playing", "track.playing", True),
        ("track.*", "track.playing", True),
        ("track.*", "track.a.b", False),
        ("track.**", "track.a.b", True),
        ("*", "track.playing", False),
        ("**", "track.playing", True),
        ("Track.playing", "track.playing", False),
    ],
)
def test_globs_are_those_of_capabilities(pattern: str, topic: str, expected: bool) -> None:
    assert matches(pattern, topic) is expected


async def test_all_who_listen_get_it_and_nobody_later() -> None:
    hub, recorder = EventHub(), Recorder()
    hub.attach(recorder)
    first, second = hub.subscribe("track.*"), hub.subscribe("other")
    event = hub.publish("track.playing", {"track": "x"}, source="player")
    late = hub.subscribe()
    hub.publish("other")
    async with asyncio.timeout(DEADLINE_SECONDS):
        assert await first.__anext__() == event
        assert (await second.__anext__()).topic == "other"
        assert (await late.__anext__()).topic == "other"
    assert [each.topic for each in recorder.events] == ["track.playing", "other"]
    assert (event.source, event.data) == ("player", {"track": "x"})


async def test_what_was_published_is_not_changed_by_its_publisher() -> None:
    hub = EventHub()
    data = {"list": [1]}
    event = hub.publish("a", data)
    data["list"].append(2)
    assert event.data == {"list": [1]}


async def test_a_slow_reader_loses_the_oldest_and_is_told() -> None:
    hub = EventHub()
    reader = hub.subscribe("a")
    for number in range(CAPACITY + 3):
        hub.publish("a", number)
    async with asyncio.timeout(DEADLINE_SECONDS):
        first, second = await reader.__anext__(), await reader.__anext__()
    assert (first.missed, first.data) == (3, 3)
    assert (second.missed, second.data) == (0, 4)


async def test_what_waits_for_a_slow_reader_is_bounded_by_its_memory_too() -> None:
    """Many small values take far more in Python than on the wire."""
    hub = EventHub()
    reader = hub.subscribe("a")
    for _ in range(3):
        hub.publish("a", [{}] * 10_000)
    for number in range(100):
        hub.publish("a", "x" * 10_000 if number < 99 else "last")
    async with asyncio.timeout(DEADLINE_SECONDS):
        found = [await reader.__anext__()]
        while found[-1].data != "last":
            found.append(await reader.__anext__())
    assert found[0].missed == 103 - len(found)
    assert sum(event.size_bytes for event in found) <= CAPACITY_BYTES
    assert 50 < len(found) < 110


async def test_subscriptions_of_one_installation_are_bounded_and_others_unharmed() -> None:
    service = EventsService(EventHub())
    guard = SimpleNamespace(require=lambda need: None, covers=lambda need: True)
    request = events_pb2.SubscribeEventsRequest(topics=["a"])

    def begin(name: str) -> asyncio.Task[events_pb2.Event]:
        streams.append(service.subscribe(SimpleNamespace(installation=name, guard=guard), request))  # type: ignore[arg-type]
        return asyncio.ensure_future(streams[-1].__anext__())

    streams: list[AsyncGenerator[events_pb2.Event, None]] = []
    waiting = [begin("churn") for _ in range(MAX_SUBSCRIPTIONS)]
    with pytest.raises(CallError, match="churn has 16 subscriptions") as refused:
        await begin("churn")
    assert refused.value.reason == Reason.QUOTA_EXCEEDED
    waiting.append(begin("other"))
    waiting[0].cancel()
    await asyncio.wait(waiting[:1])
    waiting.append(begin("churn"))
    for each in waiting[1:]:
        each.cancel()
    await asyncio.wait(waiting)


@pytest.mark.parametrize(
    ("topic", "data"), [("", None), ("a b", None), ("a.*", None), ("a", "x" * MAX_DATA_BYTES), ("a", object())]
)
async def test_what_is_no_event_is_refused(topic: str, data: object) -> None:
    hub = EventHub()
    with pytest.raises(CallError) as refused:
        hub.publish(topic, data)
    assert refused.value.reason == Reason.REQUEST_INVALID
    hub.publish("a", "x")


async def test_what_came_from_another_host_is_not_sent_back() -> None:
    hub, relay, other = EventHub(), Recorder(), Recorder()
    hub.attach(relay, other)
    event = EventHub().publish("a", 1)
    hub.arrived(event, by=relay)
    assert (relay.events, other.events) == ([], [event])


async def test_the_application_answers_before_plugins_do() -> None:
    class Plugins:
        async def reply(self, event: PluginEvent, timeout_seconds: float) -> EventReply | None:
            return EventReply("plugin", "p") if event.topic == "known" else None

    hub = EventHub()
    hub.attach(replier=Plugins())
    assert await hub.request("known", 1) == EventReply("plugin", "p")
    with pytest.raises(CallError, match="Nobody replies to unknown") as nobody:
        await hub.request("unknown")
    assert (nobody.value.reason, nobody.value.retryable) == (Reason.BACKEND_UNAVAILABLE, True)

    async def answer(event: PluginEvent) -> object:
        return event.data

    hub.respond("known", answer)
    assert await hub.request("known", [1]) == EventReply([1], "")
