"""``top``."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer
from rich.live import Live
from rich.table import Table
from rich.text import Text

from moorage.cli.client import ApiClient, connect
from moorage.cli.installation_page import current
from moorage.cli.options import AsJson, Config, Socket
from moorage.cli.output import console, grid_of, print_json, say, show_grid, state_text
from moorage.cli.plain import one_line
from moorage.web.schemas.installations import Installation

commands = typer.Typer()

HEADINGS = ("INSTALLATION", "STATE", "LEVEL", "CPU", "MEMORY", "CALLS/s", "DENIED/s")
_RIGHT = (3, 4, 5, 6)
_MEBIBYTE = 2**20


@commands.command()
def top(
    once: Annotated[bool, typer.Option("--once", help="Print one table and end.")] = False,
    interval: Annotated[
        float, typer.Option("--interval", "-n", min=0.5, max=3600, help="Seconds between two looks.")
    ] = 2.0,
    config: Config = None,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Show what the workers use, until Ctrl-C.

    Rates are since the look before. In a pipe it prints one table and ends.
    """
    with connect(config, socket) as api:
        if as_json:
            print_json({"installations": _look(api)})
        elif once or not console().is_terminal:
            show_grid(_table(_look(api)))
        else:
            _live(api, interval)


def _live(api: ApiClient, interval: float) -> None:
    try:
        with Live(_table(_look(api)), console=console(), auto_refresh=False, screen=True) as live:
            while True:
                time.sleep(interval)
                live.update(_table(_look(api)), refresh=True)
    except KeyboardInterrupt:
        say()


def _look(api: ApiClient) -> Any:
    return api.get("/installations", look="true")["items"]


def _table(items: Any) -> Table:
    """Who uses most CPU comes first."""
    found = [Installation.model_validate(item) for item in items]
    found.sort(key=lambda each: (-(each.usage.cpu_percent if each.usage else -1), each.id))
    return grid_of(HEADINGS, [_row(each) for each in found], right=_RIGHT, whole=(0,))


def _row(found: Installation) -> list[Text | str]:
    usage, worker = found.usage, current(found)
    state: list[Text | str] = [
        Text(one_line(found.id)),
        state_text(found.state),
        worker.sandbox_level if worker else "",
    ]
    if usage is None:
        return [*state, "", "", "", ""]
    limit = found.plugin.limits.memory_bytes
    return [
        *state,
        f"{usage.cpu_percent:.0f} %",
        f"{usage.memory_bytes / _MEBIBYTE:.0f}/{limit / _MEBIBYTE:g} MiB",
        _rate(usage.calls_per_second),
        _rate(usage.denied_per_second),
    ]


def _rate(value: float) -> str:
    return f"{value:.1f}" if 0 < value < 10 else f"{value:.0f}"
