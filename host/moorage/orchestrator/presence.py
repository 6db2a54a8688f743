"""Whether this host may take and begin work."""

from __future__ import annotations

from moorage.models.execution import TaskOutcome
from moorage.orchestrator import outcomes


class Presence:
    """Among the hosts of its store. Changed by the orchestrator alone."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.stopping = False
        #: Whether its lease is its own: without it, others may have what was this host's.
        self.leased = True

    @property
    def works(self) -> bool:
        return self.leased and not self.stopping

    @property
    def refusal(self) -> TaskOutcome | None:
        """Why nothing is accepted now; None: that depends on its installation."""
        if self.stopping:
            return outcomes.host_stopping()
        return None if self.leased else outcomes.no_lease()

    @property
    def call(self) -> TaskOutcome | None:
        """What is to become of all that has not begun; None: it waits for its turn."""
        if not self.leased:
            return outcomes.DISOWNED
        return outcomes.postponed() if self.stopping else None
