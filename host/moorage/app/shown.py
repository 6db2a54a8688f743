"""How an installation is shown to people: its state in one word, and why. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from moorage.models.incarnation import IncarnationState, IncarnationStatus
from moorage.models.installation import Installation
from moorage.models.views import GrantView


def state_of(
    installation: Installation, grants: Iterable[GrantView], incarnations: Sequence[IncarnationStatus]
) -> tuple[str, str]:
    """One word, and a sentence where the word alone would leave a question. Incarnations: newest first."""
    newest = incarnations[0] if incarnations else None
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
