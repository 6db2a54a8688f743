"""Extension points of the application, and what plugins implement of them."""

from __future__ import annotations

from fastapi import APIRouter

from moorage.web.routes.host import Host
from moorage.web.schemas.base import Page
from moorage.web.schemas.extensions import ExtensionPoint

router = APIRouter(tags=["extensions"])


@router.get("/extension-points")
async def list_extension_points(host: Host) -> Page[ExtensionPoint]:
    """Extension points by name, with who implements them and how calls of them went."""
    return Page(items=[ExtensionPoint.of(view) for view in await host.extensions.list()])
