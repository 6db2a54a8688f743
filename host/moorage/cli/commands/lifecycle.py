"""``start``, ``stop``, ``release``, ``kill``, ``reload`` and ``unload-all``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from moorage.cli.client import connect, installation
from moorage.cli.installation_page import current
from moorage.cli.options import AsJson, Config, Name, Socket
from moorage.cli.output import print_json, say
from moorage.web.schemas.installations import Installation, StopReport

commands = typer.Typer()


@commands.command()
def start(name: Name, config: Config = None, socket: Socket = None, as_json: AsJson = False) -> None:
    """Start an installation's worker."""
    with connect(config, socket) as api:
        answer = api.post(installation(name, "start"), about=name)
    _tell_state(answer, as_json)


@commands.command()
def stop(
    name: Name,
    hold: Annotated[str, typer.Option("--hold", metavar="REASON", help="Keep it stopped until released.")] = "",
    config: Config = None,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Let work in flight finish, then stop the worker."""
    with connect(config, socket) as api:
        answer = api.post(installation(name, "stop"), {"hold": hold}, about=name)
    _tell_reports([answer], as_json, answer)


@commands.command()
def release(name: Name, config: Config = None, socket: Socket = None, as_json: AsJson = False) -> None:
    """End a hold, so that the installation may start again."""
    with connect(config, socket) as api:
        answer = api.post(installation(name, "release"), about=name)
    _tell_state(answer, as_json)


@commands.command()
def kill(name: Name, config: Config = None, socket: Socket = None, as_json: AsJson = False) -> None:
    """End the worker and its processes at once.

    Work in flight is lost, and recorded so.
    """
    with connect(config, socket) as api:
        answer = api.post(installation(name, "kill"), about=name)
    _tell_reports([answer], as_json, answer)


@commands.command()
def reload(name: Name, config: Config = None, socket: Socket = None, as_json: AsJson = False) -> None:
    """Stop it, read its source folder again, start it."""
    with connect(config, socket) as api:
        answer = api.post(installation(name, "reload"), about=name)
    _tell_state(answer, as_json)


@commands.command("unload-all")
def unload_all(config: Config = None, socket: Socket = None, as_json: AsJson = False) -> None:
    """Stop every worker."""
    with connect(config, socket) as api:
        answer = api.post("/unload-all")
    _tell_reports(answer["items"], as_json, answer)


def _tell_state(answer: Any, as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    found = Installation.model_validate(answer)
    worker = current(found)
    where = f" (#{worker.number}, pid {worker.pid}, sandbox {worker.sandbox_level})" if worker else ""
    say(f"{found.id} {found.plugin.version} is {found.state}{where}. {found.reason}".rstrip())


def _tell_reports(reports: Sequence[Any], as_json: bool, answer: Any) -> None:
    if as_json:
        print_json(answer)
        return
    for report in reports:
        say(StopReport.model_validate(report).sentence)
    if not reports:
        say("Nothing was running.")
