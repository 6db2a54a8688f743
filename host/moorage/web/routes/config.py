"""Settings of installations: what counts, where it comes from, and changes while workers run."""

from __future__ import annotations

from fastapi import APIRouter

from moorage.web.person import Person
from moorage.web.routes.host import Host
from moorage.web.schemas.config import Config, ConfigOrder

router = APIRouter(tags=["config"])


@router.get("/installations/{name}/config")
async def get_config(host: Host, name: str) -> Config:
    """Every setting with its origin: the manifest's default, the settings file, or set at run time."""
    return Config.of(await host.config.show(name))


@router.patch("/installations/{name}/config")
async def change_config(host: Host, person: Person, name: str, order: ConfigOrder) -> Config:
    """Set settings, and take back what was set; `heard` tells what the workers made of it."""
    return Config.of(await host.config.change(name, order.model(), by=person))
