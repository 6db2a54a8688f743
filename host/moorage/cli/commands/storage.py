"""``storage`` and ``remove``."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from moorage.cli.client import ApiClient, RemoteProblem, connect, installation
from moorage.cli.commands.grants import is_asked
from moorage.cli.options import AsJson, Config, Name, Socket
from moorage.cli.output import amount, complain, local_time, print_json, say, table
from moorage.web.schemas.storage import Snapshot, StorageUse

commands = typer.Typer()


class Action(StrEnum):
    USAGE = "usage"
    SNAPSHOTS = "snapshots"
    SNAPSHOT = "snapshot"
    RESTORE = "restore"
    EXPORT = "export"
    DELETE = "delete"


class Fate(StrEnum):
    KEEP = "keep"
    DELETE = "delete"


Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@commands.command()
def storage(
    name: Name,
    action: Annotated[Action, typer.Argument(metavar="ACTION", help="What to do.")] = Action.USAGE,
    snapshot: Annotated[
        str | None, typer.Argument(metavar="SNAPSHOT", help="To restore; the newest.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File for the export: NAME.tar.", show_default=False)
    ] = None,
    yes: Yes = False,
    config: Config = None,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Look after the private data of an installation."""
    if snapshot is not None and action is not Action.RESTORE:
        raise typer.BadParameter("a SNAPSHOT is for restore alone")
    if output is not None and action is not Action.EXPORT:
        raise typer.BadParameter("--output is for export alone")
    path = installation(name, "storage")
    with connect(config, socket) as api:
        if not yes and is_asked():
            _confirm(_question(api, path, action, name, snapshot))
        if action is Action.EXPORT:
            _export(api, path, name, output or Path(f"{name}.tar"))
        elif action is Action.DELETE:
            api.delete(path, about=name)
            say(f"The data of {name} is deleted, with every copy of it.")
        else:
            _show(action, _ask(api, path, action, name, snapshot), as_json)


@commands.command()
def remove(
    name: Name,
    data: Annotated[
        Fate | None, typer.Option("--data", help="What becomes of its private data.", show_default=False)
    ] = None,
    yes: Yes = False,
    config: Config = None,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Remove an installation, with its grants, settings and secrets."""
    with connect(config, socket) as api:
        if not yes and is_asked():
            api.get(installation(name), about=name)
            _confirm(f"Remove {name}, with its grants, settings and secrets?")
        try:
            answer = api.delete(installation(name), about=name, data=data)
        except RemoteProblem as problem:
            if problem.code != "data_undecided" or not is_asked():
                raise
            complain(problem)
            fate = "delete" if typer.confirm(f"Delete it with {name}? It is kept otherwise.") else "keep"
            answer = api.delete(installation(name), about=name, data=fate)
    if as_json:
        print_json(answer)
    else:
        say(answer["sentence"])


def _question(api: ApiClient, path: str, action: Action, name: str, snapshot: str | None) -> str:
    """To be answered before something is lost; empty: nothing is, or the host has nothing to do it with, and says so.

    Raises RemoteProblem: there is nothing to ask about.
    """
    if action is Action.DELETE:
        use = StorageUse.model_validate(api.get(path, about=name))
        return f"{amount(use.used_bytes)} of {name} are gone then, with every copy of them. Delete?"
    if action is not Action.RESTORE:
        return ""
    taken = [Snapshot.model_validate(each) for each in api.get(f"{path}/snapshots", about=name)["items"]]
    chosen = next((each for each in taken if snapshot in (None, each.id)), None)
    if chosen is None:
        return ""
    return f"What {name} has written since {local_time(chosen.taken_at)} is lost. Restore {chosen.id}?"


def _confirm(question: str) -> None:
    if question:
        typer.confirm(question, abort=True)


def _ask(api: ApiClient, path: str, action: Action, name: str, snapshot: str | None) -> Any:
    if action is Action.SNAPSHOT:
        return api.post(f"{path}/snapshots", about=name)
    if action is Action.RESTORE:
        return api.post(f"{path}/restore", {"snapshot": snapshot or ""}, about=name)
    return api.get(f"{path}/snapshots" if action is Action.SNAPSHOTS else path, about=name)


def _show(action: Action, answer: Any, as_json: bool) -> None:
    if as_json:
        print_json(answer)
    elif action is Action.USAGE:
        use = StorageUse.model_validate(answer)
        say(f"{amount(use.used_bytes)} of {amount(use.limit_bytes)}, {use.files:,} of {use.limit_files:,} files")
        if use.problem:
            say(f"More than could be counted: {use.problem}.", "yellow")
    elif action is Action.SNAPSHOTS:
        _print_snapshots([Snapshot.model_validate(each) for each in answer["items"]])
    else:
        taken = Snapshot.model_validate(answer)
        done = "is taken" if action is Action.SNAPSHOT else "is restored"
        say(f"{taken.id} {done}: {amount(taken.content_bytes)}, version {taken.version}.")


def _print_snapshots(snapshots: list[Snapshot]) -> None:
    if not snapshots:
        say("There are no snapshots.")
        return
    table(
        ["SNAPSHOT", "TAKEN", "VERSION", "SIZE"],
        [[each.id, local_time(each.taken_at), each.version, amount(each.content_bytes)] for each in snapshots],
        right=(3,),
        whole=(0,),
    )


def _export(api: ApiClient, path: str, name: str, output: Path) -> None:
    """A file that is there already is left alone; one that could not be finished goes."""
    if str(output) == "-":
        for chunk in api.chunks(f"{path}/export", about=name):
            sys.stdout.buffer.write(chunk)
        return
    try:
        with output.open("xb") as file:
            try:
                written = sum(file.write(chunk) for chunk in api.chunks(f"{path}/export", about=name))
            except BaseException:
                output.unlink()
                raise
    except FileExistsError:
        raise typer.BadParameter(f"{output} is there already; name another file", param_hint="--output") from None
    except OSError as error:
        raise typer.BadParameter(f"{output} cannot be written: {error.strerror}", param_hint="--output") from error
    say(f"{output}: {amount(written)}")
