"""Waiting for an execution at a terminal: one line says how it goes, and is gone when it has ended."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from rich.text import Text

from moorage.cli.client import ApiClient, execution
from moorage.cli.output import console, duration, state_text
from moorage.cli.plain import one_line
from moorage.models.execution import ExecutionState
from moorage.web.schemas.executions import Execution

#: Between two looks.
PAUSE_SECONDS = 0.2

#: Characters of the bar.
_BAR = 20


def is_watched() -> bool:
    """Whether there is a terminal to show it on."""
    return sys.stderr.isatty()


def watched(api: ApiClient, answer: Any) -> Any:
    """The execution's document, once it has ended."""
    with console(stderr=True).status(Text("")) as status:
        return followed(api, answer, status.update)


def followed(
    api: ApiClient, answer: Any, show: Callable[[Text], None], pause: Callable[[float], None] = time.sleep
) -> Any:
    """Looks again and again until it has ended; ``show`` is given each line."""
    while not (found := Execution.model_validate(answer)).finished:
        show(line_of(found, datetime.now(UTC)))
        pause(PAUSE_SECONDS)
        answer = api.get(execution(found.id))
    return answer


def line_of(found: Execution, now: datetime) -> Text:
    """churn execute: running 12 s  ━━━━━━━━──────────── 40% of the users."""
    attempt = f", attempt {found.attempt}" if found.attempt > 1 else ""
    parts: list[Text | str] = [one_line(f"{found.installation} {found.task}: "), state_text(found.state), attempt]
    if found.state is ExecutionState.QUEUED and found.due_at is not None and found.due_at > now:
        parts.append(f", begins in {duration(found.due_at - now)}")
    if found.started_at is not None:
        parts.append(f" {duration(max(0.0, (now - found.started_at).total_seconds()))}")
    if found.progress is not None:
        done = round(_BAR * min(1.0, max(0.0, found.progress)))
        parts += ["  ", Text("━" * done, "green"), Text("─" * (_BAR - done), "dim"), f" {found.progress:.0%}"]
    if found.progress_message:
        parts += ["  ", Text(one_line(found.progress_message), "dim")]
    return Text.assemble(*parts)
