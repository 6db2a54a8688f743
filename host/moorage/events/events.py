"""Announcements of the life of installations, workers and executions. Each is made after the fact was stored."""

from __future__ import annotations

from dataclasses import dataclass

from moorage.models.execution import Attempt, Execution
from moorage.models.health import Condition
from moorage.models.incarnation import IncarnationState, IncarnationStatus
from moorage.models.installation import DesiredState, Installation, InstallationId
from moorage.models.switch import SwitchState


@dataclass(frozen=True)
class Event:
    """Something that happened to one installation."""

    installation: InstallationId


@dataclass(frozen=True)
class Installed(Event):
    """It was installed, or brought to another version or configuration."""

    now: Installation


@dataclass(frozen=True)
class Upgraded(Installed):
    """Another version took the place of one, be it a newer or an older one."""

    before: Installation


def installed(before: Installation | None, now: Installation) -> Installed:
    """What is told of an installation that has been stored. ``before``: what it takes the place of, if anything."""
    if before is None or before.manifest.version == now.manifest.version:
        return Installed(now.id, now)
    return Upgraded(now.id, now, before)


@dataclass(frozen=True)
class Removed(Event):
    """It is there no more. Its history stays."""

    by: str


@dataclass(frozen=True)
class DesiredChanged(Event):
    """People, or the restart policy, want something else of it; where there is a class for it, this is one of those
    below. Where it is none of them, it was scaled, or everything was switched off or on.
    """

    before: DesiredState
    after: DesiredState
    reason: str
    by: str


@dataclass(frozen=True)
class Enabled(DesiredChanged):
    """It takes work again."""


@dataclass(frozen=True)
class Disabled(DesiredChanged):
    """It takes no new work; what runs may finish."""


@dataclass(frozen=True)
class Held(DesiredChanged):
    """A person, or the host, keeps it stopped; ``after`` says why."""


@dataclass(frozen=True)
class Released(DesiredChanged):
    """Its hold is over, and its quarantine if it had one."""


@dataclass(frozen=True)
class Quarantined(DesiredChanged):
    """Its workers died too often; ``after`` has the sentence."""


@dataclass(frozen=True)
class SwitchChanged(Event):
    """Everything was switched off or on. The installation is empty; a ``DesiredChanged`` of each follows."""

    before: SwitchState
    after: SwitchState


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
class ExecutionRetried(ExecutionEvent):
    """An attempt of it has ended without an outcome of the whole: it is queued again, for the next one."""

    attempt: Attempt


@dataclass(frozen=True)
class ExecutionEnded(ExecutionEvent):
    """It has its outcome; rejected ones were never accepted."""


@dataclass(frozen=True)
class Missed(Event):
    """Told to one subscriber alone: it did not keep up. The installation is empty."""

    count: int
