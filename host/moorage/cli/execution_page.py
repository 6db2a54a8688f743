"""What people see of one execution."""

from __future__ import annotations

import json

from rich.text import Text

from moorage.cli.output import duration, facts, indented, local_time, note, say, state_text
from moorage.cli.plain import one_line
from moorage.web.schemas.executions import Execution


def print_execution(execution: Execution, *, whole: bool = False) -> None:
    """Its state with its result or error; ``whole``: with all that is known of it."""
    took = f" in {duration(execution.duration_seconds)}" if execution.duration_seconds is not None else ""
    what, identity = one_line(f"{execution.installation} {execution.task}: "), one_line(execution.id)
    say(Text.assemble(what, state_text(execution.state), f"{took}  ", (identity, "dim")))
    if whole:
        facts(_facts(execution))
    _tell_outcome(execution)
    if not execution.finished and not whole:
        note(f"See: moorage execution {execution.id}   or: moorage logs -f --execution {execution.id}")


def _tell_outcome(execution: Execution) -> None:
    error = execution.error
    if error is not None:
        # A traceback says it all, in its last lines; most sentences hold their remedy.
        summary = "" if f"\n{error.type}" in f"\n{error.traceback}" else f"{error.type}: {error.message}"
        remedy = "" if error.remedy in f"{error.traceback}\n{error.message}" else error.remedy
        for words, style in ((error.traceback.rstrip(), "dim"), (summary, "red"), (remedy, "")):
            if words:
                indented(words, style, by=2)
    elif execution.result is not None:
        indented(json.dumps(execution.result, indent=2, ensure_ascii=False), by=2)


def _facts(execution: Execution) -> list[tuple[str, object]]:
    worker = execution.worker
    return [
        ("plugin", f"{execution.plugin} {execution.version}"),
        ("started by", execution.trigger),
        ("queued", local_time(execution.queued_at)),
        ("started", local_time(execution.started_at)),
        ("ended", local_time(execution.ended_at)),
        ("attempt", execution.attempt if execution.attempt > 1 else ""),
        ("progress", _progress(execution)),
        ("input", "" if execution.input is None else json.dumps(execution.input, ensure_ascii=False)),
        (
            "worker",
            f"#{worker.number} pid {worker.pid}, sandbox {worker.sandbox_level}, Python {worker.python}"
            if worker
            else "",
        ),
    ]


def _progress(execution: Execution) -> str:
    if execution.progress is None:
        return execution.progress_message
    return f"{execution.progress:.0%} {execution.progress_message}".rstrip()
