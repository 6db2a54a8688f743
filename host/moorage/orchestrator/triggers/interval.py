"""Times at a fixed distance from each other, as instants."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class Interval:
    """Real time: no zone and no daylight saving moves them. They keep their distance to the anchor, a tick that was
    computed before, so that neither restarts nor late firings nor steps of the clock shift the phase.
    """

    every: timedelta
    anchor: datetime

    def __post_init__(self) -> None:
        """Raises ValueError."""
        if self.every < timedelta(seconds=1):
            raise ValueError(f"{self.every} is too short; an interval is at least 1 s")

    def after(self, instant: datetime) -> datetime | None:
        """The next tick, strictly after. None: it is beyond the last year that there is."""
        try:
            return instant - (instant - self.anchor) % self.every + self.every
        except OverflowError:
            return None

    def last(self, after: datetime, until: datetime) -> datetime | None:
        """The last tick later than the one and not later than the other."""
        tick = until - (until - self.anchor) % self.every
        return tick if tick > after else None

    def count(self, after: datetime, until: datetime) -> int:
        """Ticks later than the one and not later than the other."""
        return (until - self.anchor) // self.every - (after - self.anchor) // self.every
