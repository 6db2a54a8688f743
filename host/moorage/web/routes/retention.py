"""How long the store keeps what happened."""

from __future__ import annotations

from fastapi import APIRouter

from moorage.web.person import Person
from moorage.web.routes.host import Host
from moorage.web.schemas.base import Page
from moorage.web.schemas.retention import Retained, RetentionReport

router = APIRouter(tags=["retention"])


@router.get("/retention")
async def list_retention(host: Host) -> Page[Retained]:
    """What is kept of executions, log lines, audit and workers, and how much there is."""
    return Page(items=[Retained.of(found) for found in await host.retention.show()])


@router.post("/retention")
async def run_retention(host: Host, person: Person) -> RetentionReport:
    """Delete now what is too old or too much; otherwise that is done at intervals."""
    return RetentionReport.of(await host.retention.run(by=person))
