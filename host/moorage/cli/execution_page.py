"""What people see of one execution."""

from __future__ import annotations

import json

from rich.text import Text

from moorage.cli.output import amount, duration, facts, indented, local_time, note, say, short_time, state_text, table
from moorage.cli.plain import one_line
from moorage.models.execution import ExecutionState
from moorage.web.schemas.executions import Attempt, Execution, ExecutionPage, ResourceUse


def print_execution(execution: Execution) -> None:
    """Its state with its result or error."""
    _print_state(execution)
    _tell_outcome(execution)
    if not execution.finished:
        note(f"See: moorage execution {execution.id}   or: moorage logs -f --execution {execution.id}")


def print_whole(page: ExecutionPage) -> None:
    """All that is known of it."""
    _print_state(page)
    facts(_facts(page))
    _tell_outcome(page)
    if page.attempts:
        say()
        table(["ATTEMPT", "STATE", "ENDED", "TOOK", "WHY"], [_attempt(each) for each in page.attempts], right=(0, 3))
    if page.logs.count:
        note(f"{page.logs.count} lines in the log: moorage logs --execution {page.id}")


def _print_state(execution: Execution) -> None:
    tried = f" at attempt {execution.attempt}" if execution.attempt > 1 else ""
    took = f"{tried} in {duration(execution.duration_seconds)}" if execution.duration_seconds is not None else tried
    what, identity = one_line(f"{execution.installation} {execution.task}: "), one_line(execution.id)
    say(Text.assemble(what, state_text(execution.state), f"{took}  ", (identity, "dim")))


def _attempt(attempt: Attempt) -> list[Text | str]:
    took = "" if attempt.started_at is None else duration(attempt.ended_at - attempt.started_at)
    why = "" if attempt.error is None else attempt.error.message
    if attempt.error is not None and attempt.error.type not in why:
        why = f"{attempt.error.type}: {why}"
    return [str(attempt.number), state_text(attempt.state), short_time(attempt.ended_at), took, why]


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
        ("started by", _starter(execution)),
        ("key", execution.key),
        ("retry of", execution.retry_of),
        ("queued", local_time(execution.queued_at)),
        ("not before", local_time(execution.due_at) if execution.state is ExecutionState.QUEUED else ""),
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
        ("used", _used(execution.use)),
    ]


def _starter(execution: Execution) -> str:
    if execution.trigger == "manual":
        by = execution.by or "someone"
        return f"{execution.trigger_id}, fired by {by}" if execution.trigger_id else f"{by}, by hand"
    what = f"{execution.trigger} {execution.trigger_id}".rstrip()
    return f"{what}, by {execution.by}" if execution.by else what


def _used(use: ResourceUse | None) -> str:
    if use is None:
        return ""
    denied = f", {use.denied} of them denied" if use.denied else ""
    parts = [
        f"{duration(use.cpu_seconds)} of CPU" if use.cpu_seconds is not None else "",
        f"{amount(use.peak_memory_bytes)} of memory" if use.peak_memory_bytes is not None else "",
        f"{use.calls} calls{denied}" if use.calls else "",
        f"{amount(use.bytes)} sent and received" if use.bytes else "",
    ]
    return ", ".join(filter(None, parts))


def _progress(execution: Execution) -> str:
    if execution.progress is None:
        return execution.progress_message
    return f"{execution.progress:.0%} {execution.progress_message}".rstrip()
