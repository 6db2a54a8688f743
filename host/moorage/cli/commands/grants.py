"""``grants``, ``grant``, ``revoke``, ``deny`` and ``undeny``."""

from __future__ import annotations

import sys
from collections.abc import Collection
from typing import Annotated, Any

import typer

from moorage.cli.client import ApiClient, connect, installation
from moorage.cli.grants_page import print_changed, print_dangers, print_grants, print_rights, print_use
from moorage.cli.installation_page import current
from moorage.cli.options import AsJson, Config, Name, Socket
from moorage.cli.output import note, print_json, say
from moorage.web.schemas.grants import Grant, Use
from moorage.web.schemas.installations import Installation

commands = typer.Typer()

Capabilities = Annotated[list[str], typer.Argument(metavar="CAPABILITY...", show_default=False)]
Because = Annotated[str, typer.Option("--because", metavar="REASON", help="Why, for whoever asks later.")]


@commands.command()
def grants(
    name: Name,
    use: Annotated[bool, typer.Option("--use", help="What it makes of them: calls, bytes, the last use.")] = False,
    config: Config = None,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Say in plain sentences what an installation may do."""
    with connect(config, socket) as api:
        if use:
            used = api.get(installation(name, "use"), about=name)
            print_json(used) if as_json else print_use(name, Use.model_validate(used))
            return
        answer = api.get(installation(name), about=name)
    if as_json:
        print_json({key: answer[key] for key in ("grants", "denials", "dangers")})
    else:
        print_rights(Installation.model_validate(answer))


@commands.command()
def grant(
    name: Name,
    capabilities: Annotated[
        list[str] | None, typer.Argument(metavar="CAPABILITY...", help="Such as sql.read:users.", show_default=False)
    ] = None,
    required: Annotated[bool, typer.Option("--required", help="All that the plugin requires.")] = False,
    optional: Annotated[bool, typer.Option("--optional", help="All that it can do without.")] = False,
    because: Because = "",
    fail_closed: Annotated[
        bool, typer.Option("--fail-closed", help="Refuse calls under it while the audit cannot be written.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask about what is dangerous.")] = False,
    config: Config = None,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Grant capabilities that a plugin requests."""
    if bool(capabilities) == (required or optional):
        raise typer.BadParameter("name the capabilities to grant, or say --required; see: moorage grants NAME")
    order = {
        "capabilities": capabilities or [],
        "required": required,
        "optional": optional,
        "because": because,
        "fail_closed": fail_closed,
    }
    with connect(config, socket) as api:
        if not yes and is_asked():
            _confirm(api, name, order)
        answer = api.post(installation(name, "grants"), order, about=name)
    found = Installation.model_validate(answer)
    granted = [each for each in found.grants if _is_meant(each, capabilities, required=required, optional=optional)]
    _tell(found, answer, as_json, [each.capability for each in granted])
    if as_json or current(found) is None:
        return
    if any(each.widens_sandbox for each in granted):
        note("A sandbox is made with its worker: this one is replaced where it was made without them.")
    if any(not each.required and not each.widens_sandbox for each in granted):
        note(f"What was injected as None for want of it stays None until: moorage reload {found.id}")


@commands.command()
def revoke(
    name: Name, capabilities: Capabilities, config: Config = None, socket: Socket = None, as_json: AsJson = False
) -> None:
    """Take granted capabilities back."""
    with connect(config, socket) as api:
        answer = api.delete(installation(name, "grants"), about=name, capability=capabilities)
    _tell_changed(answer, as_json, capabilities, "is taken back")


@commands.command()
def deny(
    name: Name,
    capabilities: Capabilities,
    because: Because = "",
    config: Config = None,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Deny capabilities, whatever is granted."""
    order = {"capabilities": capabilities, "because": because}
    with connect(config, socket) as api:
        answer = api.post(installation(name, "denials"), order, about=name)
    _tell_changed(answer, as_json, capabilities, "is denied, whatever is granted")


@commands.command()
def undeny(
    name: Name, capabilities: Capabilities, config: Config = None, socket: Socket = None, as_json: AsJson = False
) -> None:
    """Take deny rules back."""
    with connect(config, socket) as api:
        answer = api.delete(installation(name, "denials"), about=name, capability=capabilities)
    _tell_changed(answer, as_json, capabilities, "is denied no more")


def is_asked() -> bool:
    """Whether a person sits there who can answer."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def _confirm(api: ApiClient, name: str, order: dict[str, Any]) -> None:
    """Asks where something is dangerous; ends the command where the person does not want it."""
    preview = api.post(installation(name, "grants", "preview"), order, about=name)
    if preview["dangers"]:
        for each in preview["capabilities"]:
            say(f"{each['capability']}: {each['meaning']}")
        print_dangers(preview["dangers"])
        typer.confirm(f"\nGrant it to {name}?", abort=True)


def _is_meant(grant: Grant, capabilities: list[str] | None, *, required: bool, optional: bool) -> bool:
    """By the command line."""
    if capabilities:
        return grant.capability in capabilities
    return grant.requested and (required if grant.required else optional)


def _tell_changed(answer: Any, as_json: bool, capabilities: list[str], done: str) -> None:
    if as_json:
        print_json(answer)
        return
    found = Installation.model_validate(answer)
    print_changed(found, capabilities, done)
    state = f"{found.id} is {found.state}. {found.reason}".rstrip()
    say(f"\n{state} All that it may do: moorage grants {found.id}")


def _tell(found: Installation, answer: Any, as_json: bool, about: Collection[str]) -> None:
    if as_json:
        print_json(answer)
        return
    print_grants(found, about)
    say(f"\n{found.id} is {found.state}. {found.reason}".rstrip())
