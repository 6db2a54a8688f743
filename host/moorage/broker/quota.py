"""How much an installation may ask for: calls and bytes for each second, and calls in flight. No I/O."""

from __future__ import annotations

import time
from collections.abc import Callable

from moorage.broker import refusals
from moorage.models.installation import InstallationId
from moorage.models.manifest import Limits

#: Of requests whose calls have not ended, together. Calls wait for threads, for locks, for each other: without this
#: bound a plugin could have the host keep a thousand of the largest messages for it. Each takes its size several times:
#: as it came, as it was read, and as SQLite has it.
MAX_BYTES_IN_FLIGHT = 32 * 1024 * 1024


class TokenBucket:
    """Fills at a steady rate up to its size, one second's worth.

    A single amount larger than the whole bucket passes when the bucket is full and leaves a debt, so that a large
    message is slow rather than impossible. Over any time span of ``t`` seconds what passes is at most
    ``size + rate * t``, plus what the last amount exceeded the size by.
    """

    __slots__ = ("_level", "_updated", "rate", "size")

    def __init__(self, rate: float, now: float) -> None:
        self.rate = rate
        self.size = max(1.0, rate)
        self._level = self.size
        self._updated = now

    def take(self, amount: float, now: float) -> bool:
        """Takes the amount, or takes nothing and returns False."""
        self._fill(now)
        if self._level < min(amount, self.size):
            return False
        self._level -= amount
        return True

    def charge(self, amount: float, now: float) -> float:
        """Takes the amount in any case; returns the seconds until the debt is paid, 0.0 when there is none."""
        self._fill(now)
        self._level -= amount
        return max(0.0, -self._level / self.rate)

    def _fill(self, now: float) -> None:
        elapsed = now - self._updated
        if elapsed > 0:
            self._level = min(self.size, self._level + elapsed * self.rate)
            self._updated = now


class Quota:
    """The quota of one installation; all links of its workers share it."""

    __slots__ = ("_bytes", "_calls", "_clock", "_installation", "_limits", "bytes_in_flight", "in_flight")

    def __init__(
        self, installation: InstallationId, limits: Limits, clock: Callable[[], float] = time.monotonic
    ) -> None:
        now = clock()
        self._installation = installation
        self._limits = limits
        self._clock = clock
        self._calls = TokenBucket(limits.calls_per_second, now)
        self._bytes = TokenBucket(limits.bytes_per_second, now)
        self.in_flight = 0
        self.bytes_in_flight = 0

    def relimit(self, limits: Limits) -> None:
        """Another version has other limits. What is in flight stays counted; the rates begin anew."""
        if limits != self._limits:
            now = self._clock()
            self._limits = limits
            self._calls = TokenBucket(limits.calls_per_second, now)
            self._bytes = TokenBucket(limits.bytes_per_second, now)

    def admit(self, size_bytes: int) -> None:
        """Counts a call in, with the size of its request; ``leave`` counts it out.

        Raises CallError(QUOTA_EXCEEDED); the call is not counted in then.
        """
        limits = self._limits
        now = self._clock()
        if self.in_flight >= limits.calls_in_flight:
            raise refusals.quota_exceeded(self._installation, "calls in flight", limits.calls_in_flight)
        if self.bytes_in_flight + size_bytes > MAX_BYTES_IN_FLIGHT:
            raise refusals.too_many_bytes_in_flight(self._installation, MAX_BYTES_IN_FLIGHT)
        if not self._calls.take(1.0, now):
            raise refusals.quota_exceeded(self._installation, "calls per second", limits.calls_per_second)
        if not self._bytes.take(size_bytes, now):
            raise refusals.quota_exceeded(self._installation, "bytes per second", limits.bytes_per_second)
        self.in_flight += 1
        self.bytes_in_flight += size_bytes

    def leave(self, size_bytes: int) -> None:
        """``size_bytes`` as it was admitted with."""
        self.in_flight -= 1
        self.bytes_in_flight -= size_bytes

    def charge(self, size_bytes: int) -> float:
        """Counts bytes of replies and stream items, which are slowed down rather than refused.

        Returns the seconds that a stream should wait before its next item.
        """
        return self._bytes.charge(size_bytes, self._clock())
