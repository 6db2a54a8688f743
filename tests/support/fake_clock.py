"""A clock that stands still until a test moves it."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


class FakeClock:
    def __init__(self) -> None:
        self._began = self._now = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
        self._set_by = timedelta(0)
        self._alarms: list[tuple[datetime, int, FakeAlarm]] = []
        self._numbers = itertools.count()

    def now(self) -> datetime:
        return self._now + self._set_by

    def elapsed(self) -> timedelta:
        return self._now - self._began

    def call_later(self, delay: timedelta, callback: Callable[[], None]) -> FakeAlarm:
        alarm = FakeAlarm(callback)
        heapq.heappush(self._alarms, (self._now + delay, next(self._numbers), alarm))
        return alarm

    def advance(self, **span: float) -> None:
        self._now += timedelta(**span)
        while self._alarms and self._alarms[0][0] <= self._now:
            _, _, alarm = heapq.heappop(self._alarms)
            alarm.ring()

    def set(self, now: datetime) -> None:
        """The wall clock is set; no time goes by, and no alarm rings."""
        self._set_by = now - self._now

    @property
    def pending(self) -> int:
        return sum(alarm.callback is not None for _, _, alarm in self._alarms)


@dataclass
class FakeAlarm:
    callback: Callable[[], None] | None

    def cancel(self) -> None:
        self.callback = None

    def ring(self) -> None:
        if self.callback is not None:
            self.callback()
