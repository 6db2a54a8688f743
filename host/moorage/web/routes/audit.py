"""The audit."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from moorage.web.routes.host import Host
from moorage.web.schemas.audit import AuditEntry
from moorage.web.schemas.base import MAX_ID, Page

router = APIRouter(tags=["audit"])


@router.get("/audit")
async def list_audit(
    host: Host,
    installation: Annotated[str | None, Query(description="Only of this installation.")] = None,
    after: Annotated[
        int, Query(ge=0, le=MAX_ID, description="Only entries with a greater id; 0: the newest entries.")
    ] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> Page[AuditEntry]:
    """Who did, or was denied, what; oldest first. An installation need not exist any more to have entries."""
    entries = await host.audit(installation=installation, after=after, limit=limit)
    return Page(items=[AuditEntry.of(entry) for entry in entries])
