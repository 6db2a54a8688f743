"""The tasks of one source, and how it ends: with one failure for people, and in order although it is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn


class Crew:
    """Used on one event loop. Whoever makes it closes it."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.is_closed = False

    def start(self, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> asyncio.Task[None] | None:
        """None: it is closed, and nothing is begun any more."""
        if self.is_closed:
            return None
        task = asyncio.create_task(work(), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def failed(self) -> NoReturn:
        """Raises what the first of them raises that does not end well."""
        await asyncio.shield(self._failure)
        raise AssertionError("it is set to failures alone")

    async def close(self) -> None:
        """Cancels them, and waits for their ends. May be called twice."""
        self.is_closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._failure.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not self._failure.done():
            self._failure.set_exception(error)
            # It counts as told: who closes may not have asked.
            self._failure.exception()


async def settled(work: Coroutine[Any, Any, None], name: str) -> None:
    """Goes on whatever cancels it, so the work has to bound itself; a cancellation is passed on after it."""
    task = asyncio.create_task(work, name=name)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError as error:
            cancelled = error
    task.result()
    if cancelled is not None:
        raise cancelled
