"""What plugin code sees of events, over the fake and over the host's bus behind a real link: the same."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator

import pytest
from service_worlds import FakeWorld, HostWorld, closing, in_scope

from moorage.broker.services.events import EventHub, EventsService
from moorage_sdk import BackendError, CapabilityMissing, MoorageError
from moorage_sdk.events import Events
from moorage_sdk.testing.events import FakeEvents

RIGHTS = ("events.publish:track.*", "events.request:price.*", "events.subscribe:track.**")


class FakeBus:
    """The fake brings what was put before, and ends."""

    def __init__(self) -> None:
        self.fake = FakeEvents()
        self.world = FakeWorld(self.fake)

    def topics(self) -> list[str]:
        return [event.topic for event in self.fake.published()]

    def answer(self, topic: str, answer: object) -> None:
        self.fake.answer(topic, answer)

    def first(self, events: Events, pattern: str, *publish: str) -> str:
        for topic in publish:
            self.fake.put(topic)
        return next(iter(events.subscribe(pattern))).topic


class HostBus:
    def __init__(self) -> None:
        self.hub = EventHub()
        self.world = HostWorld(EventsService(self.hub))
        self.seen: list[str] = []
        self.hub.attach(self)

    def offer(self, event: object) -> None:
        self.seen.append(event.topic)

    def topics(self) -> list[str]:
        return self.seen

    def answer(self, topic: str, answer: object) -> None:
        async def respond(_: object) -> object:
            return answer

        self.hub.respond(topic, respond)

    def first(self, events: Events, pattern: str, *publish: str) -> str:
        """Published again and again, as nobody is told when a subscription has begun."""
        subscription, found = events.subscribe(pattern), []
        reader = threading.Thread(target=lambda: found.append(next(iter(subscription))))
        reader.start()
        while reader.is_alive():
            for topic in publish:
                self.world.do(self._publish(topic))
            reader.join(0.01)
        subscription.close()
        return found[0].topic

    async def _publish(self, topic: str) -> None:
        self.hub.publish(topic)


@pytest.fixture(params=[FakeBus, HostBus], ids=["fake", "host"])
def bus(request: pytest.FixtureRequest) -> Iterator[FakeBus | HostBus]:
    made = request.param()
    with closing(made.world), in_scope():
        yield made


@pytest.fixture
def events(bus: FakeBus | HostBus) -> Events:
    return Events(bus.world.worker(*RIGHTS).channel)


def test_what_is_published_arrives(bus: FakeBus | HostBus, events: Events) -> None:
    assert events.publish("track.playing", {"n": 1}).startswith("ev-")
    assert bus.topics() == ["track.playing"]


@pytest.mark.parametrize("topic", ["other", "track.a.b", "trackxplaying"])
def test_a_topic_outside_the_grant_is_refused(bus: FakeBus | HostBus, events: Events, topic: str) -> None:
    with pytest.raises(CapabilityMissing, match=r"events\.publish"):
        events.publish(topic)
    with pytest.raises(CapabilityMissing, match=r"events\.request"):
        events.request(topic)
    assert bus.topics() == []


def test_a_request_is_answered(bus: FakeBus | HostBus, events: Events) -> None:
    with pytest.raises(BackendError, match="Nobody replies"):
        events.request("price.quote")
    bus.answer("price.quote", [1, None, "x"])
    assert events.request("price.quote", timeout=5) == [1, None, "x"]


def test_a_subscription_brings_what_matches(bus: FakeBus | HostBus, events: Events) -> None:
    assert bus.first(events, "track.a.*", "track.b.c", "track.a.b") == "track.a.b"


def test_a_subscription_outside_the_grant_is_refused(bus: FakeBus | HostBus, events: Events) -> None:
    with pytest.raises(CapabilityMissing, match=r"events\.subscribe"):
        next(iter(events.subscribe("other.*")))
    with pytest.raises(CapabilityMissing, match=r"events\.subscribe"):
        next(iter(events.subscribe("**")))


@pytest.mark.parametrize("pattern", ["", "a b", "a/b"])
def test_what_is_no_pattern_is_refused(bus: FakeBus | HostBus, pattern: str) -> None:
    events = Events(bus.world.worker("events.subscribe:**").channel)
    with pytest.raises(MoorageError, match="is no topic of events"):
        next(iter(events.subscribe(pattern)))


def test_a_wider_pattern_than_the_right_is_refused_or_filtered(bus: FakeBus | HostBus) -> None:
    events = Events(bus.world.worker("events.subscribe:track.*").channel)
    try:
        first = bus.first(events, "track.*", "track.a.b", "track.playing")
    except CapabilityMissing:
        return
    assert first == "track.playing"


def test_a_subscription_ends_with_its_scope() -> None:
    made = HostBus()
    with closing(made.world), in_scope():
        worker = made.world.worker(*RIGHTS)
        subscription = Events(worker.channel).subscribe("track.*")
        reading = threading.Thread(target=lambda: _ignored(subscription))
        reading.start()
        while not len(made.hub._readers):
            reading.join(0.01)
        worker.end(success=True)
        reading.join(10)
        assert not reading.is_alive()
        end = time.monotonic() + 10
        while len(made.hub._readers):
            assert time.monotonic() < end, "the hub still has its reader"
            gc.collect()


def _ignored(subscription: object) -> None:
    with pytest.raises(MoorageError):
        next(iter(subscription))


def test_a_subscription_ends_when_its_right_is_taken_back() -> None:
    made = HostBus()
    with closing(made.world), in_scope():
        worker = made.world.worker(*RIGHTS)
        subscription = Events(worker.channel).subscribe("track.*")
        reading = threading.Thread(target=lambda: _ignored(subscription))
        reading.start()
        while not len(made.hub._readers):
            reading.join(0.01)
        worker.set_grants("events.publish:track.*")
        reading.join(10)
        assert not reading.is_alive()
