"""``reload`` and ``restart``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from moorage.cli.client import RemoteProblem, connect, installation
from moorage.cli.options import AsJson, Config, Name, Socket
from moorage.cli.output import note, print_json, say
from moorage.web.schemas.reload import ReloadReport

commands = typer.Typer()


class Mode(StrEnum):
    BESIDE = "beside"
    IN_TURN = "in_turn"


@commands.command()
def reload(
    name: Name,
    mode: Annotated[
        Mode | None,
        typer.Option(
            "--mode", help="Both versions at one time, or one after the other.", show_default="as the plugin wants it"
        ),
    ] = None,
    start: Annotated[bool, typer.Option("--start", help="Start it also where it does not run.")] = False,
    grant: Annotated[
        list[str] | None, typer.Option("--grant", metavar="CAPABILITY", help="Grant it; may be repeated.")
    ] = None,
    grant_required: Annotated[
        bool, typer.Option("--grant-required", help="Grant all that the new version requires.")
    ] = False,
    config: Config = None,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Read its source folder again, and put what is there in the place of what runs."""
    order = {"mode": mode, "start": start, "grant": grant or [], "grant_required": grant_required}
    with connect(config, socket) as api:
        answer = None
        for event in api.lines(installation(name, "reload"), order, about=name):
            answer = _take(event) or answer
    if answer is None:
        raise RemoteProblem({"detail": f"The host stopped before {name} was reloaded; see: moorage show {name}"})
    if as_json:
        print_json(answer)
        return
    say(ReloadReport.model_validate(answer).sentence)


@commands.command()
def restart(
    name: Name,
    mode: Annotated[
        Mode | None,
        typer.Option(
            "--mode",
            help="Old and new workers at one time, or one after the other.",
            show_default="as the plugin wants it",
        ),
    ] = None,
    config: Config = None,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Put new workers of the same version in the place of those that run."""
    with connect(config, socket) as api:
        answer = api.post(installation(name, "restart"), {"mode": mode}, about=name)
    if as_json:
        print_json(answer)
        return
    say(ReloadReport.model_validate(answer).sentence)


def _take(event: dict[str, Any]) -> Any:
    if event["event"] == "problem":
        raise RemoteProblem(event["problem"])
    if event["event"] == "progress":
        note(event["sentence"])
    return event.get("report")
