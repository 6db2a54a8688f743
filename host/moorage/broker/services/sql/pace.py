"""CPU time that an installation's statements take in the host's own process, where no control group sees whose it is.

Before a statement, and every millisecond or so of it (``moorage_proto.sqlite_session``), its thread looks at the clock,
and waits while its installation has had more than its share: four threads that compute for a minute leave the event
loop, and the statements of others, their cores. Little work never waits: a quarter of a second may be used at once.
While no other installation calls, nobody waits.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from moorage.broker.quota import TokenBucket
from moorage.models.installation import InstallationId

#: CPU time that may be used at once.
BURST_SECONDS = 0.25

#: What making rows ready takes counts so many times more: it holds the interpreter's lock, and with it everyone.
LOCKED = 2.0

#: Longest wait in one look: whoever stops the statement is heard after it.
LONGEST_WAIT_SECONDS = 0.05


class Pace:
    """Of one installation on one database; all methods are called in its threads."""

    def __init__(
        self,
        cores: float,
        crowded: Callable[[], bool] = lambda: True,
        *,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.thread_time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """``crowded``: whether other installations call at the moment."""
        self._cores = cores
        self._crowded = crowded
        self._bucket = TokenBucket(cores, clock(), BURST_SECONDS)
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._local = threading.local()

    def look(self) -> bool:
        """Charges what this thread has used since it last looked. If that was too much it waits a little, and tells
        whether it should wait longer.
        """
        now = self._cpu_clock()
        used = now - getattr(self._local, "seen", now)
        self._local.seen = now
        debt_seconds = self._charge(used)
        if debt_seconds > 0:
            self._sleep(min(debt_seconds, LONGEST_WAIT_SECONDS))
        return debt_seconds > LONGEST_WAIT_SECONDS

    @contextlib.contextmanager
    def locking(self) -> Iterator[None]:
        """Around what holds the interpreter's lock for longer."""
        began = self._cpu_clock()
        try:
            yield
        finally:
            self._charge((self._cpu_clock() - began) * LOCKED)

    def _charge(self, used_seconds: float) -> float:
        """The seconds until it is paid."""
        crowded = self._crowded()
        with self._lock:
            if crowded:
                return self._bucket.charge(used_seconds, self._clock())
            # Nothing is owed for the time in which nobody else was there.
            self._bucket = TokenBucket(self._cores, self._clock(), BURST_SECONDS)
            return 0.0


#: Of an installation; None: whatever its statements take.
PaceOf = Callable[[InstallationId], Pace | None]
