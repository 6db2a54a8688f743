"""Where the broker's decisions are written down."""

from __future__ import annotations

from typing import Protocol

from moorage.models.audit import AuditEntry
from moorage.models.installation import InstallationId


class AuditSink(Protocol):
    """Both methods return at once, from the event loop's thread; ``moorage.telemetry.audit.Audit`` is one."""

    def allowed(self, installation: InstallationId, actor: str, method: str, capability: str, execution: str) -> None:
        """A call passed. ``capability`` is empty where the rule needs none; ``actor`` is the incarnation's id."""

    def denied(self, entry: AuditEntry) -> None:
        """A call was refused. Every one is counted."""
