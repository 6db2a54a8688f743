"""What an installation asks for, what of it people granted or denied, and what that means. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from moorage.models.manifest import Manifest
from moorage.models.rights import Words, sentence, widens_sandbox
from moorage.models.views import DenialView, GrantView
from moorage.store.effective import includes, intersection
from moorage.store.grants import Effect, Grant, Rights
from moorage_proto.capability import Capability, parse


def grant_views(manifest: Manifest, rows: Iterable[Grant], rights: Rights, words: Words) -> tuple[GrantView, ...]:
    """What it asks for, in its order; then what was granted of something wider; then what has no effect."""
    allows = {parse(row.capability): row for row in rows if row.effect is Effect.ALLOW}
    denies = rights.effective.deny
    views = []
    for request in manifest.capabilities:
        capability = request.capability
        denying = next((rule for rule in denies if includes(rule, capability)), None)
        is_there = capability not in rights.missing if request.required else capability in rights.effective.allow
        granted = is_there and denying is None
        row = _row_of(capability, allows) if granted else None
        views.append(
            _view(
                capability,
                words,
                because=request.because,
                required=request.required,
                granted=granted,
                row=row,
                denied_by="" if denying is None else str(denying),
            )
        )
    requested = [request.capability for request in manifest.capabilities]
    for capability, row in allows.items():
        if not any(intersection(wide, capability) for wide in requested):
            because = "no longer asked for"
            views.append(_view(capability, words, because=because, granted=False, row=row, requested=False))
        elif not any(includes(capability, wide) for wide in requested):
            denying = next((rule for rule in denies if includes(rule, capability)), None)
            because = row.because or "part of what was asked for"
            views.append(
                _view(
                    capability,
                    words,
                    because=because,
                    granted=denying is None,
                    row=row,
                    denied_by="" if denying is None else str(denying),
                )
            )
    return tuple(views)


def denial_views(rows: Iterable[Grant], words: Words) -> tuple[DenialView, ...]:
    return tuple(
        DenialView(row.capability, row.because, row.granted_by, row.granted_at, sentence(parse(row.capability), words))
        for row in rows
        if row.effect is Effect.DENY
    )


def in_effect(rights: Rights) -> Sequence[Capability]:
    """What it may do, without what is denied whole."""
    effective = rights.effective
    return [right for right in effective.allow if not any(includes(rule, right) for rule in effective.deny)]


def _row_of(capability: Capability, allows: dict[Capability, Grant]) -> Grant | None:
    """The grant of exactly this, or of something wider."""
    if capability in allows:
        return allows[capability]
    return next((row for wide, row in allows.items() if includes(wide, capability)), None)


def _view(
    capability: Capability,
    words: Words,
    *,
    because: str,
    granted: bool,
    row: Grant | None,
    required: bool = False,
    requested: bool = True,
    denied_by: str = "",
) -> GrantView:
    return GrantView(
        capability=str(capability),
        because=because,
        required=required,
        granted=granted,
        granted_by=row.granted_by if row is not None else "",
        granted_at=row.granted_at if row is not None else None,
        meaning=sentence(capability, words),
        widens_sandbox=widens_sandbox(capability),
        denied_by=denied_by,
        requested=requested,
        fail_closed=row is not None and row.fail_closed,
        uses=row.uses if row is not None else 0,
        used_at=row.used_at if row is not None else None,
    )
