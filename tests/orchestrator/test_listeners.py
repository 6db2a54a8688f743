"""Who is called with an event, as the store and the workers tell."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from moorage.events.bus import EventBus
from moorage.events.events import GrantsChanged
from moorage.models.event import HandlerView, PluginEvent
from moorage.models.installation import DesiredState
from moorage.orchestrator.listeners import REPLY, SUBSCRIBE, Listeners
from moorage_proto.capability import Grants, parse

EVENT = PluginEvent("ev-1", "track.playing", "player", datetime.now(UTC), None)


class Store:
    """Of one installation; the test may hold up whoever reads."""

    def __init__(self) -> None:
        self.reads = 0
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.granted = Grants((parse("events.subscribe:**"), parse("events.reply:**")))
        self.installations = self.grants = self

    async def list(self) -> list[Any]:
        self.reads += 1
        await self.may_go_on.wait()
        return [SimpleNamespace(id="churn", desired=DesiredState(), code_hash="x")]

    async def effective(self, _: str) -> Grants:
        return self.granted


def made(store: Store, *handlers: HandlerView) -> tuple[Listeners, EventBus]:
    bus = EventBus()
    return Listeners(store, bus, lambda _: handlers or None), bus  # type: ignore[arg-type]  # what it needs of a store


async def test_it_is_known_at_once_until_something_changes() -> None:
    store = Store()
    listeners, bus = made(store)
    assert listeners.known(EVENT, verb=SUBSCRIBE) is None
    assert await listeners.of(EVENT, verb=SUBSCRIBE) == ["churn"]
    assert listeners.known(EVENT, verb=SUBSCRIBE) == ["churn"]
    store.granted = Grants()
    bus.announce(GrantsChanged("churn", 1, "dana"))
    assert listeners.known(EVENT, verb=SUBSCRIBE) is None
    assert await listeners.of(EVENT, verb=SUBSCRIBE) == []
    assert store.reads == 2


async def test_who_leaves_while_it_is_read_leaves_it_to_be_read() -> None:
    store = Store()
    listeners, _ = made(store)
    store.may_go_on.clear()
    leaving = asyncio.create_task(listeners.of(EVENT, verb=REPLY))
    while not store.reads:
        await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait((leaving,))
    store.may_go_on.set()
    assert await listeners.of(EVENT, verb=SUBSCRIBE) == ["churn"]


async def test_handlers_are_called_and_repliers_asked() -> None:
    listeners, _ = made(Store(), HandlerView("asked", "track.*", replies=True))
    assert await listeners.of(EVENT, verb=SUBSCRIBE) == []
    assert await listeners.of(EVENT, verb=REPLY) == ["churn"]
