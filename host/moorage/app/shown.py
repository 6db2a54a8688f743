"""How an installation is shown to people: its state in one word, and why. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

from moorage.config.services.sql import SqlMode
from moorage.models.health import Condition, ConditionKind
from moorage.models.incarnation import IncarnationState, IncarnationStatus
from moorage.models.installation import Installation
from moorage.models.views import GrantView, StopReport
from moorage.supervisor.member import Ended
from moorage_proto.capability import parse

#: Of many capabilities that are missing, so many are named in a list of installations.
MOST_NAMED = 3


def single_fences(grants: Iterable[GrantView], fences: Mapping[str, SqlMode]) -> tuple[str, ...]:
    """Databases that some right concerns, and in which nothing but the host's own check keeps a plugin to it."""
    rights = [parse(grant.capability) for grant in grants if grant.granted]
    return tuple(
        sorted(
            name
            for name, mode in fences.items()
            if mode is SqlMode.SINGLE_FENCE
            and any(right.service == "sql" and right.touches(right.verb, name) for right in rights)
        )
    )


def state_of(
    installation: Installation,
    grants: Iterable[GrantView],
    incarnations: Sequence[IncarnationStatus],
    condition: Condition | None = None,
    rest: timedelta | None = None,
    problem: str = "",
) -> tuple[str, str]:
    """One word, and a sentence where the word alone would leave a question. Incarnations: newest first; ``condition``
    is that of the ready one that is worst off; ``rest`` is the time until a worker that died is started again;
    ``problem`` is why the last start came to no worker at all."""
    ready = [each for each in incarnations if each.state is IncarnationState.READY]
    if ready:
        state, reason = _how(installation.id, condition) if condition is not None else (ready[0].state.value, "")
        return state, reason or _how_many(len(ready), installation.desired.replicas)
    newest = incarnations[0] if incarnations else None
    if newest is not None and newest.state is not IncarnationState.STOPPED:
        return newest.state.value, ""
    desired, name = installation.desired, installation.id
    if desired.quarantined:
        return "quarantined", f"{desired.quarantined} When it is mended: moorage release {name}"
    if desired.held_reason:
        return "held", f"Held by {desired.held_by or 'someone'}: {desired.held_reason}. moorage release {name}"
    if not desired.enabled:
        return "disabled", f"It was disabled. moorage enable {name}"
    if desired.switched_off:
        return "switched off", f"Everything is {desired.switched_off}. moorage switch on"
    missing = [grant for grant in grants if grant.required and not grant.granted]
    if missing:
        return "not granted", _ungranted(name, missing)
    if not problem and newest is not None and newest.verdict is not None and not newest.verdict.planned:
        problem = newest.verdict.sentence
    if problem and rest is not None:
        return "restarting", f"{problem} It is started again in {rest.total_seconds():.1f} s."
    return "stopped", problem


def stop_report(name: str, ended: Ended, done: str, then: str = "") -> StopReport:
    """``done``: stopped or killed; ``then``: what holds from now on."""
    parts = [done if ended.processes else "was not running"]
    if ended.executions:
        parts.append(f"{', '.join(ended.executions)} cancelled")
    if ended.processes:
        parts.append("1 process gone" if ended.processes == 1 else f"{ended.processes} processes gone")
    parts += [then] if then else []
    return StopReport(name, ended.executions, ended.processes, f"{name}: {'; '.join(parts)}.")


def _ungranted(name: str, missing: Sequence[GrantView]) -> str:
    denying = dict.fromkeys(grant.denied_by for grant in missing if grant.denied_by)
    named = ", ".join(grant.capability for grant in missing[:MOST_NAMED])
    more = f" and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
    sentences = [f"It requires {named}{more}."]
    if not all(grant.denied_by for grant in missing):
        sentences.append(f"moorage grant {name} --required")
    sentences += [f"{rule} is denied: moorage undeny {name} '{rule}'" for rule in denying]
    return " ".join(sentences)


def _how_many(ready: int, wanted: int) -> str:
    return f"{ready} of {wanted} workers are ready." if ready < wanted else ""


def _how(name: str, condition: Condition) -> tuple[str, str]:
    if condition.kind is ConditionKind.ANSWERING:
        return IncarnationState.READY.value, ""
    if condition.kind is ConditionKind.UNHEALTHY:
        return condition.kind.value, f"Its health hook says: {condition.message or 'no'}"
    where = f" It is at {condition.where}." if condition.where else ""
    return condition.kind.value, f"It does not answer. {condition.message}{where} moorage why {name}"
