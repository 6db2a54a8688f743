"""Grants and deny rules: what an installation may do, and what that means."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from moorage.web.person import Person
from moorage.web.routes.host import Host
from moorage.web.schemas.base import Page
from moorage.web.schemas.grants import Denial, DenyOrder, Grant, GrantOrder, GrantPreview, Use
from moorage.web.schemas.installations import Installation

router = APIRouter(tags=["grants"])

Capabilities = Annotated[list[str], Query(min_length=1, description="Repeated for several.")]


@router.get("/installations/{name}/grants")
async def list_grants(host: Host, name: str) -> Page[Grant]:
    """What the plugin requests, and what of it is granted."""
    return Page(items=[Grant.of(grant) for grant in (await host.installation(name)).grants])


@router.post("/installations/{name}/grants")
async def grant(host: Host, person: Person, name: str, order: GrantOrder) -> Installation:
    """Grant capabilities, or all that the plugin requires, or can do without; `dangers` of the answer says aloud what
    has to be.
    """
    return Installation.of(await host.grants.grant(name, order.model(), by=person))


@router.post("/installations/{name}/grants/preview")
async def preview(host: Host, name: str, order: GrantOrder) -> GrantPreview:
    """What granting this would mean; nothing changes."""
    return GrantPreview.of(await host.grants.preview(name, order.model()))


@router.delete("/installations/{name}/grants")
async def revoke(host: Host, person: Person, name: str, capability: Capabilities) -> Installation:
    """Take granted capabilities back; what is held open through them is closed."""
    return Installation.of(await host.grants.revoke(name, capability, by=person))


@router.get("/installations/{name}/use")
async def show_use(host: Host, name: str) -> Use:
    """What it makes of its rights: calls, bytes and denials of each method, and which grants are used, and how much."""
    use = await host.grants.use(name)
    return Use.of(use, (await host.installation(name)).grants)


@router.get("/installations/{name}/denials")
async def list_denials(host: Host, name: str) -> Page[Denial]:
    """The deny rules; each beats every grant."""
    return Page(items=[Denial.of(denial) for denial in (await host.installation(name)).denials])


@router.post("/installations/{name}/denials")
async def deny(host: Host, person: Person, name: str, order: DenyOrder) -> Installation:
    """Deny capabilities, whatever is granted; what is held open through them is closed."""
    return Installation.of(await host.grants.deny(name, order.capabilities, because=order.because, by=person))


@router.delete("/installations/{name}/denials")
async def undeny(host: Host, person: Person, name: str, capability: Capabilities) -> Installation:
    """Take deny rules back."""
    return Installation.of(await host.grants.undeny(name, capability, by=person))
