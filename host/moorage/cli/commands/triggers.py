"""``triggers``, ``trigger`` and ``policy``."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import quote

import typer

from moorage.cli.client import ApiClient, connect, installation
from moorage.cli.options import AsJson, Config, Name, OptionalName, Socket
from moorage.cli.output import print_json, say
from moorage.cli.triggers_page import print_policy, print_trigger, print_triggers
from moorage.models.policy import Origin
from moorage.web.schemas.policies import PolicyValue
from moorage.web.schemas.triggers import Trigger

commands = typer.Typer()


class Action(StrEnum):
    SHOW = "show"
    PAUSE = "pause"
    RESUME = "resume"
    FIRE = "fire"
    ADD = "add"
    CHANGE = "change"
    RESET = "reset"
    REMOVE = "remove"


_TAKES_PARTS = (Action.ADD, Action.CHANGE)


@commands.command("triggers")
def list_triggers(
    name: OptionalName = None, config: Config = None, socket: Socket = None, as_json: AsJson = False
) -> None:
    """List what starts executions by itself, and when."""
    with connect(config, socket) as api:
        answer = api.get("/triggers", about=name, installation=name)
    if as_json:
        print_json(answer)
    else:
        print_triggers([Trigger.model_validate(each) for each in answer["items"]])


@commands.command()
def trigger(
    action: Annotated[
        Action,
        typer.Argument(
            metavar="ACTION",
            help="show it; pause or resume it; fire it, now; add or change one; reset what people changed; remove it.",
        ),
    ],
    name: Annotated[
        str,
        typer.Argument(
            metavar="TRIGGER",
            help="Such as churn/nightly. To add one: churn, churn/nightly, or a name of its own with select=...",
            show_default=False,
        ),
    ],
    parts: Annotated[
        list[str] | None,
        typer.Argument(metavar="PART=VALUE...", help="Such as cron='0 6 * * *' task=report.", show_default=False),
    ] = None,
    unset: Annotated[
        list[str] | None,
        typer.Option("--unset", metavar="PART", help="Of change: again as it was declared.", show_default=False),
    ] = None,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Of pause: why.", show_default=False)] = "",
    as_text: Annotated[bool, typer.Option("--text", help="Values are text, also where they look like JSON.")] = False,
    config: Config = None,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Look at one trigger, pause, fire, add or change it."""
    given = dict(_pair(each, as_text=as_text) for each in parts or [])
    _check(action, given, unset or [], reason)
    with connect(config, socket) as api:
        before = api.get(f"/triggers/{quote(name)}", about=name) if action is Action.REMOVE else {}
        answer = _asked(api, action, name, given, unset or [], reason)
    if as_json:
        print_json(answer)
    elif action is Action.REMOVE:
        own = before["origin"] == Origin.PERSON
        back = f" It is declared still, and counts no more. To have it back: moorage trigger reset {name}"
        say(f"{name} is {'gone' if own else 'removed'}.{'' if own else back}")
    elif action is Action.FIRE:
        for each in answer["items"]:
            say(f"{each['id']} of {each['installation']} is {each['state']}. moorage execution {each['id']}")
    else:
        print_trigger(Trigger.model_validate(answer))


@commands.command()
def policy(
    name: Name,
    values: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE...", help="Such as retries=3 timeout='2 min'.", show_default=False),
    ] = None,
    reset: Annotated[
        list[str] | None,
        typer.Option("--reset", metavar="KEY", help="Take back what was set; may be repeated.", show_default=False),
    ] = None,
    config: Config = None,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Show how executions of an installation are run, or change it."""
    given = dict(_pair(each) for each in values or [])
    path = installation(name, "policy")
    with connect(config, socket) as api:
        if given or reset:
            answer = api.patch(path, {"set": given, "reset": reset or []}, about=name)
        else:
            answer = api.get(path, about=name)
    if as_json:
        print_json(answer)
    else:
        print_policy([PolicyValue.model_validate(each) for each in answer["items"]])


def _asked(
    api: ApiClient, action: Action, name: str, given: dict[str, Any], unset: list[str], reason: str
) -> dict[str, Any]:
    path = f"/triggers/{quote(name)}"
    if action is Action.ADD:
        owner, _, own = name.rpartition("/") if "/" in name or "select" in given else (name, "", "")
        body = {"installation": owner, "trigger": given | ({"name": own} if own else {})}
        answer = api.post("/triggers", body, about=owner or None)
    elif action is Action.SHOW:
        answer = api.get(path, about=name)
    elif action is Action.CHANGE:
        answer = api.patch(path, {"set": given, "unset": unset}, about=name)
    elif action is Action.REMOVE:
        answer = api.delete(path, about=name)
    else:
        order = {"reason": reason} if action is Action.PAUSE else None
        answer = api.post(f"{path}/{action.value}", order, about=name)
    return dict(answer)


def _check(action: Action, given: dict[str, Any], unset: list[str], reason: str) -> None:
    if given and action not in _TAKES_PARTS:
        raise typer.BadParameter(f"{action.value} takes no PART=VALUE; add and change do")
    if unset and action is not Action.CHANGE:
        raise typer.BadParameter("--unset goes with change")
    if reason and action is not Action.PAUSE:
        raise typer.BadParameter("--reason goes with pause")
    if (action is Action.ADD and not given) or (action is Action.CHANGE and not given and not unset):
        raise typer.BadParameter(f"say what to {action.value}: PART=VALUE, such as cron='0 6 * * *'")


def _pair(text: str, *, as_text: bool = False) -> tuple[str, Any]:
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise typer.BadParameter(f"{text!r} is not a name, '=' and a value")
    if as_text:
        return key, value
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value
