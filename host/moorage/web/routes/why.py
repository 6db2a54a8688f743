"""Why an installation is as it is."""

from __future__ import annotations

from fastapi import APIRouter

from moorage.web.routes.host import Host
from moorage.web.schemas.base import Page
from moorage.web.schemas.why import Why, WorkerStack

router = APIRouter(tags=["installations"])


@router.get("/installations/{name}/why")
async def why(host: Host, name: str) -> Why:
    """What it does now, or why it does nothing; what changed last; what to do."""
    return Why.of(await host.why(name))


@router.get("/installations/{name}/stack")
async def stack(host: Host, name: str) -> Page[WorkerStack]:
    """What all threads of its workers do, now."""
    return Page(items=[WorkerStack.of(each) for each in await host.stack(name)])
