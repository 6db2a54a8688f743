"""Policies: how executions of an installation are run."""

from __future__ import annotations

from fastapi import APIRouter

from moorage.web.person import Person
from moorage.web.routes.host import Host
from moorage.web.schemas.base import Page
from moorage.web.schemas.policies import PolicyChange, PolicyValue

router = APIRouter(tags=["policies"])


@router.get("/installations/{name}/policy")
async def get_policy(host: Host, name: str) -> Page[PolicyValue]:
    """Every value, with where it comes from."""
    return Page(items=[PolicyValue.of(value) for value in await host.policies.show(name)])


@router.patch("/installations/{name}/policy")
async def change_policy(host: Host, person: Person, name: str, change: PolicyChange) -> Page[PolicyValue]:
    """Change values while executions run; they count for what begins from now on."""
    found = await host.policies.change(name, change.set, reset=change.reset, by=person)
    return Page(items=[PolicyValue.of(value) for value in found])
