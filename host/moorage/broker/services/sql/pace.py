"""CPU time that an installation's statements take in the host's own process, where no control group sees whose it is.

Before a statement, and every millisecond or so of it (``moorage_proto.sqlite_session``), its thread looks at the clock,
and waits while its installation has had more than its share: four threads that compute for a minute leave the event
loop, and the statements of others, their cores. Little work never waits: a quarter of a second may be used at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from moorage.broker.quota import TokenBucket

#: CPU time that may be used at once.
BURST_SECONDS = 0.25

#: Longest wait in one look: whoever stops the statement is heard after it.
LONGEST_WAIT_SECONDS = 0.05


class Pace:
    """Of one installation on one database; all methods are called in its threads."""

    def __init__(
        self,
        cores: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.thread_time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
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
        with self._lock:
            debt_seconds = self._bucket.charge(used, self._clock())
        if debt_seconds > 0:
            self._sleep(min(debt_seconds, LONGEST_WAIT_SECONDS))
        return debt_seconds > LONGEST_WAIT_SECONDS
