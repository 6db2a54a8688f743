"""What people and API clients are shown: answers of the host's operations."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Mapping

from moorage.models.event import HandlerView
from moorage.models.extensions import ImplementationView
from moorage.models.health import Condition
from moorage.models.incarnation import IncarnationStatus
from moorage.models.installation import Installation
from moorage.models.levels import LevelSetting
from moorage.models.usage import Usage


@dataclass(frozen=True)
class GrantView:
    capability: str
    because: str
    required: bool
    granted: bool
    #: Who granted it, and when; empty: not granted.
    granted_by: str = ""
    granted_at: datetime | None = None
    #: What granting it means, in a sentence.
    meaning: str = ""
    #: It takes effect when a worker starts, and not with the next call.
    widens_sandbox: bool = False
    #: The deny rule that takes it away whole; empty: none does.
    denied_by: str = ""
    #: False: it was granted, and the manifest does not ask for it (any more), so that it has no effect.
    requested: bool = True
    #: Calls under it are refused while the audit cannot be written.
    fail_closed: bool = False
    #: Calls that it allowed since it was granted, and the last of them.
    uses: int = 0
    used_at: datetime | None = None


@dataclass(frozen=True)
class DenialView:
    """A deny rule: it beats every grant."""

    capability: str
    because: str
    denied_by: str
    denied_at: datetime
    meaning: str = ""


@dataclass(frozen=True)
class GrantPreview:
    """What granting something would come to."""

    #: Each with its sentence.
    capabilities: tuple[tuple[str, str], ...]
    #: What is to be said aloud, and does not hold already.
    dangers: tuple[str, ...]


@dataclass(frozen=True)
class TaskView:
    name: str
    summary: str
    input_schema: Mapping[str, Any]
    result_schema: Mapping[str, Any]


@dataclass(frozen=True)
class ContributionsView:
    """What a plugin brings, besides the triggers of its manifest and what it implements of extension points."""

    tasks: tuple[TaskView, ...] = ()
    #: Functions that are called with events, and that reply to requests.
    handlers: tuple[HandlerView, ...] = ()
    #: Of its life: "on_load", "health", ...
    hooks: tuple[str, ...] = ()


@dataclass(frozen=True)
class InstallationView:
    installation: Installation
    #: One word for people: "ready", "stopped", "starting", "draining", "held", "disabled", "quarantined",
    #: "switched off" (everything is), "not granted", "broken"; of a ready one that is not well: "busy", "silent",
    #: "unhealthy".
    state: str
    #: Why it is in that state, where that is not obvious; a sentence with the next step.
    reason: str
    grants: tuple[GrantView, ...]
    #: Newest first.
    incarnations: tuple[IncarnationStatus, ...]
    tasks: tuple[TaskView, ...]
    #: When its newest worker became ready; of one that does not run, when the last one did. None: none did.
    loaded_at: datetime | None
    #: How the present incarnation is, once it is ready.
    condition: Condition | None = None
    #: Gate counters of the present incarnation.
    calls: int = 0
    denied: int = 0
    #: Of all its workers together; None: it has none, or nobody has looked yet.
    usage: Usage | None = None
    #: What was set of its loggers.
    log_levels: tuple[LevelSetting, ...] = ()
    #: A bound that it asks for and that has no effect here, and why, as a sentence; empty: all have.
    unenforced: str = ""
    #: What it implements of the application's extension points, and of others.
    extensions: tuple[ImplementationView, ...] = ()
    denials: tuple[DenialView, ...] = ()
    #: What is dangerous in what it may do now, as sentences.
    dangers: tuple[str, ...] = ()
    #: Databases that it has some right to, and in which nothing but the host's own check keeps it to that.
    single_fences: tuple[str, ...] = ()
    #: As its worker tells, or told when one ran last; None: no worker of this version has ever loaded it.
    contributions: ContributionsView | None = None


@dataclass(frozen=True)
class BrokenPlugin:
    """A folder that was scanned and could not be used."""

    path: Path
    #: Sentences with file, line and key.
    problem: str


@dataclass(frozen=True)
class StopReport:
    """What a stop or kill did, for the person who asked."""

    installation: str
    #: Executions that were cancelled or lost.
    executions: tuple[str, ...]
    #: Processes that are gone.
    processes: int
    sentence: str
