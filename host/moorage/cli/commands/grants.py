"""``grant`` and ``revoke``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from moorage.cli.client import connect, installation
from moorage.cli.installation_page import print_grants
from moorage.cli.options import AsJson, Config, Name, Socket
from moorage.cli.output import print_json, say
from moorage.web.schemas.installations import Installation

commands = typer.Typer()


@commands.command()
def grant(
    name: Name,
    capabilities: Annotated[
        list[str] | None, typer.Argument(metavar="CAPABILITY...", help="Such as sql.read:users.", show_default=False)
    ] = None,
    required: Annotated[bool, typer.Option("--required", help="All that the plugin requires.")] = False,
    config: Config = None,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Grant capabilities that a plugin requests."""
    if bool(capabilities) == required:
        raise typer.BadParameter("name the capabilities to grant, or say --required; see: moorage show NAME")
    order = {"capabilities": capabilities or [], "required": required}
    with connect(config, socket) as api:
        answer = api.post(installation(name, "grants"), order, about=name)
    _tell(answer, as_json)


@commands.command()
def revoke(
    name: Name,
    capabilities: Annotated[list[str], typer.Argument(metavar="CAPABILITY...", show_default=False)],
    config: Config = None,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Take granted capabilities back."""
    with connect(config, socket) as api:
        answer = api.delete(installation(name, "grants"), about=name, capability=capabilities)
    _tell(answer, as_json)


def _tell(answer: Any, as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    found = Installation.model_validate(answer)
    print_grants(found.grants)
    say(f"\n{found.id} is {found.state}. {found.reason}".rstrip())
