"""Input for a task as it is given on a command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import typer


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
