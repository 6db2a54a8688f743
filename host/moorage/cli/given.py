"""Input for a task, and times, as they are given on a command line."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

from moorage.packages.units import UnitInvalid, parse_duration


def read_input(text: str) -> Any:
    """JSON itself, or where it is: "@file", "-" for standard input. Raises BadParameter."""
    try:
        if text == "-":
            text = sys.stdin.read()
        elif text.startswith("@"):
            text = Path(text[1:]).read_text(encoding="utf-8")
        return json.loads(text)
    except OSError as error:
        raise typer.BadParameter(f"{error.filename} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise typer.BadParameter(f"it is not JSON: {error}") from error


def read_since(text: str) -> datetime:
    """A length of time before now, such as ``2 h``, or an instant as ISO 8601 writes it, in the reader's own zone."""
    try:
        return datetime.now(UTC) - parse_duration(text)
    except UnitInvalid:
        pass
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is neither a length of time, such as '2 h', nor an instant, such as 2026-11-20T09:30"
        ) from None


def read_at(text: str) -> datetime:
    """An instant as ISO 8601 writes it, in the reader's own zone where it names none."""
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no instant, such as 2026-11-20T09:30") from None


def read_in(text: str) -> datetime:
    """A length of time from now on, such as ``2 h``."""
    try:
        return datetime.now(UTC) + parse_duration(text)
    except UnitInvalid as error:
        raise typer.BadParameter(str(error)) from None
