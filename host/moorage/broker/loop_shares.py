"""The event loop's time, shared by the links of all workers. No I/O.

Short turns alone (``moorage_proto.link.lane``) keep a flooding link from holding others up for long at one time. But a
call is answered in several steps, each a turn of the loop, and behind a link that always has more to read each step
waits. So a link that takes more than its share is read more slowly, as long as others are there: it fills its own pipe,
and its worker waits. While nobody else calls, nobody is held back.
"""

from __future__ import annotations

import time
from collections.abc import Callable

#: Of the loop's time, for one link while others are active.
SHARE = 0.3

#: What reading a call takes, times this, is about what all of it takes: its handler, its answer, its audit.
WHOLE_CALL = 3.0

#: Loop time that may be taken at once.
BURST_SECONDS = 0.02

#: Others count as active for so long after their last turn.
ACTIVE_SECONDS = 0.2

#: Longest pause at one time: a link that was alone a moment ago owes nothing for it.
LONGEST_PAUSE_SECONDS = 0.05


class LoopShares:
    """Of one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        #: The link that had the last turn, when that was, and when any other had its last one.
        self._latest: LoopShare | None = None
        self._latest_at = self._others_at = -ACTIVE_SECONDS

    def share(self) -> LoopShare:
        """Of a new link."""
        return LoopShare(self, self._clock())

    def turn(self, link: LoopShare) -> tuple[float, bool]:
        """Notes a link's turn; what time it is, and whether another link is active."""
        now = self._clock()
        if link is not self._latest:
            self._latest, self._others_at = link, self._latest_at
        self._latest_at = now
        return now, now - self._others_at < ACTIVE_SECONDS


class LoopShare:
    """Called by a link's lanes after each turn, with the seconds that it took; the answer is how long to pause."""

    __slots__ = ("_left", "_shares", "_updated")

    def __init__(self, shares: LoopShares, now: float) -> None:
        self._shares = shares
        self._left = BURST_SECONDS
        self._updated = now

    def __call__(self, taken_seconds: float) -> float:
        now, others = self._shares.turn(self)
        self._left = min(BURST_SECONDS, self._left + (now - self._updated) * SHARE) - taken_seconds * WHOLE_CALL
        self._updated = now
        if self._left >= 0:
            return 0.0
        if not others:
            self._left = 0.0
            return 0.0
        pause = min(-self._left / SHARE, LONGEST_PAUSE_SECONDS)
        self._left = -pause * SHARE
        return pause
