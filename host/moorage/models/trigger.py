"""What starts executions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from moorage.models.installation import InstallationId
from moorage.models.manifest import Trigger
from moorage.models.policy import Origin

#: "churn/nightly"; of one that selects its installations, its name alone: "nightly".
TriggerId = str

#: Kinds that are due at times of their own: ``next_at`` says when.
SCHEDULES = frozenset({"interval", "cron"})

#: Parts of a trigger that can be changed; any other name is that of an option.
_PARTS = frozenset({"source", "task", "input", "select"})


@dataclass(frozen=True)
class Declaration:
    """A trigger, in the words of the manifest, the settings, an application or a person."""

    id: TriggerId
    trigger: Trigger
    origin: Origin
    #: Empty: it selects.
    installation: InstallationId = ""
    #: Of a person's.
    by: str = ""


@dataclass(frozen=True)
class TriggerState:
    """What is stored of a trigger that counts at present, whoever declared it."""

    id: TriggerId
    #: As it counts: what was declared, with what people changed of it.
    trigger: Trigger
    #: Whose word it is; where several said something, the one that counts.
    origin: Origin
    #: Empty: it selects (``trigger.select``).
    installation: InstallationId = ""
    paused: bool = False
    paused_reason: str = ""
    paused_by: str = ""
    #: Of a schedule: the tick that is due next, if nothing pauses it; its jitter comes on top. In the past: a tick is
    #: waiting, or was missed. None: never again, not yet computed, or it is no schedule.
    next_at: datetime | None = None
    #: When it fired last; of a schedule, the time that it was due.
    last_at: datetime | None = None
    last_execution: str = ""
    #: Executions that it has started, over all time, and ticks or messages that it dropped by its own rules.
    fired: int = 0
    skipped: int = 0
    #: Why it does not work at present, as a sentence with the next step; empty: it does.
    problem: str = ""
    #: Who changed it last, of people.
    set_by: str = ""
    set_at: datetime | None = None
    #: As it was declared, where ``changes`` make it another; None: nobody changed it.
    declared: Trigger | None = None
    #: What people changed, by part: "source", "task", "input", "select", or an option's name.
    changes: Mapping[str, Any] = field(default_factory=dict)
    #: A person does not want what the manifest or the settings declare: it does not count.
    removed: bool = False
    #: The host that listens, of a source that one host alone may listen to; empty: none does.
    host: str = ""

    @property
    def is_schedule(self) -> bool:
        return self.trigger.kind in SCHEDULES


def with_changes(trigger: Trigger, changes: Mapping[str, Any]) -> Trigger:
    """The trigger with other parts; an option that is None is left out, so that its default counts."""
    options = {**trigger.options, **{name: value for name, value in changes.items() if name not in _PARTS}}
    parts = {name: value for name, value in changes.items() if name in _PARTS}
    return replace(trigger, options={name: value for name, value in options.items() if value is not None}, **parts)


@dataclass(frozen=True)
class TriggerView:
    """For people."""

    state: TriggerState
    #: "active", "paused", "idle" (its installation may not run now), "not granted", "failing", "invalid", "removed".
    condition: str
    #: A sentence where the condition is not "active".
    reason: str = ""
    #: Of a schedule.
    next_runs: tuple[datetime, ...] = ()
    #: Where each part of it comes from: "source" -> Origin.
    origins: Mapping[str, Origin] = field(default_factory=dict)
    #: Of one that selects: those that it would run now.
    selected: tuple[InstallationId, ...] = ()
