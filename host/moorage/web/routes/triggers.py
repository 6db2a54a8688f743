"""Triggers: what starts executions by itself."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response, status

from moorage.web.person import Person
from moorage.web.routes.host import Host
from moorage.web.schemas.base import Page
from moorage.web.schemas.executions import Execution
from moorage.web.schemas.triggers import PauseOrder, Trigger, TriggerChange, TriggerOrder

router = APIRouter(tags=["triggers"])

#: Ids have a slash, so that they are read as the rest of a path, and what is done to them stands behind it.
_ONE = "/triggers/{trigger:path}"


@router.get("/triggers")
async def list_triggers(
    host: Host, installation: Annotated[str | None, Query(description="Only of this installation.")] = None
) -> Page[Trigger]:
    """All triggers, each with its condition and its next run."""
    return Page(items=[Trigger.of(view) for view in await host.triggers.list(installation)])


@router.post("/triggers", status_code=status.HTTP_201_CREATED)
async def add_trigger(host: Host, person: Person, order: TriggerOrder) -> Trigger:
    """Add one, of an installation or of all that it selects."""
    return Trigger.of(await host.triggers.add(order.installation, order.trigger, by=person))


@router.post(f"{_ONE}/pause")
async def pause_trigger(host: Host, person: Person, trigger: str, order: PauseOrder | None = None) -> Trigger:
    """It fires no more, and its source is not listened to, until it is resumed."""
    return Trigger.of(await host.triggers.pause(trigger, reason=order.reason if order else "", by=person))


@router.post(f"{_ONE}/resume")
async def resume_trigger(host: Host, person: Person, trigger: str) -> Trigger:
    """It works again; what it missed meanwhile, its misfire policy decides."""
    return Trigger.of(await host.triggers.resume(trigger, by=person))


@router.post(f"{_ONE}/reset")
async def reset_trigger(host: Host, person: Person, trigger: str) -> Trigger:
    """Take back all that people changed of it, its removal included."""
    return Trigger.of(await host.triggers.reset(trigger, by=person))


@router.post(f"{_ONE}/fire", status_code=status.HTTP_202_ACCEPTED)
async def fire_trigger(host: Host, person: Person, trigger: str) -> Page[Execution]:
    """Start what it starts, now, whether or not it is paused."""
    return Page(items=[Execution.of(execution) for execution in await host.triggers.fire(trigger, by=person)])


@router.get(_ONE)
async def get_trigger(host: Host, trigger: str) -> Trigger:
    """One trigger with its next runs, and those that it selects."""
    return Trigger.of(await host.triggers.show(trigger))


@router.patch(_ONE)
async def change_trigger(host: Host, person: Person, trigger: str, change: TriggerChange) -> Trigger:
    """Change parts of it; what the manifest and the settings say later does not undo that."""
    return Trigger.of(await host.triggers.change(trigger, change.set, unset=change.unset, by=person))


@router.delete(_ONE, status_code=status.HTTP_204_NO_CONTENT)
async def remove_trigger(host: Host, person: Person, trigger: str) -> Response:
    """Remove a person's own; one that is declared counts no more, until it is reset."""
    await host.triggers.remove(trigger, by=person)
    return Response(status_code=status.HTTP_204_NO_CONTENT)
