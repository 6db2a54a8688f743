"""Time, as the host's parts see it; tests bring their own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Alarm(Protocol):
    def cancel(self) -> None:
        """It will not ring. Idempotent."""


class Clock(Protocol):
    def now(self) -> datetime:
        """Aware, UTC."""

    def elapsed(self) -> timedelta:
        """Since some moment in the past; it only grows, however the wall clock is set."""

    def call_later(self, delay: timedelta, callback: Callable[[], None]) -> Alarm:
        """Calls back on the event loop's thread, however the wall clock is set in between."""


class SystemClock:
    """The machine's."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def elapsed(self) -> timedelta:
        return timedelta(seconds=time.monotonic())

    def call_later(self, delay: timedelta, callback: Callable[[], None]) -> Alarm:
        return asyncio.get_running_loop().call_later(delay.total_seconds(), callback)


async def sleep(clock: Clock, delay: timedelta) -> None:
    rang = asyncio.Event()
    alarm = clock.call_later(delay, rang.set)
    try:
        await rang.wait()
    finally:
        alarm.cancel()
