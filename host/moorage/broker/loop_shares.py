"""The event loop's time, shared by all installations. No I/O.

Short turns alone (``moorage_proto.link.lane``) keep a flooding link from holding others up for long at one time. But a
call is answered in several steps, each a turn of the loop, and behind a link that always has more to read each step
waits. So the links of an installation that takes more than its share are read more slowly, as long as others are there:
it fills its own pipe, and its workers wait. While nobody else calls, nobody is held back.
"""

from __future__ import annotations

import time
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

Result = TypeVar("Result")

#: Of the loop's time, for one installation while others are active.
SHARE = 0.2

#: What reading calls takes, times this, is about what they take beside their handlers.
WHOLE_CALL = 2.0

#: What gRPC takes to read a batch and to write the answers, however small they are.
BATCH_SECONDS = 0.0001

#: Loop time that may be taken at once.
BURST_SECONDS = 0.02

#: Others count as active for so long after their last turn.
ACTIVE_SECONDS = 0.2

#: Longest pause at one time; beyond it nothing is owed.
LONGEST_PAUSE_SECONDS = 0.05


class LoopShares:
    """Of one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        #: Who had the last turn, when that was, and when any other had theirs.
        self._latest: LoopShare | None = None
        self._latest_at = self._others_at = -ACTIVE_SECONDS

    def share(self) -> LoopShare:
        """Of one more installation."""
        return LoopShare(self, self._clock())

    def turn(self, share: LoopShare) -> tuple[float, bool]:
        """Notes a turn; what time it is, and whether others are active."""
        now = self._clock()
        if share is not self._latest:
            self._latest, self._others_at = share, self._latest_at
        self._latest_at = now
        return now, now - self._others_at < ACTIVE_SECONDS

    def others_are_active(self, share: LoopShare) -> bool:
        """Without a turn of its own; from any thread."""
        others_at = self._others_at if share is self._latest else self._latest_at
        return self._clock() - others_at < ACTIVE_SECONDS


class LoopShare:
    """Called by links after each turn of reading, with the seconds that it took; the answer is how long to pause."""

    __slots__ = ("_left", "_shares", "_updated")

    def __init__(self, shares: LoopShares, now: float) -> None:
        self._shares = shares
        self._left = BURST_SECONDS
        self._updated = now

    def __call__(self, taken_seconds: float) -> float:
        now, others = self._shares.turn(self)
        earned = (now - self._updated) * SHARE
        self._left = min(BURST_SECONDS, self._left + earned) - taken_seconds * WHOLE_CALL - BATCH_SECONDS
        self._updated = now
        if self._left >= 0:
            return 0.0
        if not others:
            self._left = 0.0
            return 0.0
        pause = min(-self._left / SHARE, LONGEST_PAUSE_SECONDS)
        self._left = -pause * SHARE
        return pause

    @property
    def others_are_active(self) -> bool:
        return self._shares.others_are_active(self)

    def charge(self, taken_seconds: float) -> None:
        """For what was done for it beside reading."""
        self._left -= taken_seconds


@types.coroutine
def charged(work: Coroutine[Any, Any, Result], share: LoopShare) -> Generator[Any, Any, Result]:
    """Awaits the work; what its steps take of the loop is charged."""
    step = _sending(work, None)
    while True:
        began = time.perf_counter()
        try:
            waits_for = step()
        except StopIteration as ended:
            result: Result = ended.value
            return result
        finally:
            share.charge(time.perf_counter() - began)
        try:
            value = yield waits_for
        except BaseException as error:  # noqa: BLE001 - cancellation, and what a future raises, are the work's
            step = _throwing(work, error)
        else:
            step = _sending(work, value)


def _sending(work: Coroutine[Any, Any, Any], value: Any) -> Callable[[], Any]:
    return lambda: work.send(value)


def _throwing(work: Coroutine[Any, Any, Any], error: BaseException) -> Callable[[], Any]:
    return lambda: work.throw(error)
