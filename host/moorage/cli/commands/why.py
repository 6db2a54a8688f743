"""``why`` and ``stack``."""

from __future__ import annotations

import typer

from moorage.cli.client import connect, installation
from moorage.cli.options import AsJson, Config, Name, Socket
from moorage.cli.output import print_json, say
from moorage.cli.why_page import page
from moorage.web.schemas.why import Why, WorkerStack

commands = typer.Typer()


@commands.command()
def why(name: Name, config: Config = None, socket: Socket = None, as_json: AsJson = False) -> None:
    """Explain what an installation does now, or why it does not run."""
    with connect(config, socket) as api:
        answer = api.get(installation(name, "why"), about=name)
    if as_json:
        print_json(answer)
        return
    for line in page(Why.model_validate(answer)):
        say(line)


@commands.command()
def stack(name: Name, config: Config = None, socket: Socket = None, as_json: AsJson = False) -> None:
    """Print what all threads of its workers do, now."""
    with connect(config, socket) as api:
        answer = api.get(installation(name, "stack"), about=name)
    if as_json:
        print_json(answer)
        return
    for item in answer["items"]:
        _print(WorkerStack.model_validate(item))


def _print(found: WorkerStack) -> None:
    say(f"#{found.number}{f' is at {found.where}' if found.where else ''}")
    say(found.text or "It could not tell: it is stopped, still starting, or has no handler for the question any more.")
