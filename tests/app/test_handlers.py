"""Functions of the application that are told of events, well-behaved or not."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager

import pytest

from moorage.app import handlers as module
from moorage.app.handlers import CAPACITY, Handlers
from moorage.events.bus import EventBus
from moorage.events.events import Event, Removed, SwitchChanged
from moorage.models.switch import SwitchState

CHANGED = SwitchChanged("", SwitchState(), SwitchState(False))


def removed(name: str) -> Removed:
    return Removed(name, "dana")


@asynccontextmanager
async def announcing(handlers: Handlers):
    """The bus; at the end it is closed, and the handlers have been told of everything."""
    bus = EventBus()
    async with asyncio.timeout(20), handlers.listening(bus):
        yield bus
        bus.close()


async def test_each_is_told_of_its_own_kinds_in_order() -> None:
    handlers, removals, everything = Handlers(), [], []

    async def told(event: Event) -> None:
        await asyncio.sleep(0)
        everything.append(event)

    handlers.add(removals.append, (Removed,))
    handlers.add(told, (Event,))
    async with announcing(handlers) as bus:
        for event in (removed("a"), CHANGED, removed("b")):
            bus.announce(event)
    assert removals == [removed("a"), removed("b")]
    assert everything == [removed("a"), CHANGED, removed("b")]
    assert [(state.kinds, state.told) for state in handlers.states] == [(("Removed",), 2), (("Event",), 3)]


async def test_one_that_comes_later_is_told_from_then_on() -> None:
    handlers, told = Handlers(), []
    async with announcing(handlers) as bus:
        bus.announce(removed("a"))
        handlers.add(told.append, (Removed,))
        bus.announce(removed("b"))
    assert told == [removed("b")]


async def test_one_that_raises_is_logged_once_for_each_kind_and_counted(caplog) -> None:
    handlers, others = Handlers(), []

    def fail(event: Removed) -> None:
        raise {"a": LookupError, "b": LookupError, "c": ValueError}[event.installation]("oh")

    handlers.add(fail, (Removed,))
    handlers.add(others.append, (Removed,))
    async with announcing(handlers) as bus:
        for name in "abc":
            bus.announce(removed(name))
    assert [record.message.split(" failed")[0].endswith("fail") for record in caplog.records] == [True, True]
    assert (handlers.states[0].told, handlers.states[0].failed, len(others)) == (3, 3, 3)


async def test_one_that_is_slow_loses_the_oldest_and_holds_up_nobody() -> None:
    handlers, go, first, others = Handlers(), threading.Event(), asyncio.Event(), []
    loop = asyncio.get_running_loop()

    def slow(event: Removed) -> None:
        loop.call_soon_threadsafe(first.set)
        assert go.wait(20)

    handlers.add(slow, (Removed,))
    handlers.add(others.append, (SwitchChanged,))
    async with announcing(handlers) as bus:
        bus.announce(removed("0"))
        await first.wait()
        for number in range(CAPACITY + 7):
            bus.announce(removed(str(number)))
        bus.announce(CHANGED)
        while not others:
            await asyncio.sleep(0.001)
        go.set()
    assert (handlers.states[0].dropped, handlers.states[0].told) == (7, CAPACITY + 1)


@pytest.mark.parametrize("kind", ["thread", "coroutine"])
async def test_one_that_never_ends_does_not_keep_the_host_from_stopping(kind, monkeypatch, caplog) -> None:
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.05)
    hangs = threading.Event()

    async def sleep(event: Event) -> None:
        await asyncio.sleep(3600)

    handlers = Handlers()
    handlers.add((lambda event: hangs.wait(60)) if kind == "thread" else sleep, (Removed,))
    try:
        async with announcing(handlers) as bus:
            bus.announce(removed("a"))
    finally:
        hangs.set()
    assert "is waited for no more" in caplog.text
