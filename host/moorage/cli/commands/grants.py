"""``grant`` and ``revoke``."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any

import typer

from moorage.cli.client import connect, installation
from moorage.cli.installation_page import current, print_grants
from moorage.cli.options import AsJson, Config, Name, Socket
from moorage.cli.output import note, print_json, say
from moorage.web.schemas.installations import Grant, Installation

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
    granted = [each for each in Installation.model_validate(answer).grants if _is_meant(each, capabilities)]
    found = _tell(answer, as_json, [each.capability for each in granted])
    if as_json or current(found) is None:
        return
    if any(each.meaning for each in granted):
        note("A sandbox is made with its worker: this one is replaced where it was made without them.")
    if any(not each.required and not each.meaning for each in granted):
        note(f"What was injected as None for want of it stays None until: moorage reload {found.id}")


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
    _tell(answer, as_json, ())


def _is_meant(grant: Grant, capabilities: list[str] | None) -> bool:
    """By the command line; without names it was --required."""
    return grant.capability in capabilities if capabilities else grant.required


def _tell(answer: Any, as_json: bool, about: Collection[str]) -> Installation:
    found = Installation.model_validate(answer)
    if as_json:
        print_json(answer)
        return found
    print_grants(found.grants, about)
    say(f"\n{found.id} is {found.state}. {found.reason}".rstrip())
    return found
