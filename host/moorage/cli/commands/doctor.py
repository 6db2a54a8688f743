"""``doctor``."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import platform
from pathlib import Path

import typer
from rich.text import Text

from moorage.cli.checks import Check, Grade, examine
from moorage.cli.options import AsJson, Config, load_settings
from moorage.cli.output import indented, print_json, say
from moorage.cli.plain import one_line
from moorage.config.settings import SettingsInvalid
from moorage.errors import ExitCode

commands = typer.Typer()

_MARKS = {Grade.GOOD: ("ok  ", "green"), Grade.WARNING: ("note", "yellow"), Grade.BAD: ("BAD ", "bold red")}


@commands.command()
def doctor(config: Config = None, as_json: AsJson = False) -> None:
    """Say what this machine offers for running plugins safely.

    It needs no running host. It ends with 0 when plugins can run here.
    """
    checks = _checks(config)
    bad = [check for check in checks if check.grade is Grade.BAD]
    if as_json:
        print_json({"ok": not bad, "checks": [dataclasses.asdict(check) for check in checks]})
    else:
        _print(checks, bad)
    if bad:
        raise typer.Exit(int(bad[0].exit_code))


def _checks(config: Path | None) -> list[Check]:
    try:
        settings = load_settings(config)
    except SettingsInvalid as error:
        consequence = "The host cannot start, and nothing else was looked at."
        return [Check("settings", Grade.BAD, str(error), consequence, "Correct the file.", ExitCode.CONFIG)]
    return asyncio.run(examine(settings))


def _print(checks: list[Check], bad: list[Check]) -> None:
    who = "root" if os.geteuid() == 0 else f"uid {os.geteuid()}"
    say(f"{platform.system()} {platform.release()}, {platform.machine()}, {os.cpu_count()} cores, as {who}")
    for check in checks:
        mark, style = _MARKS[check.grade]
        say(Text.assemble((mark, style), " ", (one_line(check.name), "bold")))
        indented(check.finding, by=5)
        for more in (check.consequence, check.remedy):
            if more:
                indented(more, style, by=5)
    if bad:
        say(f"\nPlugins cannot run here yet: {', '.join(check.name for check in bad)}.", "red")
    else:
        say("\nPlugins can run here.", "green")
