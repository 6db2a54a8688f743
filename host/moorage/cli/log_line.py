"""A log line as people see it."""

from __future__ import annotations

import logging

from rich.text import Text

from moorage.cli.output import indented, local_time, say
from moorage.cli.plain import one_line
from moorage.web.schemas.logs import LogLine

_LEVEL_STYLES = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "bold red", "DEBUG": "dim"}


def print_log_line(line: LogLine, *, named: bool) -> None:
    """``named``: with its installation, where lines of several are printed."""
    level = logging.getLevelName(line.level)
    parts = [
        (local_time(line.time, date=False), "dim"),
        (f" {level:<7} ", _LEVEL_STYLES.get(level, "")),
        (f"{one_line(line.installation)} " if named else "", "cyan"),
        (f"{line.logger} " if line.logger in ("stdout", "stderr") else "", "dim"),
        (_message(line.message), ""),
        (_fields(line), "dim"),
    ]
    say(Text.assemble(*parts))
    if line.exception:
        indented(line.exception, "dim")


def _message(text: str) -> str:
    """On one line where it is one; the further lines of others are indented, so that none can pass for a new entry."""
    return "\n".join(["    " * bool(number) + one_line(part) for number, part in enumerate(text.split("\n"))])


def _fields(line: LogLine) -> str:
    if not isinstance(line.fields, dict) or not line.fields:
        return ""
    return "  " + " ".join(one_line(f"{key}={value}") for key, value in line.fields.items())
