"""What starts executions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from moorage.models.installation import InstallationId
from moorage.models.manifest import Trigger
from moorage.models.policy import Origin

#: "churn/nightly"; of one that selects its installations, its name alone: "nightly".
TriggerId = str


@dataclass(frozen=True)
class TriggerState:
    """What is stored of a trigger that counts at present, whoever declared it."""

    id: TriggerId
    trigger: Trigger
    #: Whose word it is; where several said something, the one that counts.
    origin: Origin
    #: Empty: it selects (``trigger.select``).
    installation: InstallationId = ""
    paused: bool = False
    paused_reason: str = ""
    paused_by: str = ""
    #: Of a schedule: when it fires next, if nothing pauses it. None: never again, or it is no schedule.
    next_at: datetime | None = None
    #: When it fired last; of a schedule, the time that it was due.
    last_at: datetime | None = None
    last_execution: str = ""
    #: Executions that it has started, over all time, and ticks or messages that it dropped by its own rules.
    fired: int = 0
    skipped: int = 0
    #: Why it does not work at present, as a sentence with the next step; empty: it does.
    problem: str = ""
    set_by: str = ""
    set_at: datetime | None = None


@dataclass(frozen=True)
class TriggerView:
    """For people."""

    state: TriggerState
    #: "active", "paused", "idle" (its installation may not run now), "not granted", "failing", "invalid".
    condition: str
    #: A sentence where the condition is not "active".
    reason: str = ""
    #: Of a schedule.
    next_runs: tuple[datetime, ...] = ()
    #: Where each part of it comes from: "source" -> Origin.
    origins: Mapping[str, Origin] = field(default_factory=dict)
    #: Of one that selects: those that it would run now.
    selected: tuple[InstallationId, ...] = ()
