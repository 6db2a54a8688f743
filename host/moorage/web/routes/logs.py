"""Logs: what was written, and what is being written."""

from __future__ import annotations

from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response

from moorage.web.following import follow
from moorage.web.operations import Operations
from moorage.web.routes.host import Host
from moorage.web.schemas.base import MAX_ID, Page
from moorage.web.schemas.logs import LogLine
from moorage.web.streams import EVENTS, Chunks, EventStream, event

router = APIRouter(tags=["logs"])

Installation = Annotated[str | None, Query(description="Only of this installation.")]
Execution = Annotated[str | None, Query(description="Only of this execution.")]


@router.get("/logs")
async def list_logs(
    host: Host,
    installation: Installation = None,
    execution: Execution = None,
    after: Annotated[int, Query(ge=0, le=MAX_ID, description="Only lines with a greater id; 0: the newest lines.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> Page[LogLine]:
    """Stored log lines, oldest first."""
    if installation is not None:
        await host.installation(installation)
    lines = await host.logs(installation=installation, execution=execution, after=after, limit=limit)
    return Page(items=[LogLine.of(line) for line in lines])


@router.get(
    "/logs/stream",
    response_class=Response,
    responses={200: {"content": {EVENTS: {}}, "description": "Events named `log`, each a LogLine; keep-alives."}},
)
async def stream_logs(
    request: Request,
    host: Host,
    installation: Installation = None,
    execution: Execution = None,
    tail: Annotated[int, Query(ge=0, le=1000, description="First this many of the stored lines.")] = 0,
    last_event_id: Annotated[
        int | None, Header(ge=0, le=MAX_ID, description="First all stored lines after this one.")
    ] = None,
) -> EventStream:
    """Follow the log as server-sent events."""
    if installation is not None:
        await host.installation(installation)
    return EventStream(request, _events(host, installation, execution, last_event_id, tail))


async def _events(
    host: Operations, installation: str | None, execution: str | None, after: int | None, tail: int
) -> Chunks:
    lines = follow(host, installation=installation, execution=execution, after=after, tail=tail)
    async with aclosing(lines):
        async for line in lines:
            yield event(LogLine.of(line), name="log", event_id=line.id)
