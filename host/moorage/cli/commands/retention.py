"""``retention``."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from moorage.cli.client import connect
from moorage.cli.options import AsJson, Config, Socket
from moorage.cli.output import amount, local_time, print_json, say, table
from moorage.web.schemas.retention import Retained, RetentionReport

commands = typer.Typer()


@commands.command()
def retention(
    now: Annotated[bool, typer.Option("--now", help="Delete now what is too old or too much.")] = False,
    config: Config = None,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Show how much there is of what happened and how long it is kept, or let go of the rest now."""
    with connect(config, socket) as api:
        answer = api.post("/retention", {}) if now else api.get("/retention")
    if as_json:
        print_json(answer)
    elif now:
        say(RetentionReport.model_validate(answer).sentence)
    else:
        rows = [_row(Retained.model_validate(each)) for each in answer["items"]]
        table(["WHAT", "THERE ARE", "OLDEST", "KEPT"], rows)


def _row(found: Retained) -> list[str]:
    text = "" if found.size is None else f", {amount(found.size)}"
    what = "workers" if found.kind == "incarnations" else found.kind
    return [what, f"{found.count:,}{text}", local_time(found.oldest) or "none", _kept(found)]


def _kept(found: Retained) -> str:
    bounds = []
    if found.most_seconds is not None:
        bounds.append(_days(timedelta(seconds=found.most_seconds)))
    if found.most_each is not None:
        bounds.append(f"{found.most_each:,} of each installation")
    if found.most_size is not None:
        bounds.append(f"{found.most_size / 2**20:,.0f} MiB of text")
    return ", ".join(bounds) or "for ever"


def _days(age: timedelta) -> str:
    if age >= timedelta(days=1) and not age % timedelta(days=1):
        return "1 day" if age.days == 1 else f"{age.days} days"
    return f"{age.total_seconds():,.0f} s"
