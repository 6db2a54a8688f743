"""Signals that one source has in the door beside each other, as many as the door has slots."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

from moorage.clock import Clock, sleep
from moorage.orchestrator.triggers.base import Door, NotNow, Signal, Taken

#: Between two tries with a signal that was not taken: the first wait, doubled up to the last.
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=1), timedelta(seconds=30)


class Beside:
    """Whoever makes it closes it."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_idle(self) -> bool:
        return not self._tasks

    async def room(self) -> int:
        """Waits for a free slot; how many there are. Raises what one that was started has raised."""
        while True:
            for task in [task for task in self._tasks if task.done()]:
                self._tasks.discard(task)
                task.result()
            free = self._door.slots - len(self._tasks)
            if free > 0:
                return free
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """In a slot that ``room`` has told of."""
        self._tasks.add(asyncio.create_task(work, name=name))

    async def settled(self) -> None:
        """Until all have ended. Raises what one of them has raised."""
        while self._tasks:
            await asyncio.wait(self._tasks)
            await self.room()

    async def close(self) -> None:
        """Cancels them, and waits for their ends."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()


async def taken(door: Door, signal: Signal, clock: Clock) -> Taken:
    """Brings it until it is taken: for sources that cannot leave a signal where it is."""
    pause = FIRST_PAUSE
    while True:
        try:
            return await door.take(signal)
        except NotNow:
            await sleep(clock, pause)
            pause = min(2 * pause, LONGEST_PAUSE)
