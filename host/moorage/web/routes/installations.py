"""Installations: what there is, what may it do, start it, stop it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response, status

from moorage.models.grants import GrantOrder
from moorage.models.selection import Selector, SelectorInvalid, parse_selector
from moorage.orchestrator.selection import SelectorRefused
from moorage.web.operations import Operations, Progress
from moorage.web.person import Person
from moorage.web.routes.host import Host
from moorage.web.schemas.base import Page
from moorage.web.schemas.installations import (
    BrokenPlugin,
    Installation,
    InstallEvent,
    InstallOrder,
    ReasonOrder,
    ScaleOrder,
    StopOrder,
    StopReport,
)
from moorage.web.streams import LINES, Chunks, ChunkStream, failure_of, line

router = APIRouter(tags=["installations"])


@router.get("/installations")
async def list_installations(
    host: Host,
    look: Annotated[bool, Query(description="Look now at what their workers use.")] = False,
    enabled: Annotated[bool | None, Query(description="Those alone that are enabled, or disabled.")] = None,
    state: Annotated[str | None, Query(description="Those alone in this state, such as `ready`.")] = None,
    tag: Annotated[list[str] | None, Query(description="Those alone with each of these tags.")] = None,
    not_tag: Annotated[list[str] | None, Query(description="Those alone with none of these tags.")] = None,
    version: Annotated[str, Query(description="Those alone that this specifier fits, such as `>=1.2`.")] = "",
    name: Annotated[str, Query(description="Those alone whose name fits this glob, such as `geo-*`.")] = "",
    capability: Annotated[str, Query(description="Those alone that may do this, such as `sql.read:users`.")] = "",
    predicate: Annotated[str, Query(description="Those alone of which the application's predicate says so.")] = "",
) -> Page[Installation]:
    """All installations, or those that fit, with their state."""
    texts = {"version": version, "name": name, "capability": capability, "predicate": predicate}
    selector = _selector({"tags": tag or [], "none": [{"tags": [each]} for each in not_tag or []], **texts})
    views = await host.installations(look=look, enabled=enabled, select=selector)
    return Page(items=[Installation.of(view) for view in views if state in (None, view.state)])


@router.get("/broken-plugins")
async def list_broken_plugins(host: Host) -> Page[BrokenPlugin]:
    """Folders of the last scan that could not be used, each with what is wrong in file, line and key."""
    return Page(items=[BrokenPlugin.of(broken) for broken in await host.broken()])


@router.post(
    "/installations",
    status_code=status.HTTP_201_CREATED,
    response_model=Installation,
    responses={200: {"model": InstallEvent, "description": f"With `Accept: {LINES}`: progress, an event a line."}},
)
async def install(request: Request, response: Response, host: Host, person: Person, order: InstallOrder) -> object:
    """Install the plugin project in a folder, or bring an installation to that folder's version."""
    if LINES in request.headers.get("accept", ""):
        return ChunkStream(request, _install_events(host, order, person), media_type=LINES)
    installation = await _install(host, order, person)
    response.headers["Location"] = str(request.url_for("get_installation", name=installation.id))
    return installation


@router.get("/installations/{name}")
async def get_installation(host: Host, name: str) -> Installation:
    """One installation: manifest, grants, tasks, workers."""
    return Installation.of(await host.installation(name))


@router.post("/installations/{name}/start")
async def start(host: Host, person: Person, name: str) -> Installation:
    """Start it; answers when a worker is ready."""
    return Installation.of(await host.start(name, by=person))


@router.post("/installations/{name}/stop")
async def stop(host: Host, person: Person, name: str, order: StopOrder | None = None) -> StopReport:
    """Let work in flight finish, then stop; with a reason to hold it stays stopped until released."""
    return StopReport.of(await host.stop(name, by=person, hold=order.hold if order else ""))


@router.post("/installations/{name}/release")
async def release(host: Host, person: Person, name: str, order: ReasonOrder | None = None) -> Installation:
    """End a hold or a quarantine; what was up before is up again when this answers."""
    return Installation.of(await host.release(name, by=person, reason=order.reason if order else ""))


@router.post("/installations/{name}/enable")
async def enable(host: Host, person: Person, name: str, order: ReasonOrder | None = None) -> Installation:
    """Let it take work again; what was up before is up again when this answers."""
    return Installation.of(await host.enable(name, by=person, reason=order.reason if order else ""))


@router.post("/installations/{name}/disable")
async def disable(host: Host, person: Person, name: str, order: ReasonOrder | None = None) -> StopReport:
    """Let work in flight finish, then stop it; it takes no work until it is enabled."""
    return StopReport.of(await host.disable(name, by=person, reason=order.reason if order else ""))


@router.post("/installations/{name}/scale")
async def scale(host: Host, person: Person, name: str, order: ScaleOrder) -> Installation:
    """Say how many workers it has when it is up; they come and go after the answer."""
    return Installation.of(await host.scale(name, order.replicas, by=person))


@router.post("/installations/{name}/kill")
async def kill(host: Host, person: Person, name: str) -> StopReport:
    """End its processes at once; work in flight is lost and recorded so."""
    return StopReport.of(await host.kill(name, by=person))


@router.post("/unload-all")
async def unload_all(host: Host, person: Person) -> Page[StopReport]:
    """Stop every installation."""
    return Page(items=[StopReport.of(report) for report in await host.unload_all(by=person)])


def _selector(record: Mapping[str, object]) -> Selector:
    """Raises SelectorRefused."""
    try:
        return parse_selector(record, "the query")
    except SelectorInvalid as error:
        raise SelectorRefused(str(error)) from error


async def _install(
    host: Operations, order: InstallOrder, person: str, progress: Progress | None = None
) -> Installation:
    installed = await host.install(
        Path(order.path), name=order.name, config=order.config, grant=order.grant, by=person, progress=progress
    )
    if order.grant_required:
        return Installation.of(await host.grants.grant(installed.id, GrantOrder(required=True), by=person))
    return Installation.of(await host.installation(installed.id))


async def _install_events(host: Operations, order: InstallOrder, person: str) -> Chunks:
    """A client that leaves cancels the work."""
    events: asyncio.Queue[InstallEvent] = asyncio.Queue()

    def progress(sentence: str) -> None:
        events.put_nowait(InstallEvent(event="progress", sentence=sentence))

    async def work() -> None:
        try:
            installation = await _install(host, order, person, progress)
            events.put_nowait(InstallEvent(event="installed", installation=installation))
        except Exception as error:  # noqa: BLE001 - the answer has begun: its last line is where the failure is told
            events.put_nowait(InstallEvent(event="problem", problem=failure_of(error)))

    task = asyncio.create_task(work(), name=f"install {order.name or order.path}")
    try:
        latest = None
        while latest is None or latest.event == "progress":
            latest = await events.get()
            yield line(latest)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
