"""``secrets``: set, list, delete, rotate."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import quote

import typer

from moorage.cli.client import ApiClient, connect, installation
from moorage.cli.options import AsJson, Config, Socket
from moorage.cli.output import local_time, note, print_json, say, table
from moorage.web.schemas.secrets import Secret

commands = typer.Typer()

#: Masking looks for longer ones.
_SHORTEST_MASKED = 4


class Action(StrEnum):
    SET = "set"
    LIST = "list"
    DELETE = "delete"
    ROTATE = "rotate"


@commands.command()
def secrets(
    action: Annotated[Action, typer.Argument(metavar="ACTION", help="What to do.", show_default=False)],
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Name of the installation.", show_default=False)
    ] = None,
    secret: Annotated[
        str | None, typer.Argument(metavar="SECRET", help="Such as LASTFM_KEY.", show_default=False)
    ] = None,
    shared: Annotated[
        bool, typer.Option("--shared", help="One that several installations may use; there is no NAME then.")
    ] = False,
    config: Config = None,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Set, list and delete secrets of a plugin, or seal all with a new key."""
    if action is Action.ROTATE:
        _refuse(name, "rotate concerns all secrets, and takes no NAME")
        with connect(config, socket) as api:
            _tell_rotated(api.post("/secrets/rotate"), as_json)
        return
    if action is Action.LIST:
        _refuse(secret, "list takes no SECRET")
        with connect(config, socket) as api:
            path = "/secrets" if shared or name is None else installation(name, "secrets")
            _print(api.get(path, about=name), as_json, only_shared=shared)
        return
    owner, wanted = _owner_and_secret(name, secret, shared=shared)
    path = f"/secrets/{wanted}" if owner is None else installation(owner, "secrets", wanted)
    with connect(config, socket) as api:
        if action is Action.SET:
            _set(api, path, owner, wanted, as_json)
        else:
            api.delete(path, about=owner)
            say(f"{wanted} is deleted.")


def _owner_and_secret(name: str | None, secret: str | None, *, shared: bool) -> tuple[str | None, str]:
    given = [each for each in (name, secret) if each is not None]
    if len(given) != (1 if shared else 2):
        raise typer.BadParameter("name the installation and the secret, or the secret alone with --shared")
    return (None if shared else given[0]), quote(given[-1], safe="")


def _refuse(value: str | None, sentence: str) -> None:
    if value is not None:
        raise typer.BadParameter(sentence)


def _set(api: ApiClient, path: str, owner: str | None, name: str, as_json: bool) -> None:
    value = _read_value(name)
    answer = api.put(path, {"value": value}, about=owner)
    if as_json:
        print_json(answer)
        return
    say(f"{name} is set{f' for {owner}' if owner else ', shared'}.")
    if len(value) < _SHORTEST_MASKED:
        note("It is so short that it is not masked in logs: it would occur in everything.")
    if owner is None:
        note("It is for installations whose settings name it: shared_secrets.")


def _read_value(name: str) -> str:
    """Never of the command line: that can be seen by all users of a machine."""
    if sys.stdin.isatty():
        return str(typer.prompt(f"Value of {name}", hide_input=True))
    return sys.stdin.read().removesuffix("\n")


def _print(answer: Any, as_json: bool, *, only_shared: bool) -> None:
    found = [Secret.model_validate(each) for each in answer["items"]]
    found = [each for each in found if not (only_shared and each.installation)]
    if as_json:
        print_json({"items": [each.model_dump(mode="json") for each in found]})
    elif not found:
        say("There are no secrets.")
    else:
        table(
            ["INSTALLATION", "SECRET", "SET", "BY"],
            [[each.installation or "(shared)", each.name, local_time(each.set_at), _by(each)] for each in found],
        )
        for each in found:
            if each.problem:
                say(f"\n{each.problem}", "yellow")


def _by(secret: Secret) -> str:
    return f"the plugin ({secret.set_by})" if secret.origin == "plugin" else secret.set_by


def _tell_rotated(answer: Any, as_json: bool) -> None:
    if as_json:
        print_json(answer)
    else:
        count = answer["sealed"]
        say(f"{count} {'secret is' if count == 1 else 'secrets are'} sealed with a new key; the old one is forgotten.")
