"""The audit."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AwareDatetime

from moorage.models.audit import AuditKind
from moorage.web.routes.host import Host
from moorage.web.schemas.audit import AuditEntry, ChainReport, SinkState
from moorage.web.schemas.base import MAX_ID, Page

router = APIRouter(tags=["audit"])


@router.get("/audit")
async def list_audit(
    host: Host,
    installation: Annotated[str | None, Query(description="Only of this installation.")] = None,
    kind: Annotated[AuditKind | None, Query(description="Only of this kind.")] = None,
    capability: Annotated[
        str | None, Query(max_length=1000, description="Only about this capability; a star stands for any characters.")
    ] = None,
    actor: Annotated[str | None, Query(description="Only what this person, or this worker, did.")] = None,
    since: Annotated[AwareDatetime | None, Query(description="Only from this time on, with its zone.")] = None,
    after: Annotated[
        int, Query(ge=0, le=MAX_ID, description="Only entries with a greater id; 0: the newest entries.")
    ] = 0,
    oldest: Annotated[bool, Query(description="Where `after` is 0: the oldest entries.")] = False,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> Page[AuditEntry]:
    """Who did, or was denied, what; oldest first. An installation need not exist any more to have entries."""
    entries = await host.audit_trail.read(
        installation=installation,
        kind=kind,
        capability=capability,
        actor=actor,
        since=since,
        after=after,
        limit=limit,
        oldest=oldest,
    )
    return Page(items=[AuditEntry.of(entry) for entry in entries])


@router.get("/audit/verify")
async def verify_audit(host: Host) -> ChainReport:
    """Whether the stored audit is what was written: follows the chain of its digests from the first entry on."""
    return ChainReport.of(await host.audit_trail.verify())


@router.get("/audit/sinks")
async def list_sinks(host: Host) -> Page[SinkState]:
    """Where the audit is written to, and whether it can be."""
    return Page(items=[SinkState.of(state) for state in await host.audit_trail.sinks()])
