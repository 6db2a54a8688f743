"""Where the broker's decisions are written down."""

from __future__ import annotations

from typing import Protocol

from moorage.models.audit import AuditEntry
from moorage.models.installation import InstallationId


class AuditSink(Protocol):
    """Both methods return at once, from the event loop's thread; ``moorage.telemetry.audit.Audit`` is one."""

    @property
    def down(self) -> str:
        """Names of what cannot be written now; empty: everything can. From any thread."""

    def is_crowded(self, installation: InstallationId) -> bool:
        """Whether what comes of it now may only be counted, and not be kept in full. From any thread."""

    @property
    def fail_closed(self) -> bool:
        """Whether calls that take a capability are refused meanwhile, whatever their grant says."""

    def allowed(
        self,
        installation: InstallationId,
        actor: str,
        method: str,
        capability: str,
        execution: str,
        *,
        in_full: bool = False,
    ) -> None:
        """A call passed. ``capability`` is empty where the rule needs none; ``actor`` is the incarnation's id;
        ``in_full``: this very call is kept, whatever is kept of others.
        """

    def denied(self, entry: AuditEntry) -> None:
        """A call was refused. Every one is counted."""
