"""Functions of the application that are told what has happened. They can neither block nor break the host."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from moorage.app.functions import called, name_of
from moorage.events.bus import EventBus
from moorage.events.events import Event, Missed
from moorage.events.subscription import Subscription

log = logging.getLogger(__name__)

#: Events that wait for one handler; further ones displace the oldest.
CAPACITY = 1_000

#: For what happened last handlers have so long when the host stops.
GRACE_SECONDS = 5.0


@dataclass(frozen=True)
class HandlerState:
    """How a handler does."""

    #: "shop.plugins.told".
    name: str
    kinds: tuple[str, ...]
    #: Events that it was told of, those among them that it raised at, and those that it was too slow for.
    told: int
    failed: int
    dropped: int


@dataclass(eq=False)
class _Handler:
    function: Callable[[Any], Any]
    kinds: tuple[type[Event], ...]
    told: int = 0
    dropped: int = 0
    #: By the class of what it raised.
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def name(self) -> str:
        return name_of(self.function)

    @property
    def state(self) -> HandlerState:
        kinds = tuple(kind.__name__ for kind in self.kinds)
        return HandlerState(self.name, kinds, self.told, self.failures.total(), self.dropped)

    async def follow(self, events: Subscription[Event]) -> None:
        async for event in events:
            if isinstance(event, Missed):
                self._drop(event.count)
            else:
                await self._tell(event)

    async def _tell(self, event: Event) -> None:
        self.told += 1
        try:
            await called(self.function, event)
        except Exception as error:
            kind = type(error).__name__
            self.failures[kind] += 1
            if self.failures[kind] == 1:
                log.exception("%s failed at %s; more of its %ss are only counted", self.name, event, kind)

    def _drop(self, count: int) -> None:
        if not self.dropped:
            log.warning("%s is too slow: events are dropped, and more of them are only counted", self.name)
        self.dropped += count


class Handlers:
    """Each has a queue of its own, and is told of one event at a time, in their order."""

    def __init__(self) -> None:
        self._handlers: list[_Handler] = []
        self._bus: EventBus | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, function: Callable[[Any], Any], kinds: tuple[type[Event], ...]) -> None:
        """Told of these from now on, or from when the host opens."""
        handler = _Handler(function, kinds)
        self._handlers.append(handler)
        if self._bus is not None:
            self._start(handler, self._bus)

    @property
    def states(self) -> tuple[HandlerState, ...]:
        """In the order in which they were registered."""
        return tuple(handler.state for handler in self._handlers)

    @contextlib.asynccontextmanager
    async def listening(self, bus: EventBus) -> AsyncIterator[None]:
        """To be left after the bus was closed: what was announced by then is still told, for a while."""
        self._bus = bus
        for handler in self._handlers:
            self._start(handler, bus)
        try:
            yield
        finally:
            self._bus = None
            await self._settle()

    def _start(self, handler: _Handler, bus: EventBus) -> None:
        events = bus.subscribe(*handler.kinds, capacity=CAPACITY)
        task = asyncio.create_task(handler.follow(events), name=f"handler {handler.name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _settle(self) -> None:
        if not self._tasks:
            return
        _, slow = await asyncio.wait(tuple(self._tasks), timeout=GRACE_SECONDS)
        for task in slow:
            log.warning("%s did not end with the host, and is waited for no more", task.get_name())
            task.cancel()
        if slow:
            await asyncio.wait(slow)
