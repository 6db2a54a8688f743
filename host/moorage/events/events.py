"""Announcements of the life of installations, workers and executions. Each is made after the fact was stored."""

from __future__ import annotations

from dataclasses import dataclass

from moorage.models.execution import Execution
from moorage.models.health import Condition
from moorage.models.incarnation import IncarnationState, IncarnationStatus
from moorage.models.installation import DesiredState, Installation, InstallationId


@dataclass(frozen=True)
class Event:
    """Something that happened to one installation."""

    installation: InstallationId


@dataclass(frozen=True)
class Installed(Event):
    """It was installed, or brought to another version or configuration."""

    now: Installation


@dataclass(frozen=True)
class Removed(Event):
    """It is there no more. Its history stays."""

    by: str


@dataclass(frozen=True)
class DesiredChanged(Event):
    """People, or the restart policy, want something else of it: enabled, disabled, held, released, scaled, ..."""

    before: DesiredState
    after: DesiredState
    reason: str
    by: str


@dataclass(frozen=True)
class StateChanged(Event):
    """A worker went from one state to another; ``incarnation`` has the new one."""

    before: IncarnationState
    incarnation: IncarnationStatus
    reason: str


@dataclass(frozen=True)
class ConditionChanged(Event):
    """A ready worker answers no more, or again; or its own health has changed."""

    incarnation: IncarnationStatus
    condition: Condition


@dataclass(frozen=True)
class Loaded(Event):
    """A worker became ready."""

    incarnation: IncarnationStatus


@dataclass(frozen=True)
class Unloaded(Event):
    """A worker ended as planned."""

    incarnation: IncarnationStatus


@dataclass(frozen=True)
class Crashed(Event):
    """A worker ended otherwise; the verdict says why."""

    incarnation: IncarnationStatus


@dataclass(frozen=True)
class ConfigChanged(Event):
    """Settings were changed at run time. Its workers are being told."""

    #: Dotted, sorted.
    keys: tuple[str, ...]
    by: str


@dataclass(frozen=True)
class GrantsChanged(Event):
    epoch: int
    by: str


@dataclass(frozen=True)
class ExecutionEvent(Event):
    execution: Execution


@dataclass(frozen=True)
class ExecutionAccepted(ExecutionEvent):
    """It is queued."""


@dataclass(frozen=True)
class ExecutionStarted(ExecutionEvent):
    pass


@dataclass(frozen=True)
class ExecutionProgressed(ExecutionEvent):
    pass


@dataclass(frozen=True)
class ExecutionEnded(ExecutionEvent):
    """It has its outcome; rejected ones were never accepted."""


@dataclass(frozen=True)
class Missed(Event):
    """Told to one subscriber alone: it did not keep up. The installation is empty."""

    count: int
