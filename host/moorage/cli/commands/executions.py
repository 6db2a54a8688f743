"""``run``, ``executions``, ``execution`` and ``cancel``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.text import Text

from moorage.cli.client import connect, installation
from moorage.cli.options import AsJson, Config, Name, OptionalName, Socket
from moorage.cli.output import (
    duration,
    facts,
    indented,
    local_time,
    note,
    print_json,
    say,
    short_time,
    state_text,
    table,
)
from moorage.cli.plain import one_line
from moorage.errors import ExitCode
from moorage.models.execution import ExecutionState
from moorage.web.schemas.executions import Execution

commands = typer.Typer()

Identity = Annotated[str, typer.Argument(metavar="ID", help="Id of the execution: e-...", show_default=False)]


def _read_input(text: str) -> Any:
    """JSON itself, or where it is: "@file", "-" for standard input."""
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


@commands.command()
def run(
    name: Name,
    task: Annotated[str, typer.Argument(metavar="TASK", help="Which of its tasks.")] = "execute",
    given: Annotated[
        Any,
        typer.Option("--input", "-i", parser=_read_input, metavar="JSON|@FILE|-", help="Input of the task."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the outcome.")] = True,
    timeout: Annotated[
        float | None, typer.Option("--timeout", metavar="SECONDS", help="Longest run, instead of the plugin's limit.")
    ] = None,
    config: Config = None,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Run a task of a plugin."""
    order = {"task": task, "input": given, "wait": wait, "timeout_seconds": timeout, "trigger": "manual"}
    with connect(config, socket) as api:
        try:
            answer = api.post(installation(name, "executions"), order, about=name)
        except KeyboardInterrupt:
            note(f"The execution goes on; see: moorage executions {name}")
            raise
    execution = _tell(answer, as_json)
    if execution.finished and execution.state is not ExecutionState.SUCCEEDED:
        raise typer.Exit(int(ExitCode.FAILED))


@commands.command("executions")
def list_executions(
    name: OptionalName = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="At most this many.")] = 20,
    config: Config = None,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """List executions, newest first."""
    with connect(config, socket) as api:
        answer = api.get("/executions", about=name, installation=name, limit=limit)
    if as_json:
        print_json(answer)
        return
    found = [Execution.model_validate(item) for item in answer["items"]]
    if not found:
        say(f"Nothing has run yet. Run something with: moorage run {name or 'NAME'}")
        return
    headings = ["EXECUTION", "INSTALLATION", "TASK", "STATE", "QUEUED", "TOOK"]
    table(headings, [_row(each) for each in found], right=(5,), whole=(0,))


@commands.command("execution")
def show_execution(
    execution_id: Identity, config: Config = None, socket: Socket = None, as_json: AsJson = False
) -> None:
    """Show one execution with its result or error."""
    with connect(config, socket) as api:
        answer = api.get(f"/executions/{quote(execution_id, safe='')}")
    _tell(answer, as_json, whole=True)


@commands.command()
def cancel(execution_id: Identity, config: Config = None, socket: Socket = None, as_json: AsJson = False) -> None:
    """Cancel an execution."""
    with connect(config, socket) as api:
        answer = api.post(f"/executions/{quote(execution_id, safe='')}/cancel")
    _tell(answer, as_json)


def _row(execution: Execution) -> list[Text | str]:
    return [
        execution.id,
        execution.installation,
        execution.task,
        state_text(execution.state),
        short_time(execution.queued_at),
        duration(execution.duration_seconds),
    ]


def _tell(answer: Any, as_json: bool, *, whole: bool = False) -> Execution:
    execution = Execution.model_validate(answer)
    if as_json:
        print_json(answer)
        return execution
    took = f" in {duration(execution.duration_seconds)}" if execution.duration_seconds is not None else ""
    what, identity = one_line(f"{execution.installation} {execution.task}: "), one_line(execution.id)
    say(Text.assemble(what, state_text(execution.state), f"{took}  ", (identity, "dim")))
    if whole:
        facts(_facts(execution))
    _tell_outcome(execution)
    if not execution.finished and not whole:
        note(f"See: moorage execution {execution.id}   or: moorage logs -f --execution {execution.id}")
    return execution


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
