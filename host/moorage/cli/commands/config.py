"""``config``: show, set and unset settings of an installation."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any

import typer

from moorage.cli.client import connect, installation
from moorage.cli.options import AsJson, Config, Name, Socket
from moorage.cli.output import complain, local_time, print_json, say, table
from moorage.models.config import ConfigOrigin, Hearing
from moorage.web.schemas import config as schemas

commands = typer.Typer()


class Action(StrEnum):
    SHOW = "show"
    SET = "set"
    UNSET = "unset"


@commands.command()
def config(
    name: Name,
    action: Annotated[Action, typer.Argument(metavar="ACTION", help="What to do.")] = Action.SHOW,
    settings: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE...", help="Such as mail.from=ada@example.com.", show_default=False),
    ] = None,
    as_text: Annotated[bool, typer.Option("--text", help="Values are text, also where they look like JSON.")] = False,
    config: Config = None,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Show the settings of an installation, or change them while it runs."""
    order = _order(action, settings or [], as_text=as_text)
    with connect(config, socket) as api:
        path = installation(name, "config")
        answer = api.get(path, about=name) if order is None else api.patch(path, order, about=name)
    if as_json:
        print_json(answer)
        return
    found = schemas.Config.model_validate(answer)
    if order is None:
        _print(found)
    else:
        _tell(found)


def _order(action: Action, given: list[str], *, as_text: bool) -> dict[str, Any] | None:
    if bool(given) != (action is not Action.SHOW):
        raise typer.BadParameter("show takes nothing; set takes KEY=VALUE, unset takes KEY, one or several")
    if action is Action.SET:
        return {"set": dict(_pair(each, as_text=as_text) for each in given)}
    return {"unset": given} if action is Action.UNSET else None


def _pair(text: str, *, as_text: bool) -> tuple[str, Any]:
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise typer.BadParameter(f"{text!r} is not KEY=VALUE")
    if as_text:
        return key, value
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def _print(found: schemas.Config) -> None:
    if not found.entries:
        say(f"{found.installation} has no settings.")
    else:
        table(["SETTING", "VALUE", "FROM"], [[each.key, _shown(each.value), _from(each)] for each in found.entries])
    if found.problem:
        say(f"\n{found.problem}", "yellow")


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _from(entry: schemas.ConfigEntry) -> str:
    if entry.origin is not ConfigOrigin.RUN_TIME:
        return {ConfigOrigin.DEFAULT: "the manifest", ConfigOrigin.SETTINGS: "the settings file"}[entry.origin]
    return f"run time: {entry.set_by}, {local_time(entry.set_at)}"


def _tell(found: schemas.Config) -> None:
    values = {entry.key: entry for entry in found.entries}
    if not found.changed:
        say("Nothing is different now.")
    for key in found.changed:
        entry = values.get(key)
        say(
            f"{key} = {_shown(entry.value)}  from {_from(entry)}"
            if entry is not None
            else f"{key} is not set any more."
        )
    for heard in found.heard:
        if heard.hearing is Hearing.TAKEN:
            say(f"#{heard.number} has taken it.")
        else:
            said = "said no" if heard.hearing is Hearing.REFUSED else "did not hear of it"
            complain(f"#{heard.number} {said}: {heard.sentence}")
