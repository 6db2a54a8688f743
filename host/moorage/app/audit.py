"""What happened, for people: the stored audit, its chain, and the sinks that it goes to."""

from __future__ import annotations

from datetime import datetime

from moorage.app.wiring import Wiring
from moorage.models.audit import AuditEntry, AuditKind, ChainReport, SinkState


class AuditTrail:
    """Implements ``moorage.web.operations.AuditOperations``."""

    def __init__(self, parts: Wiring) -> None:
        self._parts = parts

    async def read(
        self,
        *,
        installation: str | None = None,
        kind: AuditKind | None = None,
        capability: str | None = None,
        actor: str | None = None,
        since: datetime | None = None,
        after: int = 0,
        limit: int = 200,
        oldest: bool = False,
    ) -> tuple[AuditEntry, ...]:
        """Oldest first, with ids greater than `after`; without it, the newest `limit`, or with ``oldest`` the first."""
        await self._parts.audit.flush()
        return await self._parts.store.audit.read(
            installation=installation,
            kind=kind,
            capability=capability,
            actor=actor,
            since=since,
            after=after,
            limit=limit,
            oldest=oldest,
        )

    async def verify(self) -> ChainReport:
        """Reads all that is stored, and follows its chain."""
        await self._parts.audit.flush()
        return await self._parts.store.audit.verify()

    async def sinks(self) -> tuple[SinkState, ...]:
        """Where it goes, and how that is."""
        return self._parts.audit.sinks
