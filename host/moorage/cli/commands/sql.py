"""``sql``."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated
from urllib.parse import quote

import typer

from moorage.cli.client import connect
from moorage.cli.options import AsJson, Config, Socket
from moorage.cli.output import note, print_json, table
from moorage.web.schemas.sql import SqlBackend

commands = typer.Typer()


class Action(StrEnum):
    LIST = "list"
    PLAN = "plan"


@commands.command()
def sql(
    action: Annotated[Action, typer.Argument(metavar="ACTION", help="What to do.")] = Action.LIST,
    backend: Annotated[
        str | None, typer.Option("--backend", metavar="NAME", help="That database alone.", show_default=False)
    ] = None,
    config: Config = None,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """List the databases, or print the SQL that they lack for the present installations."""
    with connect(config, socket) as api:
        listed = [SqlBackend.model_validate(each) for each in api.get("/sql")["items"]]
        if backend is not None and action is Action.LIST:
            known = ", ".join(each.name for each in listed) or "none"
            listed = [each for each in listed if each.name == backend]
            if not listed:
                raise typer.BadParameter(
                    f"there is no database {backend!r}; there are: {known}", param_hint="--backend"
                )
        if action is Action.LIST:
            print_json({"items": [each.model_dump() for each in listed]}) if as_json else _print(listed)
            return
        names = [backend] if backend is not None else [each.name for each in listed if each.mode]
        plans = [api.get(f"/sql/{quote(name, safe='')}/plan") for name in names]
    if as_json:
        print_json({"items": plans})
        return
    for plan in plans:
        if plan["script"]:
            sys.stdout.write(plan["script"])
    if not any(plan["script"] for plan in plans):
        note("There is nothing to run: no database keeps installations apart by roles.")


def _print(backends: list[SqlBackend]) -> None:
    rows = [[each.name, each.dialect, each.version, each.mode or "file"] for each in backends]
    table(["DATABASE", "DIALECT", "VERSION", "MODE"], rows)
