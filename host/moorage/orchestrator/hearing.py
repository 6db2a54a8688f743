"""What is announced of installations, and lets their executions wait or go on."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

from moorage.events.bus import EventBus
from moorage.events.events import DesiredChanged, Event, GrantsChanged, Installed, Loaded, Missed, Removed
from moorage.orchestrator.queues import Queues


class Hearing:
    """Hears from ``open`` to ``close``."""

    def __init__(self, events: EventBus, queues: Queues) -> None:
        self._events = events
        self._queues = queues
        self.task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """May be called twice."""
        if self.task is None:
            self.task = asyncio.create_task(self._hear(), name="executions of installations that may run again")

    def close(self) -> None:
        """May be called twice."""
        if self.task is not None:
            self.task.cancel()

    async def _hear(self) -> None:
        async with contextlib.aclosing(
            self._events.subscribe(DesiredChanged, GrantsChanged, Installed, Loaded, Removed)
        ) as subscription:
            async for event in subscription:
                self._heard(event)

    def _heard(self, event: Event) -> None:
        if isinstance(event, Missed):
            self._queues.unhinder_all()
            return
        known = self._queues.known(event.installation)
        if known is not None and isinstance(event, Installed):
            self._queues.line(event.now)
        elif known is not None and isinstance(event, DesiredChanged):
            self._queues.line(replace(known, desired=event.after))
        self._queues.unhinder(event.installation)
