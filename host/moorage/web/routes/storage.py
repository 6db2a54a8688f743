"""Private folders: how full, copied, brought back, taken away, deleted; and the end of an installation."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, status
from fastapi.responses import Response

from moorage.models.storage import DataFate
from moorage.web.person import Person
from moorage.web.routes.host import Host
from moorage.web.schemas.base import Page
from moorage.web.schemas.storage import RemovalReport, RestoreOrder, Snapshot, StorageUse
from moorage.web.streams import ChunkStream

router = APIRouter(tags=["storage"])

TAR = "application/x-tar"


@router.delete("/installations/{name}")
async def remove(
    host: Host,
    person: Person,
    name: str,
    data: Annotated[
        DataFate | None, Query(description="What becomes of its private data; needed where there is any.")
    ] = None,
) -> RemovalReport:
    """Remove it, with its grants, settings and secrets, when its work in flight has finished."""
    return RemovalReport.of(await host.remove(name, data=data, by=person))


@router.get("/installations/{name}/storage")
async def get_storage(host: Host, name: str) -> StorageUse:
    """How full its private folder is."""
    return StorageUse.of(await host.storage.usage(name))


@router.delete("/installations/{name}/storage", status_code=status.HTTP_204_NO_CONTENT)
async def delete_storage(host: Host, person: Person, name: str) -> None:
    """Delete the data, and every copy of it, when work in flight has finished."""
    await host.storage.delete(name, by=person)


@router.get(
    "/installations/{name}/storage/export",
    response_class=Response,
    responses={200: {"content": {TAR: {}}, "description": "A tar of its files and folders."}},
)
async def export_storage(request: Request, host: Host, person: Person, name: str) -> ChunkStream:
    """All files and folders as a tar; links, pipes, sockets and devices are left out."""
    chunks = await host.storage.export(name, by=person)
    return ChunkStream(request, chunks, media_type=TAR, keep_alive=b"")


@router.get("/installations/{name}/storage/snapshots")
async def list_snapshots(host: Host, name: str) -> Page[Snapshot]:
    """Copies of the data, newest first; those from before reloads among them."""
    return Page(items=[Snapshot.of(view) for view in await host.storage.snapshots(name)])


@router.post("/installations/{name}/storage/snapshots", status_code=status.HTTP_201_CREATED)
async def take_snapshot(host: Host, person: Person, name: str) -> Snapshot:
    """Copy the data when work in flight has finished; what comes meanwhile waits."""
    return Snapshot.of(await host.storage.snapshot(name, by=person))


@router.post("/installations/{name}/storage/restore")
async def restore_storage(host: Host, person: Person, name: str, order: RestoreOrder | None = None) -> Snapshot:
    """Bring a copy back; what was written since is lost."""
    return Snapshot.of(await host.storage.restore(name, order.snapshot if order else "", by=person))
