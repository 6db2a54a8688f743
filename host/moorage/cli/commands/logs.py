"""``logs``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from moorage.cli.client import ApiClient, RemoteProblem, connect
from moorage.cli.log_line import print_log_line
from moorage.cli.options import Config, OptionalName, Socket
from moorage.cli.output import note, print_json, print_json_line
from moorage.web.schemas.logs import LogLine

commands = typer.Typer()


@commands.command()
def logs(
    name: OptionalName = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines, until Ctrl-C.")] = False,
    execution: Annotated[str | None, typer.Option("--execution", "-e", help="Only of this execution.")] = None,
    count: Annotated[int, typer.Option("--lines", "-n", min=0, max=1000, help="This many of the newest lines.")] = 50,
    config: Config = None,
    socket: Socket = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; with -f an object a line.")] = False,
) -> None:
    """Print log lines; with -f follow them."""
    with connect(config, socket) as api:
        if follow:
            _follow(api, name, execution, count, as_json)
            return
        answer = api.get("/logs", about=name, installation=name, execution=execution, limit=max(count, 1))
    if as_json:
        print_json(answer)
        return
    for line in answer["items"]:
        print_log_line(LogLine.model_validate(line), named=name is None)
    if not answer["items"]:
        of = " ".join(f"of {one}" for one in (execution, name) if one)
        note(f"There are no log lines{f' {of}' if of else ''} yet.")


def _follow(api: ApiClient, name: str | None, execution: str | None, count: int, as_json: bool) -> None:
    for event, data in api.events("/logs/stream", about=name, installation=name, execution=execution, tail=count):
        if event == "problem":
            raise RemoteProblem(data)
        _take(data, as_json, named=name is None)
    note("The host has stopped.")


def _take(data: dict[str, Any], as_json: bool, *, named: bool) -> None:
    if as_json:
        print_json_line(data)
    else:
        print_log_line(LogLine.model_validate(data), named=named)
