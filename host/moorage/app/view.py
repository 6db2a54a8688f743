"""An installation as people see it, put together from all parts of the host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from moorage.app.grants import Grants
from moorage.app.shown import single_fences, state_of
from moorage.app.wiring import Wiring
from moorage.models.health import ConditionKind
from moorage.models.incarnation import IncarnationState, IncarnationStatus
from moorage.models.installation import Installation
from moorage.models.views import InstallationView
from moorage.supervisor.incarnation import Incarnation


async def view_of(parts: Wiring, grants: Grants, installation: Installation) -> InstallationView:
    """All that people see of it."""
    store, name = parts.store, installation.id
    rights = await grants.shown(installation)
    history = await store.incarnations.list(name, limit=10)
    living = parts.supervisor.living(name)
    incarnations = _merged([each.status for each in living], history)
    worst = min((each for each in living if each.ready), key=_well, default=None)
    condition = worst.condition if worst is not None else None
    keeper = parts.supervisor.keeper(name)
    known = await parts.contributions.of(installation)
    state, reason = state_of(
        installation,
        rights.grants,
        incarnations,
        condition,
        keeper.rest if keeper is not None else None,
        keeper.problem if keeper is not None else "",
    )
    return InstallationView(
        installation=replace(installation, config=parts.configs.of_or_empty(installation)),
        state=state,
        reason=reason,
        grants=rights.grants,
        denials=rights.denials,
        dangers=rights.dangers,
        single_fences=single_fences(rights.grants, parts.services.sql.fences),
        incarnations=incarnations,
        tasks=known.tasks if known is not None else (),
        contributions=known,
        loaded_at=next((each.ready_at for each in incarnations if each.ready_at is not None), None),
        usage=parts.usage.of(each.id for each in parts.supervisor.living(name)),
        unenforced=parts.cgroups.available.unenforced(installation.manifest.limits.cpus),
        condition=condition,
        calls=sum(each.calls for each in living),
        denied=sum(each.denied for each in living),
        log_levels=parts.log_levels.of(name),
        extensions=await parts.extension_views.of(name),
    )


def _merged(living: Sequence[IncarnationStatus], history: Sequence[IncarnationStatus]) -> tuple[IncarnationStatus, ...]:
    """Newest first; what is known in memory is newer than what was stored of it."""
    known = {each.id for each in living}
    # One that is stored as living, and does not live, has ended: its verdict is not written yet.
    ended = (each for each in history if each.id not in known and each.state is IncarnationState.STOPPED)
    found = (*living, *ended)
    return tuple(sorted(found, key=lambda each: -each.number))


def _well(incarnation: Incarnation) -> int:
    """Lowest where an operator should look first."""
    return (ConditionKind.SILENT, ConditionKind.BUSY, ConditionKind.UNHEALTHY, ConditionKind.ANSWERING).index(
        incarnation.condition.kind
    )
