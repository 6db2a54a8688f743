"""``install``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from moorage.cli.client import RemoteProblem, connect
from moorage.cli.grants_page import print_grants
from moorage.cli.options import AsJson, Config, Socket
from moorage.cli.output import note, print_json, say
from moorage.web.schemas.installations import Installation

commands = typer.Typer()


@commands.command()
def install(
    path: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder with the plugin's pyproject.toml.", show_default=False)
    ],
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the installation.", show_default="the plugin's")
    ] = None,
    grant: Annotated[
        list[str] | None, typer.Option("--grant", metavar="CAPABILITY", help="Grant it; may be repeated.")
    ] = None,
    grant_required: Annotated[bool, typer.Option("--grant-required", help="Grant all that it requires.")] = False,
    config: Config = None,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Install the plugin project in a folder, or bring it up to date."""
    order = {"path": str(path.resolve()), "name": name, "grant": grant or [], "grant_required": grant_required}
    with connect(config, socket) as api:
        answer = None
        for event in api.lines("/installations", order):
            answer = _take(event) or answer
    if answer is None:
        raise RemoteProblem({"detail": "The host stopped before the installation was finished."})
    if as_json:
        print_json(answer)
        return
    _tell(Installation.model_validate(answer))


def _take(event: dict[str, Any]) -> Any:
    if event["event"] == "problem":
        raise RemoteProblem(event["problem"])
    if event["event"] == "progress":
        note(event["sentence"])
    return event.get("installation")


def _tell(found: Installation) -> None:
    say(f"{found.id} {found.plugin.version} is installed.")
    if not found.grants:
        return
    say()
    print_grants(found, [grant.capability for grant in found.grants])
    if any(grant.required and not grant.granted for grant in found.grants):
        say(f"\nIt starts once it has what it requires: moorage grant {found.id} --required", "yellow")
    else:
        say(f"\nRun it with: moorage run {found.id}")
