"""One time at which a schedule is due."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from moorage.models.installation import InstallationId
from moorage.models.trigger import TriggerId


@dataclass(frozen=True)
class Tick:
    """What is fired; instants are aware and in UTC."""

    trigger: TriggerId
    #: As the schedule says, without jitter.
    scheduled_at: datetime
    fired_at: datetime
    #: Ticks before it that were missed, and that it stands for.
    missed: int = 0

    def key(self, installation: InstallationId = "") -> str:
        """The idempotency key of its execution: one for each tick, of a selecting trigger for each installation."""
        at = self.scheduled_at.isoformat().replace("+00:00", "Z")
        return f"{self.trigger}@{at}" + (f"@{installation}" if installation else "")

    @property
    def input(self) -> dict[str, Any]:
        """What the task is told, where the trigger names no input of its own."""
        return {
            "trigger": self.trigger,
            "scheduled_at": self.scheduled_at,
            "fired_at": self.fired_at,
            "missed": self.missed,
        }
