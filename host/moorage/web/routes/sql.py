"""Databases: which there are, and what they lack for the present installations."""

from __future__ import annotations

from fastapi import APIRouter

from moorage.web.routes.host import Host
from moorage.web.schemas.base import Page
from moorage.web.schemas.sql import SqlBackend, SqlPlan

router = APIRouter(tags=["sql"])


@router.get("/sql")
async def list_databases(host: Host) -> Page[SqlBackend]:
    """Databases by name, and what keeps installations apart in them."""
    return Page(items=[SqlBackend.of(view) for view in host.sql.backends()])


@router.get("/sql/{backend}/plan")
async def plan_database(host: Host, backend: str) -> SqlPlan:
    """The SQL that gives the roles of the present installations what they lack in the database; nothing is run."""
    return SqlPlan(backend=backend, script=await host.sql.plan(backend))
