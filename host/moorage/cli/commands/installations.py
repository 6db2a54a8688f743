"""``ls`` and ``show``."""

from __future__ import annotations

from typing import Annotated

import typer

from moorage.cli.client import connect, installation
from moorage.cli.commands.switch import line
from moorage.cli.installation_page import print_broken, print_installation, print_installations
from moorage.cli.options import AsJson, Config, Name, Socket
from moorage.cli.output import print_json, say
from moorage.cli.selecting import Capability, NameGlob, NotTags, Predicate, Tags, Version, chosen
from moorage.web.schemas.installations import BrokenPlugin, Installation
from moorage.web.schemas.policies import PolicyValue
from moorage.web.schemas.switch import Switch
from moorage.web.schemas.triggers import Trigger

commands = typer.Typer()


@commands.command("ls")
def list_installations(
    tags: Tags = None,
    not_tags: NotTags = None,
    version: Version = "",
    capability: Capability = "",
    glob: NameGlob = "",
    predicate: Predicate = "",
    enabled: Annotated[
        bool | None, typer.Option("--enabled/--disabled", help="Those alone that are, or are not.", show_default=False)
    ] = None,
    state: Annotated[
        str | None, typer.Option("--state", metavar="STATE", help="Those alone in it: ready.", show_default=False)
    ] = None,
    config: Config = None,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """List the installations and their state."""
    selector = chosen(tags, not_tags, version, capability, glob, predicate)
    wanted = selector.query | ({} if enabled is None else {"enabled": enabled}) | ({"state": state} if state else {})
    with connect(config, socket) as api:
        installed = api.get("/installations", **wanted)
        broken = api.get("/broken-plugins") if not wanted else {"items": []}
        switch = Switch.model_validate(api.get("/switch"))
    if as_json:
        print_json({"installations": installed["items"], "broken_plugins": broken["items"]})
        return
    if not switch.on:
        say(*line(switch))
    found = [Installation.model_validate(item) for item in installed["items"]]
    if wanted and not found:
        say("No installation is like that. All that there are: moorage ls")
        return
    print_installations(found)
    print_broken([BrokenPlugin.model_validate(item) for item in broken["items"]])


@commands.command()
def show(name: Name, config: Config = None, socket: Socket = None, as_json: AsJson = False) -> None:
    """Show all that is known of an installation."""
    with connect(config, socket) as api:
        answer = api.get(installation(name), about=name)
        if as_json:
            print_json(answer)
            return
        triggers = api.get("/triggers", installation=name)["items"]
        policy = api.get(installation(name, "policy"))["items"]
    print_installation(
        Installation.model_validate(answer),
        [Trigger.model_validate(each) for each in triggers],
        [PolicyValue.model_validate(each) for each in policy],
    )
