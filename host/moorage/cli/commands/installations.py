"""``ls`` and ``show``."""

from __future__ import annotations

import typer

from moorage.cli.client import connect, installation
from moorage.cli.installation_page import print_broken, print_installation, print_installations
from moorage.cli.options import AsJson, Config, Name, Socket
from moorage.cli.output import print_json
from moorage.web.schemas.installations import BrokenPlugin, Installation

commands = typer.Typer()


@commands.command("ls")
def list_installations(config: Config = None, socket: Socket = None, as_json: AsJson = False) -> None:
    """List the installations and their state."""
    with connect(config, socket) as api:
        installed = api.get("/installations")
        broken = api.get("/broken-plugins")
    if as_json:
        print_json({"installations": installed["items"], "broken_plugins": broken["items"]})
        return
    print_installations([Installation.model_validate(item) for item in installed["items"]])
    print_broken([BrokenPlugin.model_validate(item) for item in broken["items"]])


@commands.command()
def show(name: Name, config: Config = None, socket: Socket = None, as_json: AsJson = False) -> None:
    """Show all that is known of an installation."""
    with connect(config, socket) as api:
        answer = api.get(installation(name), about=name)
    if as_json:
        print_json(answer)
    else:
        print_installation(Installation.model_validate(answer))
