"""``grant`` and ``revoke``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from moorage.cli.client import connect, installation
from moorage.cli.installation_page import current, print_grants
from moorage.cli.options import AsJson, Config, Name, Socket
from moorage.cli.output import note, print_json, say
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
    found = _tell(answer, as_json)
    if not as_json and current(found) is not None and _optional(found, capabilities or []):
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
    _tell(answer, as_json)


def _optional(found: Installation, capabilities: list[str]) -> bool:
    return any(grant.capability in capabilities and not grant.required for grant in found.grants)


def _tell(answer: Any, as_json: bool) -> Installation:
    found = Installation.model_validate(answer)
    if as_json:
        print_json(answer)
        return found
    print_grants(found.grants)
    say(f"\n{found.id} is {found.state}. {found.reason}".rstrip())
    return found
