from __future__ import annotations

import asyncio
import gc
from dataclasses import dataclass

from moorage.events.bus import EventBus
from moorage.events.events import Event, GrantsChanged, Missed


@dataclass(frozen=True)
class Removed(Event):
    pass


@dataclass(frozen=True)
class StateChanged(Event):
    state: str


@dataclass(frozen=True)
class Broken(StateChanged):
    pass


async def test_a_subscriber_gets_what_it_asked_for_in_order() -> None:
    bus = EventBus()
    everything = bus.subscribe()
    some = bus.subscribe(StateChanged, GrantsChanged)
    announced = [StateChanged("churn", "ready"), Removed("churn"), GrantsChanged("churn", 2, "dana")]

    for event in announced:
        bus.announce(event)
    bus.close()

    assert [event async for event in everything] == announced
    assert [event async for event in some] == [announced[0], announced[2]]


async def test_a_class_of_events_includes_its_subclasses() -> None:
    bus = EventBus()
    changes = bus.subscribe(StateChanged)
    bus.announce(Removed("churn"))
    bus.announce(Broken("churn", "broken"))
    bus.close()
    assert [event async for event in changes] == [Broken("churn", "broken")]


async def test_a_slow_subscriber_is_told_what_it_missed() -> None:
    bus = EventBus()
    async with bus.subscribe(capacity=3) as slow:
        for number in range(10):
            bus.announce(Removed(str(number)))
        slow.close()

        assert [event async for event in slow] == [Missed("", 7), *(Removed(str(number)) for number in (7, 8, 9))]


async def test_a_waiting_subscriber_wakes() -> None:
    bus = EventBus()
    subscription = bus.subscribe()
    waiting = asyncio.ensure_future(subscription.__anext__())
    await asyncio.sleep(0)

    bus.announce(Removed("churn"))

    async with asyncio.timeout(5):
        assert await waiting == Removed("churn")


async def test_leaving_ends_the_subscription() -> None:
    bus = EventBus()
    async with bus.subscribe() as subscription:
        pass
    bus.announce(Removed("churn"))
    assert [event async for event in subscription] == []


async def test_a_forgotten_subscriber_costs_nothing() -> None:
    bus = EventBus()

    async def reads_one() -> Event:
        async for event in bus.subscribe():
            return event
        raise AssertionError

    waiting = asyncio.ensure_future(reads_one())
    await asyncio.sleep(0)
    assert len(bus._subscriptions) == 1
    bus.announce(Removed("churn"))
    await waiting
    gc.collect()
    assert len(bus._subscriptions) == 0
