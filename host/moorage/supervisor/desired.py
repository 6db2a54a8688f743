"""What people, and the restart policy, may want of an installation, and what follows from it. Pure.

``Supervisor.change`` is the one place that applies it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from moorage.errors import Invalid
from moorage.events.events import DesiredChanged, Disabled, Enabled, Held, Quarantined, Released
from moorage.models.installation import DesiredState, InstallationId
from moorage.models.switch import SwitchState

#: A mistyped number of workers should not take the machine down.
MOST_REPLICAS = 64


class ReplicasInvalid(Invalid):
    code = "replicas_invalid"

    def __init__(self, replicas: int) -> None:
        super().__init__(
            f"{replicas} workers cannot be kept: it must be 1 to {MOST_REPLICAS}. To have none, stop or disable it."
        )


@dataclass(frozen=True)
class Change:
    """A step from one desired state to another; ``because`` is for people and may be empty."""

    because: str = ""


@dataclass(frozen=True)
class Enable(Change):
    pass


@dataclass(frozen=True)
class Disable(Change):
    """No new work begins; what runs may finish."""


@dataclass(frozen=True)
class Hold(Change):
    """It stays stopped until it is released. ``because`` is the reason that everybody is told."""

    by: str = ""


@dataclass(frozen=True)
class Release(Change):
    """Ends a hold and a quarantine."""


@dataclass(frozen=True)
class Quarantine(Change):
    """``because`` is the sentence of the verdict."""


@dataclass(frozen=True)
class Resume(Change):
    """Ends a quarantine alone: the code that was judged is not the code that will run."""


@dataclass(frozen=True)
class Scale(Change):
    replicas: int = 1


def _hold(desired: DesiredState, change: Hold) -> DesiredState:
    return replace(desired, held_reason=change.because or "no reason was given", held_by=change.by or "someone")


def _scale(desired: DesiredState, change: Scale) -> DesiredState:
    if not 1 <= change.replicas <= MOST_REPLICAS:
        raise ReplicasInvalid(change.replicas)
    return replace(desired, replicas=change.replicas)


_TABLE: dict[type[Change], Callable[[DesiredState, Any], DesiredState]] = {
    Enable: lambda desired, _: replace(desired, enabled=True),
    Disable: lambda desired, _: replace(desired, enabled=False),
    Hold: _hold,
    Release: lambda desired, _: replace(desired, held_reason="", held_by="", quarantined=""),
    Quarantine: lambda desired, change: replace(desired, quarantined=change.because or "its worker died too often."),
    Resume: lambda desired, _: replace(desired, quarantined=""),
    Scale: _scale,
}


def after(desired: DesiredState, change: Change) -> DesiredState:
    """The state that follows; the same one where nothing changes. Raises ReplicasInvalid."""
    return _TABLE[type(change)](desired, change)


def reason_of(change: Change) -> str:
    """What is told of it."""
    if isinstance(change, Scale):
        return change.because or f"scaled to {change.replicas}"
    return change.because or _DONE[type(change)]


_DONE: dict[type[Change], str] = {
    Enable: "enabled",
    Disable: "disabled",
    Hold: "held",
    Release: "released",
    Quarantine: "put in quarantine",
    Resume: "its code was replaced",
}


_EVENTS: dict[type[Change], type[DesiredChanged]] = {
    Enable: Enabled,
    Disable: Disabled,
    Hold: Held,
    Release: Released,
    Quarantine: Quarantined,
    Resume: Released,
    Scale: DesiredChanged,
}


def announced(
    installation: InstallationId, before: DesiredState, after: DesiredState, change: Change, by: str
) -> DesiredChanged:
    """What is told of a change that has been stored."""
    return _EVENTS[type(change)](installation, before, after, reason_of(change), by)


#: What a difference between two desired states is, the first that there is.
_SEEN: tuple[tuple[Callable[[DesiredState], object], type[DesiredChanged], type[DesiredChanged]], ...] = (
    (lambda state: bool(state.quarantined), Released, Quarantined),
    (lambda state: bool(state.held_reason), Released, Held),
    (lambda state: state.enabled, Disabled, Enabled),
)


def seen(installation: InstallationId, before: DesiredState, after: DesiredState) -> DesiredChanged:
    """What is told of a change that another host has stored."""
    kind = DesiredChanged
    for of, ended, began in _SEEN:
        if of(before) != of(after):
            kind = began if of(after) else ended
            break
    reason = after.quarantined or after.held_reason or "it was changed on another host"
    return kind(installation, before, after, reason, after.held_by or "another host")


def switched(state: SwitchState) -> str:
    """What is told of the switch for all installations."""
    return state.reason or ("everything is switched on" if state.is_on else "everything is switched off")


def obstacle(installation: str, desired: DesiredState) -> str:
    """Why it may not run, with the next step; empty: it may. Whoever opens a scope asks here: for executions, events,
    requests, triggers.
    """
    if desired.switched_off:
        return f"everything is {desired.switched_off}. Switch it on: moorage switch on"
    if desired.quarantined:
        return f"it is in quarantine: {desired.quarantined} Release it: moorage release {installation}"
    if desired.held_reason:
        by = desired.held_by or "someone"
        return f"{by} holds it: {desired.held_reason}. moorage release {installation}"
    if not desired.enabled:
        return f"it is disabled. Enable it: moorage enable {installation}"
    return ""


def stop_reason(desired: DesiredState) -> str:
    """What a worker is told that goes because of it, and what its verdict says."""
    if desired.switched_off:
        return f"everything is {desired.switched_off}"
    if desired.quarantined:
        return "it was put in quarantine"
    return desired.held_reason or "it was disabled"
