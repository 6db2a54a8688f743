"""How an installation is shown to people: its state in one word, and why. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from moorage.models.health import Condition, ConditionKind
from moorage.models.incarnation import IncarnationState, IncarnationStatus
from moorage.models.installation import Installation
from moorage.models.views import GrantView


def state_of(
    installation: Installation,
    grants: Iterable[GrantView],
    incarnations: Sequence[IncarnationStatus],
    condition: Condition | None = None,
) -> tuple[str, str]:
    """One word, and a sentence where the word alone would leave a question. Incarnations: newest first; ``condition``
    is that of the newest."""
    newest = incarnations[0] if incarnations else None
    if newest is not None and newest.state is IncarnationState.READY and condition is not None:
        return _how(installation.id, condition)
    if newest is not None and newest.state is not IncarnationState.STOPPED:
        return newest.state.value, ""
    desired, name = installation.desired, installation.id
    if desired.quarantined:
        return "quarantined", desired.quarantined
    if desired.held_reason:
        return "held", f"Held by {desired.held_by or 'someone'}: {desired.held_reason}. moorage release {name}"
    if not desired.enabled:
        return "disabled", "It was disabled."
    missing = [grant.capability for grant in grants if grant.required and not grant.granted]
    if missing:
        return "not granted", f"It requires {', '.join(missing)}. moorage grant {name} --required"
    if newest is not None and newest.verdict is not None and not newest.verdict.planned:
        return "stopped", newest.verdict.sentence
    return "stopped", ""


def _how(name: str, condition: Condition) -> tuple[str, str]:
    if condition.kind is ConditionKind.ANSWERING:
        return IncarnationState.READY.value, ""
    if condition.kind is ConditionKind.UNHEALTHY:
        return condition.kind.value, f"Its health hook says: {condition.message or 'no'}"
    where = f" It is at {condition.where}." if condition.where else ""
    return condition.kind.value, f"It does not answer. {condition.message}{where} moorage why {name}"
