"""How a trigger is: whether it works now, and if not, why, as a sentence with the next step. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from moorage.models.installation import Installation, InstallationId
from moorage.models.policy import Origin
from moorage.models.switch import SwitchState
from moorage.models.trigger import TriggerState
from moorage.orchestrator.triggers.layers import by_manifest
from moorage.orchestrator.triggers.rights import right_of
from moorage.supervisor import desired
from moorage_proto.capability import Capability, Grants

ACTIVE, PAUSED, IDLE, NOT_GRANTED = "active", "paused", "idle", "not granted"
FAILING, INVALID, REMOVED = "failing", "invalid", "removed"

#: In these it is listened to, and fires.
WORKING = frozenset({ACTIVE, FAILING})


@dataclass(frozen=True)
class Known:
    """What is known of an installation, for its triggers."""

    installation: Installation
    grants: Grants
    #: What it requires and was not granted: with any, it does not start.
    missing: tuple[Capability, ...] = ()

    @property
    def id(self) -> InstallationId:
        return self.installation.id


def condition(
    state: TriggerState,
    known: Known | None,
    origins: Mapping[str, Origin],
    *,
    switch: SwitchState,
    problem: str = "",
) -> tuple[str, str]:
    """One word, and a sentence where it is not "active".

    ``known``: None of one that selects. ``problem``: of its source in this host.
    """
    if state.removed:
        return REMOVED, f"Removed by {state.set_by or 'someone'}. moorage trigger reset {state.id}"
    if state.paused:
        why = f": {state.paused_reason}" if state.paused_reason else ""
        return PAUSED, f"Paused by {state.paused_by or 'its declaration'}{why}. moorage trigger resume {state.id}"
    hindrance = _hindrance(known, switch)
    if hindrance:
        return IDLE, hindrance
    missing = _missing(state, known, origins)
    if missing:
        return NOT_GRANTED, missing
    problem = problem or state.problem
    return (FAILING, problem) if problem else (ACTIVE, "")


def _hindrance(known: Known | None, switch: SwitchState) -> str:
    if known is not None:
        found = desired.obstacle(known.id, known.installation.desired)
        if not found and known.missing:
            return f"{known.id} requires {known.missing[0]} before it starts. moorage grant {known.id} --required"
        return f"{found[:1].upper()}{found[1:]}" if found else ""
    return "" if switch.is_on else f"Everything is {switch.off}. Switch it on: moorage switch on"


def _missing(state: TriggerState, known: Known | None, origins: Mapping[str, Origin]) -> str:
    right = right_of(state.trigger)
    if right is None or known is None or not by_manifest(origins) or known.grants.decide(right).allowed:
        return ""
    if not any(request.capability.covers(right) for request in known.installation.manifest.capabilities):
        return f"Its manifest does not ask for {right}, so that nobody can grant it. The author has to add it there."
    return f"It needs {right}. moorage grant {known.id} '{right}'"
