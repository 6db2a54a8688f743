"""The audit: what the gate decided and what people changed, on its way to the store."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from moorage.config.audit import AuditSettings
from moorage.models.audit import AuditEntry, AuditKind
from moorage.models.installation import InstallationId
from moorage.telemetry.flusher import Flusher
from moorage.telemetry.plain import cut, neutralise
from moorage.telemetry.tally import Denials, Passages, minute_of

#: Entries of one installation that may wait for the store; more are counted without their details.
WAITING_PER_INSTALLATION = 2_000

#: Entries written at one time.
BATCH = 500

#: Characters kept of each text.
TEXT_LIMIT = 1_000

INTERVAL = timedelta(seconds=1)


class AuditSink(Protocol):
    async def append(self, entries: Sequence[AuditEntry]) -> None:
        """All or none, in this order."""


class Audit:
    """Never blocks, never grows without bound, and never loses a count: what cannot be kept in full is counted.

    Everything but ``open``, ``close`` and ``flush`` returns at once. On the event loop's thread.
    """

    def __init__(
        self,
        sink: AuditSink,
        policy: AuditSettings,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        interval: timedelta = INTERVAL,
        mask: Callable[[str], str] = str,
    ) -> None:
        self._sink = sink
        #: Takes secrets out of a text.
        self._mask = mask
        self._policy = policy.allowed
        self._now = now
        self._flusher = Flusher("audit", self._write, interval)
        self._denials = Denials()
        self._passages = Passages()
        self._passages_minute = minute_of(now())
        self._waiting: deque[AuditEntry] = deque()
        self._waiting_of: Counter[InstallationId] = Counter()
        self._overflow: Counter[tuple[AuditKind, InstallationId]] = Counter()

    async def open(self) -> None:
        self._flusher.open()

    async def close(self) -> None:
        """Writes what is there. May be called twice."""
        await self._flusher.close()

    def allowed(
        self, installation: InstallationId, actor: str, method: str, capability: str, execution: str = ""
    ) -> None:
        """A call passed the gate; ``actor`` is the incarnation."""
        if self._policy == "counted":
            self._passages.add(installation, actor, method, capability[:TEXT_LIMIT])
        elif self._policy == "all":
            self._keep(
                AuditEntry(self._now(), AuditKind.ALLOWED, installation, actor, method, capability, "", execution)
            )

    def denied(self, entry: AuditEntry) -> None:
        """A call was refused. The first of its kind in each minute is kept in full, the others are counted."""
        full = self._denials.add(self._plain(entry))
        if full is not None:
            self._keep(full)

    def record(self, entry: AuditEntry) -> None:
        """Something that is always kept in full: a person's action, a refused link."""
        self._keep(entry)

    async def flush(self) -> None:
        """Returns when all that was told before is in the store, counts included. Raises what the store raises."""
        await self._flusher.flush()

    def _keep(self, entry: AuditEntry) -> None:
        if entry.time.tzinfo is None:
            raise ValueError(f"the time of an audit entry has no zone: {entry.time.isoformat()}")
        if self._waiting_of[entry.installation] >= WAITING_PER_INSTALLATION:
            self._overflow[entry.kind, entry.installation] += entry.count
            return
        self._waiting.append(self._plain(entry))
        self._waiting_of[entry.installation] += 1
        if len(self._waiting) == BATCH:
            self._flusher.wake()

    def _plain(self, entry: AuditEntry) -> AuditEntry:
        """Names of tables, topics and keys are a plugin's words: without secrets, harmless when shown, and bounded."""
        return replace(
            entry,
            actor=_text(entry.actor),
            action=_text(entry.action),
            capability=self._clean(entry.capability),
            message=self._clean(entry.message),
        )

    def _clean(self, text: str) -> str:
        # Before it is cut: of half a secret nothing would be recognised.
        return cut(self._mask(neutralise(text)), TEXT_LIMIT)

    async def _write(self, everything: bool) -> None:
        self._collect(everything)
        await self._write_waiting()
        self._collect_overflow()
        if everything:
            await self._write_waiting()

    async def _write_waiting(self) -> None:
        """What is waiting now: more may come while the store works."""
        waiting = tuple(self._waiting)
        for start in range(0, len(waiting), BATCH):
            batch = waiting[start : start + BATCH]
            await self._sink.append(batch)
            # Only now: a batch that the store refused is tried again.
            for _ in batch:
                self._release(self._waiting.popleft().installation)

    def _collect(self, everything: bool) -> None:
        now = self._now()
        for entry in self._denials.take(now, everything=everything):
            self._keep(entry)
        if everything or minute_of(now) != self._passages_minute:
            self._passages_minute = minute_of(now)
            for entry in self._passages.take(now):
                self._keep(entry)

    def _collect_overflow(self) -> None:
        """Turns what was only counted into entries, as soon as there is room."""
        for (kind, installation), count in list(self._overflow.items()):
            if self._waiting_of[installation] < WAITING_PER_INSTALLATION:
                del self._overflow[kind, installation]
                message = f"{count} came faster than they could be stored, and were only counted."
                self._keep(AuditEntry(self._now(), kind, installation, "host", "", message=message, count=count))

    def _release(self, installation: InstallationId) -> None:
        self._waiting_of[installation] -= 1
        if not self._waiting_of[installation]:
            del self._waiting_of[installation]


def _text(text: str) -> str:
    return cut(neutralise(text), TEXT_LIMIT)
