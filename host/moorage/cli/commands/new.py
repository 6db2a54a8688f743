"""``new``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from moorage.cli.output import facts, print_json, say
from moorage.cli.project import create

commands = typer.Typer()


@commands.command()
def new(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Name of the plugin: letters, digits, hyphens.", show_default=False)
    ],
    into: Annotated[Path, typer.Option("--into", metavar="DIR", help="Make the project's folder in here.")] = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="Print name and folder as JSON.")] = False,
) -> None:
    """Make the skeleton of a plugin project."""
    created, folder = create(name, into)
    if as_json:
        print_json({"name": created, "folder": str(folder.resolve())})
        return
    say(f"{folder} holds a plugin that greets, with its tests. Next:")
    facts(
        [
            (f"cd {folder}", "go there"),
            ("pytest", "run its tests"),
            ("moorage dev --run execute", "run it, and again whenever you save a file; Ctrl-C ends it"),
            ("moorage install . --grant-required", "put it to use on a running host"),
            (f"moorage run {created}", "run it"),
        ]
    )
