"""One task that writes in batches: at intervals, when woken, and when somebody waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

log = logging.getLogger(__name__)

#: Longest time that closing may wait for the last batch.
CLOSE_TIMEOUT = timedelta(seconds=5)


class Flusher:
    """Runs ``work`` over and over, never twice at one time. What raises is logged once, and tried again."""

    def __init__(self, name: str, work: Callable[[bool], Awaitable[None]], interval: timedelta) -> None:
        """``work`` is told whether somebody waits for all that there is."""
        self._name = name
        self._work = work
        self._interval_seconds = interval.total_seconds()
        self._task: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self._waiters: list[asyncio.Future[None]] = []
        self._closing = False
        self._failing = False

    def open(self) -> None:
        self._task = asyncio.create_task(self._run(), name=f"{self._name} flusher")

    async def close(self) -> None:
        """After one last batch. May be called twice."""
        self._closing = True
        self._woken.set()
        if self._task is None:
            return
        done, _ = await asyncio.wait((self._task,), timeout=CLOSE_TIMEOUT.total_seconds())
        if not done:
            log.error("%s: the last batch was not written within %s", self._name, CLOSE_TIMEOUT)
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._task = None

    def wake(self) -> None:
        """There is enough for a batch. On the event loop's thread."""
        self._woken.set()

    async def flush(self) -> None:
        """Returns when all that was there is written; raises what the work raised. After closing, nothing is there."""
        if self._task is None:
            return
        if self._closing:
            await asyncio.wait((self._task,))
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._woken.set()
        await waiter

    async def _run(self) -> None:
        while not self._closing:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval_seconds):
                    await self._woken.wait()
            self._woken.clear()
            await self._once()
        await self._once()

    async def _once(self) -> None:
        waiters, self._waiters = self._waiters, []
        try:
            await self._work(bool(waiters) or self._closing)
        except Exception as error:  # noqa: BLE001 - whatever a sink raises, the next batch must be tried
            self._complain(error)
            _settle(waiters, error)
        except asyncio.CancelledError:
            for waiter in waiters:
                waiter.cancel()
            raise
        else:
            self._failing = False
            _settle(waiters, None)

    def _complain(self, error: Exception) -> None:
        """Once for each outage: the disk that is full is often that of the host's own log."""
        if not self._failing:
            log.error("%s: writing failed, and is tried again: %s", self._name, error)
        self._failing = True


def _settle(waiters: list[asyncio.Future[None]], error: Exception | None) -> None:
    for waiter in waiters:
        if waiter.done():
            continue
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)
