"""``switch``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from moorage.cli.client import connect
from moorage.cli.options import AsJson, Config, Socket
from moorage.cli.output import local_time, print_json, say
from moorage.web.schemas.switch import Switch

commands = typer.Typer()


class Way(StrEnum):
    ON = "on"
    OFF = "off"


@commands.command()
def switch(
    way: Annotated[Way | None, typer.Argument(metavar="on|off", help="Which way.", show_default=False)] = None,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="For whoever asks why nothing works.")] = "",
    config: Config = None,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Let nothing work, whatever is enabled, until it is switched on again."""
    if way is None and reason:
        raise typer.BadParameter("--reason goes with on or off")
    with connect(config, socket) as api:
        order = {"on": way is Way.ON, "reason": reason}
        answer = api.get("/switch") if way is None else api.put("/switch", order)
    if as_json:
        print_json(answer)
        return
    found = Switch.model_validate(answer)
    for report in found.stopped:
        say(report.sentence)
    say(*line(found))


def line(found: Switch) -> tuple[str, str]:
    """What is to be known of it, and its style."""
    if not found.on:
        why = f": {found.reason}" if found.reason else ""
        when = local_time(found.set_at)
        return f"Everything is switched off by {found.set_by} since {when}{why}. moorage switch on", "bold yellow"
    since = f" since {local_time(found.set_at)}, by {found.set_by}" if found.set_at is not None else ""
    return f"It is on{since}: what is enabled may work.", ""
