"""How things are printed: plain text, tables that fit 80 columns, JSON for programs."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from moorage.cli.plain import lines, one_line

#: What is not a terminal gets whole lines: whoever reads them in a pipe wants to match and cut.
PIPE_WIDTH = 4000

STATE_STYLES = {
    "ready": "green",
    "succeeded": "green",
    "starting": "cyan",
    "draining": "cyan",
    "running": "cyan",
    "queued": "cyan",
    "stopped": "dim",
    "disabled": "dim",
    "cancelled": "yellow",
    "held": "yellow",
    "switched off": "yellow",
    "not granted": "yellow",
    "abandoned": "yellow",
    "rejected": "yellow",
    "unhealthy": "yellow",
    "busy": "bold yellow",
    "silent": "bold red",
    "quarantined": "bold red",
    "broken": "bold red",
    "failed": "red",
    "timed_out": "red",
    "crashed": "bold red",
    "active": "green",
    "idle": "dim",
    "removed": "dim",
    "paused": "yellow",
    "failing": "bold red",
    "invalid": "bold red",
}


def console(*, stderr: bool = False) -> Console:
    """Made when it is needed: it looks at where its stream goes at that moment. Nothing printed is read as markup."""
    stream = sys.stderr if stderr else sys.stdout
    wide = None if stream.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH
    return Console(stderr=stderr, width=wide, markup=False, emoji=False, highlight=False)


def _put(renderable: RenderableType, *, stderr: bool = False) -> None:
    """Rich fills lines up with spaces, which a terminal does not show and a pipe should not get."""
    target = console(stderr=stderr)
    if target.is_terminal:
        target.print(renderable)
        return
    with target.capture() as captured:
        target.print(renderable)
    print("\n".join(line.rstrip() for line in captured.get().split("\n")), end="", file=target.file, flush=True)


def say(text: object = "", style: str = "") -> None:
    """Prints sentences to people; a Text was put together from safe parts."""
    _put(text if isinstance(text, Text) else Text(lines(text), style))


def say_verbatim(text: object) -> None:
    """Prints what is there to be copied: no line of it is broken, however narrow the terminal is."""
    console().print(Text(lines(text)), soft_wrap=True)


def complain(text: object) -> None:
    """Prints sentences about what did not go well, on stderr."""
    _put(Text(lines(text), "red"), stderr=True)


def note(text: object) -> None:
    """Prints what goes on meanwhile, on stderr: it is not the answer."""
    _put(Text(lines(text), "dim"), stderr=True)


def indented(text: object, style: str = "", by: int = 4) -> None:
    _put(Padding(Text(lines(text), style), (0, 0, 0, by), expand=False))


def print_json(data: Any) -> None:
    """One document; ASCII, so that no terminal and no locale can misread it."""
    print(json.dumps(data, indent=2))


def print_json_line(data: Any) -> None:
    """One document on one line, at once: for streams."""
    print(json.dumps(data), flush=True)


def table(
    headings: Sequence[str],
    rows: Iterable[Sequence[Text | str]],
    *,
    right: Sequence[int] = (),
    whole: Sequence[int] = (),
) -> None:
    """Without frames; long words fold instead of vanishing. Columns whose number is in ``right`` hold numbers, those in
    ``whole`` words that people copy, which fold last."""
    show_grid(grid_of(headings, rows, right=right, whole=whole))


def show_grid(grid: Table) -> None:
    _put(grid)


def grid_of(
    headings: Sequence[str], rows: Iterable[Sequence[Text | str]], *, right: Sequence[int], whole: Sequence[int]
) -> Table:
    """What ``table`` prints."""
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", collapse_padding=True)
    for number, heading in enumerate(headings):
        grid.add_column(
            heading, justify="right" if number in right else "left", overflow="fold", no_wrap=number in whole
        )
    for row in rows:
        grid.add_row(*(cell if isinstance(cell, Text) else Text(one_line(cell)) for cell in row))
    return grid


def facts(pairs: Iterable[tuple[str, object]]) -> None:
    """Names and values, one under the other; those without a value are left out."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in pairs:
        if value not in ("", None):
            grid.add_row(Text(f"  {one_line(name)}"), value if isinstance(value, Text) else Text(one_line(value)))
    _put(grid)


def state_text(state: str) -> Text:
    return Text(one_line(state.replace("_", " ")), STATE_STYLES.get(state, ""))


def stated(state: str, reason: str) -> str:
    """ "churn is stopped: It crashed." A reason that is about the same installation by its name follows as it is."""
    if not reason:
        return state
    return f"{state}{'.' if reason.startswith(f'{state.split(maxsplit=1)[0]} ') else ':'} {reason}"


def local_time(instant: datetime | None, *, date: bool = True) -> str:
    """In the reader's own zone; the JSON has UTC."""
    if instant is None:
        return ""
    return instant.astimezone().strftime("%Y-%m-%d %H:%M:%S" if date else "%H:%M:%S")


def short_time(instant: datetime | None) -> str:
    """For lists: without the date where it is today, and then without seconds."""
    if instant is None:
        return ""
    today = instant.astimezone().date() == datetime.now().astimezone().date()
    return local_time(instant, date=False) if today else local_time(instant)[: -len(":00")]


def duration(length: timedelta | float | None) -> str:
    """Short: "0.31 s", "12 s", "3 min 20 s", "2 h 5 min"."""
    if length is None:
        return ""
    seconds = length.total_seconds() if isinstance(length, timedelta) else length
    if seconds < 10:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{hours} h"] * bool(hours) + [f"{minutes} min"] * bool(minutes) + [f"{rest} s"] * (not hours and rest > 0)
    return " ".join(parts)


def roughly(length: timedelta) -> str:
    """In one unit: "12 s", "3 min", "5 h", "2 d"."""
    seconds = math.ceil(length.total_seconds())
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * unit or seconds == unit:
            return f"{seconds // unit} {name}"
    return f"{seconds} s"


def amount(count: int) -> str:
    """Bytes as people read them: "43 KiB", "3.2 MiB"."""
    if count < 2**20:
        return f"{-(-count // 1024):,} KiB"
    return f"{count / 2**20:,.1f} MiB".replace(".0 MiB", " MiB")


def size(count: int) -> str:
    """Bytes in the largest binary unit that leaves a whole number."""
    units = ["bytes", "KiB", "MiB", "GiB", "TiB"]
    while count and count % 1024 == 0 and len(units) > 1:
        count //= 1024
        units.pop(0)
    return f"{count} {units[0]}"
