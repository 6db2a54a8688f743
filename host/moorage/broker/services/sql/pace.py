"""CPU time that an installation's statements take in the host's own process, where no control group sees whose it is.

Before a statement, and every millisecond or so of it (``moorage_proto.sqlite_session``), its thread looks at the clock,
and waits while its installation has had more than its share: four threads that compute for a minute leave the event
loop, and the statements of others, their cores. Little work never waits: a quarter of a second may be used at once.
While no other installation calls, nobody waits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from moorage.models.installation import InstallationId

#: CPU time that may be used at once.
BURST_SECONDS = 0.25

#: CPU time that may be owed: of a writer, which does not wait while it writes, the rest is forgiven.
MOST_OWED_SECONDS = 0.25

#: What is done before and after a statement, such as planning it and making rows ready to be sent, counts so many
#: times: it holds the interpreter's lock, and with it everyone up.
LOCKED = 3.0

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
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._sleep = sleep
        #: CPU seconds that may be used at once; below 0 they are owed.
        self._left = BURST_SECONDS
        self._updated = clock()
        self._lock = threading.Lock()
        self._local = threading.local()

    def look(self, between: bool) -> bool:
        """Charges what this thread has used since it last looked. If that was too much it waits a little, and tells
        whether it should wait longer. ``between``: no statement runs, so that what was used was mostly Python's.
        """
        now = self._cpu_clock()
        used = now - getattr(self._local, "seen", now)
        self._local.seen = now
        debt_seconds = self._charge(used * LOCKED if between else used)
        if debt_seconds > 0:
            self._sleep(min(debt_seconds, LONGEST_WAIT_SECONDS))
        return debt_seconds > LONGEST_WAIT_SECONDS

    def _charge(self, used_seconds: float) -> float:
        """The seconds until it is paid."""
        crowded, now = self._crowded(), self._clock()
        with self._lock:
            left = min(BURST_SECONDS, self._left + (now - self._updated) * self._cores) - used_seconds
            self._updated = now
            # Nothing is owed for the time in which nobody else was there, and never more than is paid soon.
            self._left = max(left, -MOST_OWED_SECONDS) if crowded else BURST_SECONDS
            return max(0.0, -self._left / self._cores)


#: Of an installation; None: whatever its statements take.
PaceOf = Callable[[InstallationId], Pace | None]
