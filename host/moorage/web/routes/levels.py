"""Levels of plugins' loggers, changed while they run."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query

from moorage.web.person import Person
from moorage.web.routes.host import Host
from moorage.web.schemas.base import Page
from moorage.web.schemas.levels import Level, LevelOrder

router = APIRouter(tags=["logs"])


@router.get("/installations/{name}/log-levels")
async def list_log_levels(host: Host, name: str) -> Page[Level]:
    """What was set; a logger that is not named has the level that the plugin gives it, INFO by default."""
    return Page(items=[Level.of(setting) for setting in await host.log_levels.show(name)])


@router.post("/installations/{name}/log-levels")
async def set_log_level(host: Host, person: Person, name: str, order: LevelOrder) -> Page[Level]:
    """Set the level of one logger, or of all; workers that run are told at once."""
    duration = None if order.for_seconds is None else timedelta(seconds=order.for_seconds)
    found = await host.log_levels.set(name, order.level, logger=order.logger, duration=duration, by=person)
    return Page(items=[Level.of(setting) for setting in found])


@router.delete("/installations/{name}/log-levels")
async def reset_log_levels(
    host: Host,
    person: Person,
    name: str,
    logger: Annotated[str | None, Query(description="Of this one; none: all that was set.")] = None,
) -> Page[Level]:
    """Take levels back."""
    return Page(items=[Level.of(setting) for setting in await host.log_levels.reset(name, logger=logger, by=person)])
