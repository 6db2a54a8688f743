"""The audit: what the gate decided and what people changed, on its way to where it is kept."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from moorage.config.audit import AuditSettings
from moorage.models.audit import AuditEntry, AuditKind, SinkState
from moorage.models.installation import InstallationId
from moorage.telemetry.outlet import AuditSink, Outlet, utc_now
from moorage.telemetry.plain import cut, neutralise
from moorage.telemetry.tally import Denials, Passages, minute_of

log = logging.getLogger(__name__)

#: Characters kept of each text.
TEXT_LIMIT = 1_000

#: Of each text, so many are looked through for secrets.
MASKED_CHARACTERS = 4 * TEXT_LIMIT

INTERVAL = timedelta(seconds=1)

#: Of the store, which `moorage audit` reads.
STORE = "store"


class Audit:
    """Never blocks, never grows without bound, and never loses a count: what cannot be kept in full is counted.

    Everything but ``open``, ``close`` and ``flush`` returns at once. On the event loop's thread, but for ``down``.
    Each sink has its own queue: one that fails or hangs takes nothing from the others.
    """

    def __init__(
        self,
        sink: AuditSink,
        policy: AuditSettings,
        *,
        further: Mapping[str, AuditSink] | None = None,
        now: Callable[[], datetime] = utc_now,
        interval: timedelta = INTERVAL,
        mask: Callable[[str], str] = str,
    ) -> None:
        """``sink`` is the store; ``further`` ones by the names that people see."""
        #: Takes secrets out of a text.
        self._mask = mask
        self._policy = policy.allowed
        self._fail_closed = policy.fail_closed
        self._now = now
        self._outlets = tuple(
            Outlet(name, each, self._collect, now=now, interval=interval)
            for name, each in {STORE: sink, **(further or {})}.items()
        )
        self._denials = Denials()
        self._passages = Passages()
        self._passages_minute = minute_of(now())

    async def open(self) -> None:
        for outlet in self._outlets:
            await outlet.open()

    async def close(self) -> None:
        """Writes what is there. May be called twice."""
        lost = await asyncio.gather(*(outlet.close() for outlet in self._outlets))
        for outlet, count in zip(self._outlets, lost, strict=True):
            if count:
                log.error(
                    "%d entries of the audit were not written to %s: %s", count, outlet.name, outlet.state.problem
                )

    @property
    def fail_closed(self) -> bool:
        """Whether calls are refused while it cannot be written, whatever their grant says."""
        return self._fail_closed

    @property
    def down(self) -> str:
        """Names of the sinks that cannot be written now; empty: all can. From any thread."""
        return ", ".join(outlet.name for outlet in self._outlets if outlet.down)

    def is_crowded(self, installation: InstallationId) -> bool:
        """Whether what comes of it now may only be counted, and not be kept in full. From any thread."""
        return any(outlet.is_crowded(installation) for outlet in self._outlets)

    @property
    def sinks(self) -> tuple[SinkState, ...]:
        """The store's first."""
        return tuple(outlet.state for outlet in self._outlets)

    def allowed(
        self,
        installation: InstallationId,
        actor: str,
        method: str,
        capability: str,
        execution: str = "",
        *,
        in_full: bool = False,
    ) -> None:
        """A call passed the gate; ``actor`` is the incarnation. ``in_full``: it is kept, whatever the policy."""
        if in_full or self._policy == "all":
            self._keep(
                AuditEntry(self._now(), AuditKind.ALLOWED, installation, actor, method, capability, "", execution)
            )
        elif self._policy == "counted":
            self._passages.add(installation, actor, method, capability[:TEXT_LIMIT])

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
        await self._outlets[0].flush()

    def _keep(self, entry: AuditEntry) -> None:
        if entry.time.tzinfo is None:
            raise ValueError(f"the time of an audit entry has no zone: {entry.time.isoformat()}")
        if any(outlet.has_room(entry.installation) for outlet in self._outlets):
            # What is counted only need not be made fit to be read.
            entry = self._plain(entry)
        for outlet in self._outlets:
            outlet.keep(entry)

    def _plain(self, entry: AuditEntry) -> AuditEntry:
        """Names of tables, topics and keys are a plugin's words: without secrets, harmless when shown, and bounded."""
        return replace(
            entry,
            actor=_text(entry.actor),
            action=_text(entry.action),
            capability=self._clean_capability(entry.capability),
            message=self._clean(entry.message),
        )

    def _clean_capability(self, text: str) -> str:
        """The verb is the contract's own word; whatever a plugin keeps as a secret, that is seen."""
        verb, colon, resource = text.partition(":")
        return f"{_text(verb)}{colon}{self._clean(resource)}"

    def _clean(self, text: str) -> str:
        # Before it is cut: of half a secret nothing would be recognised. But not all of what may be megabytes.
        shown = self._mask(neutralise(text[:MASKED_CHARACTERS]))
        gone = len(shown) + max(0, len(text) - MASKED_CHARACTERS) - TEXT_LIMIT
        return shown if gone <= 0 else f"{shown[:TEXT_LIMIT]} [{gone} characters cut]"

    def _collect(self, everything: bool) -> None:
        now = self._now()
        for entry in self._denials.take(now, everything=everything):
            self._keep(entry)
        if everything or minute_of(now) != self._passages_minute:
            self._passages_minute = minute_of(now)
            for entry in self._passages.take(now):
                self._keep(entry)


def _text(text: str) -> str:
    return cut(neutralise(text), TEXT_LIMIT)
