"""The switch for all installations at one time."""

from __future__ import annotations

from fastapi import APIRouter

from moorage.web.person import Person
from moorage.web.routes.host import Host
from moorage.web.schemas.switch import Switch, SwitchOrder

router = APIRouter(tags=["switch"])


@router.get("/switch")
async def get_switch(host: Host) -> Switch:
    """Whether installations may work, and if not, who said so, when and why."""
    return Switch.of(await host.switch.state())


@router.put("/switch")
async def set_switch(host: Host, person: Person, order: SwitchOrder) -> Switch:
    """Switch everything off, which answers when nothing runs any more, or on again."""
    if order.on:
        return Switch.of(await host.switch.on(reason=order.reason, by=person))
    stopped = await host.switch.off(reason=order.reason, by=person)
    return Switch.of(await host.switch.state(), stopped)
