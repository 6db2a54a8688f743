"""Reload: another version in the place of the one that runs."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request

from moorage.web.operations import Operations, Progress
from moorage.web.person import Person
from moorage.web.routes.host import Host
from moorage.web.schemas.reload import ReloadEvent, ReloadOrder, ReloadReport, RestartOrder
from moorage.web.streams import LINES, Chunks, ChunkStream, failure_of, line

router = APIRouter(tags=["installations"])


@router.post(
    "/installations/{name}/reload",
    response_model=ReloadReport,
    responses={200: {"model": ReloadEvent, "description": f"With `Accept: {LINES}`: progress, an event a line."}},
)
async def reload(request: Request, host: Host, person: Person, name: str, order: ReloadOrder | None = None) -> object:
    """Put what its folder holds now in the place of what runs, losing no execution."""
    order = order or ReloadOrder()
    await host.installation(name)
    if LINES in request.headers.get("accept", ""):
        return ChunkStream(request, _events(host, name, order, person), media_type=LINES)
    return await _reload(host, name, order, person)


@router.post("/installations/{name}/restart")
async def restart(host: Host, person: Person, name: str, order: RestartOrder | None = None) -> ReloadReport:
    """Put new workers of the same version in the place of those that run, losing no execution."""
    return ReloadReport.of(await host.restart(name, mode=(order or RestartOrder()).mode, by=person))


async def _reload(
    host: Operations, name: str, order: ReloadOrder, person: str, progress: Progress | None = None
) -> ReloadReport:
    report = await host.reload(
        name,
        mode=order.mode,
        start=order.start,
        grant=order.grant,
        grant_required=order.grant_required,
        by=person,
        progress=progress,
    )
    return ReloadReport.of(report)


async def _events(host: Operations, name: str, order: ReloadOrder, person: str) -> Chunks:
    """A client that leaves while the new version is built ends that; once workers are replaced it goes on."""
    events: asyncio.Queue[ReloadEvent] = asyncio.Queue()

    def progress(sentence: str) -> None:
        events.put_nowait(ReloadEvent(event="progress", sentence=sentence))

    async def work() -> None:
        try:
            report = await _reload(host, name, order, person, progress)
            events.put_nowait(ReloadEvent(event="reloaded", report=report))
        except Exception as error:  # noqa: BLE001 - the answer has begun: its last line is where the failure is told
            events.put_nowait(ReloadEvent(event="problem", problem=failure_of(error)))

    task = asyncio.create_task(work(), name=f"reload {name}")
    try:
        latest = None
        while latest is None or latest.event == "progress":
            latest = await events.get()
            yield line(latest)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
