"""``logs``."""

from __future__ import annotations

import logging
from typing import Annotated, Any

import typer
from rich.text import Text

from moorage.cli.client import ApiClient, RemoteProblem, connect
from moorage.cli.options import Config, OptionalName, Socket
from moorage.cli.output import indented, local_time, note, print_json, print_json_line, say
from moorage.cli.plain import one_line
from moorage.web.schemas.logs import LogLine

commands = typer.Typer()

_LEVEL_STYLES = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "bold red", "DEBUG": "dim"}


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
        _print(LogLine.model_validate(line), named=name is None)
    if not answer["items"]:
        note("There are no log lines yet.")


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
        _print(LogLine.model_validate(data), named=named)


def _print(line: LogLine, *, named: bool) -> None:
    level = logging.getLevelName(line.level)
    parts = [
        (local_time(line.time, date=False), "dim"),
        (f" {level:<7} ", _LEVEL_STYLES.get(level, "")),
        (f"{one_line(line.installation)} " if named else "", "cyan"),
        (f"{line.logger} " if line.logger in ("stdout", "stderr") else "", "dim"),
        (_message(line.message), ""),
        (_fields(line), "dim"),
    ]
    say(Text.assemble(*parts))
    if line.exception:
        indented(line.exception, "dim")


def _message(text: str) -> str:
    """On one line where it is one; the further lines of others are indented, so that none can pass for a new entry."""
    return "\n".join(["    " * bool(number) + one_line(part) for number, part in enumerate(text.split("\n"))])


def _fields(line: LogLine) -> str:
    if not isinstance(line.fields, dict) or not line.fields:
        return ""
    return "  " + " ".join(one_line(f"{key}={value}") for key, value in line.fields.items())
