"""``log-level``."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import typer

from moorage.cli.client import connect, installation
from moorage.cli.options import AsJson, Config, Name, Socket
from moorage.cli.output import local_time, print_json, say, table
from moorage.models.levels import LEVELS, level_name
from moorage.packages.units import UnitInvalid, parse_duration
from moorage.web.schemas.levels import Level

commands = typer.Typer()


@commands.command("log-level")
def log_level(
    name: Name,
    level: Annotated[
        str | None,
        typer.Argument(metavar="LEVEL", help="DEBUG, INFO, WARNING, ERROR, CRITICAL, or a number.", show_default=False),
    ] = None,
    logger: Annotated[
        str | None,
        typer.Option("--logger", metavar="LOGGER", help="That one and those below it alone.", show_default=False),
    ] = None,
    duration: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="Such as 10min; then it is as before.")
    ] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Take back what was set, of that logger or of all.")] = False,
    config: Config = None,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Show or change from which level on a plugin's loggers send their records."""
    if (level is None or reset) and (duration is not None or (level is not None and reset)):
        raise typer.BadParameter("--for goes with a LEVEL, and --reset without one")
    if logger is not None and level is None and not reset:
        raise typer.BadParameter("say a LEVEL for that logger, or --reset")
    path = installation(name, "log-levels")
    with connect(config, socket) as api:
        if reset:
            answer = api.delete(path, about=name, logger=logger)
        elif level is None:
            answer = api.get(path, about=name)
        else:
            answer = api.post(path, _order(level, logger, duration), about=name)
    if as_json:
        print_json(answer)
    else:
        print_levels([Level.model_validate(each) for each in answer["items"]])


def print_levels(levels: list[Level]) -> None:
    if not any(not each.logger for each in levels):
        say("INFO, as by default, where nothing else is said.")
    if levels:
        table(["LOGGER", "LEVEL", "UNTIL", "SET"], [_row(each) for each in levels])


def _row(level: Level) -> list[str]:
    set_by = f"by {level.set_by}, {local_time(level.set_at)}"
    return [level.logger or "(all)", level_name(level.level), local_time(level.until) or "taken back", set_by]


def _order(level: str, logger: str | None, duration: str | None) -> dict[str, Any]:
    order: dict[str, Any] = {"level": _number(level), "logger": logger or ""}
    if duration is not None:
        order["for_seconds"] = _duration(duration).total_seconds()
    return order


def _number(level: str) -> int:
    if level.upper() in LEVELS:
        return LEVELS[level.upper()]
    if level.isascii() and level.isdigit():
        return int(level)
    raise typer.BadParameter(f"{level!r} is no level; write one of {', '.join(LEVELS)}, or a number")


def _duration(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except UnitInvalid as error:
        raise typer.BadParameter(str(error), param_hint="--for") from error
