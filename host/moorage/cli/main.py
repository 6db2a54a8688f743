"""The ``moorage`` command: the table of its commands, and what errors look like."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from moorage import __version__
from moorage.cli.output import complain
from moorage.cli.plain import one_line
from moorage.errors import ExitCode, MoorageError

#: Set: an unexpected error shows its traceback.
DEBUG = "MOORAGE_DEBUG"


class Lazy(NamedTuple):
    """A command, and the module that holds it."""

    module: str
    #: The first line of its function's docstring, which a test compares.
    summary: str
    panel: str


LOOK, CHANGE, HOST, WRITE = "Look", "Change", "The host", "Write a plugin"

COMMANDS = {
    "ls": Lazy("installations", "List the installations and their state.", LOOK),
    "show": Lazy("installations", "Show all that is known of an installation.", LOOK),
    "why": Lazy("why", "Explain what an installation does now, or why it does not run.", LOOK),
    "stack": Lazy("why", "Print what all threads of its workers do, now.", LOOK),
    "top": Lazy("top", "Show what the workers use, until Ctrl-C.", LOOK),
    "executions": Lazy("executions", "List executions, newest first.", LOOK),
    "execution": Lazy("executions", "Show one execution with its result or error.", LOOK),
    "triggers": Lazy("triggers", "List what starts executions by itself, and when.", LOOK),
    "logs": Lazy("logs", "Print log lines; with -f follow them.", LOOK),
    "audit": Lazy("audit", "Print who did, or was denied, what.", LOOK),
    "extensions": Lazy("extensions", "List the application's extension points, and who implements them.", LOOK),
    "grants": Lazy("grants", "Say in plain sentences what an installation may do.", LOOK),
    "run": Lazy("executions", "Run a task of a plugin, or of all that options select.", CHANGE),
    "cancel": Lazy("executions", "Cancel an execution.", CHANGE),
    "retry": Lazy("executions", "Run what an ended execution did again, as another execution.", CHANGE),
    "start": Lazy("lifecycle", "Start an installation's worker.", CHANGE),
    "stop": Lazy("lifecycle", "Let work in flight finish, then stop the worker.", CHANGE),
    "release": Lazy("lifecycle", "End a hold or a quarantine; start again what was up before.", CHANGE),
    "disable": Lazy("lifecycle", "Let work in flight finish, and take no more until it is enabled.", CHANGE),
    "enable": Lazy("lifecycle", "Take work again; start again what was up before.", CHANGE),
    "scale": Lazy("lifecycle", "Say how many workers an installation has.", CHANGE),
    "kill": Lazy("lifecycle", "End the worker and its processes at once.", CHANGE),
    "reload": Lazy("reload", "Read its source folder again, and put what is there in the place of what runs.", CHANGE),
    "restart": Lazy("reload", "Put new workers of the same version in the place of those that run.", CHANGE),
    "switch": Lazy("switch", "Let nothing work, whatever is enabled, until it is switched on again.", CHANGE),
    "unload-all": Lazy("lifecycle", "Stop every worker.", CHANGE),
    "remove": Lazy("storage", "Remove an installation, with its grants, settings and secrets.", CHANGE),
    "install": Lazy("install", "Install the plugin project in a folder, or bring it up to date.", CHANGE),
    "grant": Lazy("grants", "Grant capabilities that a plugin requests.", CHANGE),
    "revoke": Lazy("grants", "Take granted capabilities back.", CHANGE),
    "deny": Lazy("grants", "Deny capabilities, whatever is granted.", CHANGE),
    "undeny": Lazy("grants", "Take deny rules back.", CHANGE),
    "config": Lazy("config", "Show the settings of an installation, or change them while it runs.", CHANGE),
    "trigger": Lazy("triggers", "Look at one trigger, pause, fire, add or change it.", CHANGE),
    "policy": Lazy("triggers", "Show how executions of an installation are run, or change it.", CHANGE),
    "log-level": Lazy("levels", "Show or change from which level on a plugin's loggers send their records.", CHANGE),
    "storage": Lazy("storage", "Look after the private data of an installation.", CHANGE),
    "secrets": Lazy("secrets", "Set, list and delete secrets of a plugin, or seal all with a new key.", CHANGE),
    "backup": Lazy("backup", "Back the store up into a file, while the host runs or not.", HOST),
    "restore": Lazy("backup", "Bring the store back from a back-up, while no host runs.", HOST),
    "retention": Lazy(
        "retention", "Show how much there is of what happened and how long it is kept, or let go of the rest now.", HOST
    ),
    "sql": Lazy("sql", "List the databases, or print the SQL that they lack for the present installations.", HOST),
    "serve": Lazy("serve", "Start the host and its API, until Ctrl-C.", HOST),
    "doctor": Lazy("doctor", "Say what this machine offers for running plugins safely.", HOST),
    "dev": Lazy("dev", "Run a plugin while you write it: reload on save, live logs, breakpoint().", WRITE),
    "new": Lazy("new", "Make the skeleton of a plugin project.", WRITE),
}


class _Commands(TyperGroup):
    """Loads the module of the command that was asked for, and of no other.

    `moorage --help` and `moorage new` need no HTTP client, and only `serve` needs the host: importing all of it would
    cost every command half a second. Typer asks a group for its commands by name, so the module is imported here, by
    name, once it is known which one; the imports of each module stand at its top as everywhere.
    """

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        # For listings and suggestions: names and summaries.
        self.commands.update({name: _stub(name, lazy) for name, lazy in COMMANDS.items()})

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """To be run: the command itself."""
        name, _stub, rest = super().resolve_command(ctx, args)
        return name, load_command(name) if name else None, rest

    def invoke(self, ctx: Any) -> Any:
        """States of affairs that a person can act on are sentences with an exit code, never tracebacks."""
        try:
            return super().invoke(ctx)
        except MoorageError as error:
            complain(error)
            raise typer.Exit(int(error.exit_code)) from error
        except typer.BadParameter as error:
            # Typer passes on what pydantic puts in front of its sentence.
            error.message = error.message.removeprefix("Value error, ")
            raise


def _stub(name: str, lazy: Lazy) -> TyperCommand:
    return TyperCommand(name, help=lazy.summary, short_help=lazy.summary, rich_help_panel=lazy.panel)


def load_command(name: str) -> Any:
    """The command of that name, with its options."""
    module = importlib.import_module(f"moorage.cli.commands.{COMMANDS[name].module}")
    group = typer.main.get_group(module.commands)
    return group.commands[name]


app = typer.Typer(
    cls=_Commands,
    name="moorage",
    help="Run plugins that other people wrote, each in its own process and sandbox.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"moorage {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    ctx: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", envvar="MOORAGE_CONFIG", help="Settings of the host.", show_default=False),
    ] = None,
    socket: Annotated[
        Path | None,
        typer.Option("--socket", envvar="MOORAGE_SOCKET", help="The host's API socket.", show_default=False),
    ] = None,
    version: Annotated[  # noqa: ARG001 - its callback does the work
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    given = {name: value for name, value in (("config", config), ("socket", socket)) if value is not None}
    ctx.default_map = dict.fromkeys(COMMANDS, given)


def main() -> None:
    """Entry point of the ``moorage`` command."""
    for stream in (sys.stdout, sys.stderr):
        # A locale that lacks a character must not end a command; the other end of a pipe gets an escape.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr] # replaced only in tests
    try:
        app(prog_name="moorage")
    except Exception as error:
        if os.environ.get(DEBUG):
            raise
        complain(
            f"An unexpected error, which is a mistake in Moorage: {type(error).__name__}: {one_line(error)}\n"
            f"Set {DEBUG}=1 and run the command again to see where."
        )
        sys.exit(int(ExitCode.INTERNAL))
