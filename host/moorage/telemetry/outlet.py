"""One place that the audit is written to, and the entries that wait for it."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from moorage.models.audit import AuditEntry, AuditKind, SinkState
from moorage.models.installation import InstallationId
from moorage.telemetry.flusher import Flusher

#: Entries of one installation that may wait; more are counted without their details.
WAITING_PER_INSTALLATION = 2_000

#: Of these, so many are left for calls that are on their way when others are refused for want of room.
RESERVED_PER_INSTALLATION = 1_100

#: Entries written at one time.
BATCH = 500

#: A sink that has not taken a batch for so long counts as one that cannot be written.
PATIENCE_SECONDS = 15.0


class AuditSink(Protocol):
    async def append(self, entries: Sequence[AuditEntry]) -> None:
        """All or none, in this order. Raises where it cannot; the same entries come again then."""


class Outlet:
    """Never blocks, never grows without bound, and never loses a count: what cannot be kept in full is counted.

    On the event loop's thread, but for ``down``.
    """

    def __init__(
        self,
        name: str,
        sink: AuditSink,
        collect: Callable[[bool], None],
        *,
        now: Callable[[], datetime],
        interval: timedelta,
    ) -> None:
        """``collect`` is called before each batch, so that what was only counted until now comes with it; it is told
        whether somebody waits for all that there is.
        """
        self.name = name
        self._sink = sink
        self._collect = collect
        self._now = now
        self._flusher = Flusher(f"audit to {name}", self._write, interval)
        self._waiting: deque[AuditEntry] = deque()
        self._waiting_of: Counter[InstallationId] = Counter()
        self._overflow: Counter[tuple[AuditKind, InstallationId]] = Counter()
        self._counted = 0
        self._problem = ""
        self._since: datetime | None = None
        #: When the batch was handed over that is on its way; None: none is.
        self._began: float | None = None

    async def open(self) -> None:
        self._flusher.open()

    async def close(self) -> int:
        """Writes what is there; returns the number of entries that could not be. May be called twice."""
        await self._flusher.close()
        return sum(entry.count for entry in self._waiting) + sum(self._overflow.values())

    async def flush(self) -> None:
        """Returns when all that was kept before is written. Raises what the sink raises."""
        await self._flusher.flush()

    @property
    def down(self) -> bool:
        """Whether it cannot be written, as far as anybody knows. From any thread."""
        return bool(self._problem) or self._stalls

    @property
    def state(self) -> SinkState:
        problem, since = self._problem, self._since
        if not problem and self._stalls:
            problem, since = f"It has not taken a batch for {PATIENCE_SECONDS:g} s.", None
        return SinkState(self.name, problem, since, len(self._waiting), self._counted)

    def has_room(self, installation: InstallationId) -> bool:
        """For an entry of this installation in full."""
        return self._waiting_of[installation] < WAITING_PER_INSTALLATION

    def is_crowded(self, installation: InstallationId) -> bool:
        """Whether so much of this installation waits that not all may be kept in full that comes. From any thread."""
        return self._waiting_of[installation] > WAITING_PER_INSTALLATION - RESERVED_PER_INSTALLATION

    def keep(self, entry: AuditEntry) -> None:
        if not self.has_room(entry.installation):
            self._overflow[entry.kind, entry.installation] += entry.count
            self._counted += entry.count
            return
        self._waiting.append(entry)
        self._waiting_of[entry.installation] += 1
        if len(self._waiting) == BATCH:
            self._flusher.wake()

    @property
    def _stalls(self) -> bool:
        began = self._began
        return began is not None and time.monotonic() - began > PATIENCE_SECONDS

    async def _write(self, everything: bool) -> None:
        self._collect(everything)
        await self._write_waiting()
        self._tell_overflow()
        if everything:
            await self._write_waiting()

    async def _write_waiting(self) -> None:
        """What is waiting now: more may come while the sink works."""
        waiting = tuple(self._waiting)
        for start in range(0, len(waiting), BATCH):
            batch = waiting[start : start + BATCH]
            await self._append(batch)
            # Only now: a batch that the sink refused is tried again.
            for _ in batch:
                self._release(self._waiting.popleft().installation)

    async def _append(self, batch: Sequence[AuditEntry]) -> None:
        self._began = time.monotonic()
        try:
            await self._sink.append(batch)
        except Exception as error:
            if not self._problem:
                self._since = self._now()
            self._problem = str(error) or type(error).__name__
            raise
        finally:
            self._began = None
        self._problem, self._since = "", None

    def _tell_overflow(self) -> None:
        """Turns what was only counted into entries, as soon as there is room."""
        for (kind, installation), count in list(self._overflow.items()):
            if self.has_room(installation):
                del self._overflow[kind, installation]
                message = f"{count} came faster than they could be stored, and were only counted."
                self.keep(AuditEntry(self._now(), kind, installation, "host", "", message=message, count=count))

    def _release(self, installation: InstallationId) -> None:
        self._waiting_of[installation] -= 1
        if not self._waiting_of[installation]:
            del self._waiting_of[installation]


def utc_now() -> datetime:
    return datetime.now(UTC)
