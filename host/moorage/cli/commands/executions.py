"""``run``, ``executions``, ``execution``, ``cancel`` and ``retry``."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.text import Text

from moorage.cli.client import connect, execution, installation
from moorage.cli.execution_page import print_execution, print_whole
from moorage.cli.given import read_at, read_in, read_input, read_since
from moorage.cli.options import AsJson, Config, OptionalName, Socket
from moorage.cli.output import (
    duration,
    note,
    print_json,
    say,
    short_time,
    state_text,
    table,
)
from moorage.cli.selecting import (
    Capability,
    Every,
    NameGlob,
    NotTags,
    Predicate,
    Tags,
    Version,
    chosen,
    run_selected,
)
from moorage.cli.waiting import followed, is_watched, watched
from moorage.errors import ExitCode
from moorage.models.execution import ExecutionState
from moorage.web.schemas.executions import Execution, ExecutionPage

commands = typer.Typer()

#: As the API has it.
LONGEST_SECONDS = 30 * 24 * 3600

Identity = Annotated[str, typer.Argument(metavar="ID", help="Id of the execution: e-...", show_default=False)]


@commands.command()
def run(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="Of the installation. Without it, options select some.", show_default=False
        ),
    ] = None,
    task: Annotated[str, typer.Argument(metavar="TASK", help="Which of its tasks.")] = "execute",
    given: Annotated[
        Any,
        typer.Option("--input", "-i", parser=read_input, metavar="JSON|@FILE|-", help="Input of the task."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the outcome.")] = True,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            metavar="SECONDS",
            min=0.001,
            max=LONGEST_SECONDS,
            help="Longest run, instead of the plugin's limit.",
        ),
    ] = None,
    key: Annotated[
        str,
        typer.Option("--key", metavar="KEY", help="Your name for this run: the same one again is not run twice."),
    ] = "",
    at: Annotated[
        Any, typer.Option("--at", parser=read_at, metavar="TIME", help="Not before, such as 2026-11-20T09:30.")
    ] = None,
    later: Annotated[
        Any, typer.Option("--in", parser=read_in, metavar="TIME", help="Not before so long from now: '2 h'.")
    ] = None,
    attempts: Annotated[
        int | None,
        typer.Option("--attempts", min=1, max=100, help="Tries, the first included, instead of the policy's."),
    ] = None,
    tags: Tags = None,
    not_tags: NotTags = None,
    version: Version = "",
    capability: Capability = "",
    glob: NameGlob = "",
    predicate: Predicate = "",
    every: Every = False,
    selected_task: Annotated[
        str | None, typer.Option("--task", metavar="TASK", help="Of those that are selected.", show_default=False)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which are selected.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask when all are selected.")] = False,
    config: Config = None,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Run a task of a plugin, or of all that options select."""
    selector = chosen(tags, not_tags, version, capability, glob, predicate)
    if (name is None) is not (bool(selector) or every):
        raise typer.BadParameter(
            "name an installation, or say which with --tag, --version, --capability, --name, --predicate or --all;"
            " the task of those goes with --task",
            param_hint="NAME",
        )
    if name is not None and (dry_run or selected_task is not None):
        raise typer.BadParameter("--dry-run and --task go with options that select installations")
    if name is None:
        task = selected_task or task
        if key:
            raise typer.BadParameter("a key stands for one run; give it with NAME", param_hint="--key")
    if at is not None and later is not None:
        raise typer.BadParameter("--at and --in both say when it begins; give one of them")
    due = at if at is not None else later
    watching = wait and not as_json and name is not None and is_watched()
    order = {
        "task": task,
        "input": given,
        "wait": wait and not watching,
        "timeout_seconds": timeout,
        "trigger": "manual",
        "key": key,
        "due_at": None if due is None else due.isoformat(),
        "attempts": attempts,
    }
    with connect(config, socket) as api:
        if name is None:
            run_selected(api, selector, order, dry=dry_run, yes=yes, as_json=as_json)
            return
        seen = f"moorage executions {name}"
        try:
            answer = api.post(installation(name, "executions"), order, about=name)
            seen = f"moorage execution {answer['id']}"
            answer = watched(api, answer) if watching else answer
        except KeyboardInterrupt:
            note(f"The execution goes on; see: {seen}")
            raise
    execution = _tell(answer, as_json)
    if execution.finished and execution.state is not ExecutionState.SUCCEEDED:
        raise typer.Exit(int(ExitCode.FAILED))


@commands.command("executions")
def list_executions(
    name: OptionalName = None,
    state: Annotated[ExecutionState | None, typer.Option("--state", help="Only in this state.")] = None,
    trigger: Annotated[
        str | None, typer.Option("--trigger", metavar="ID", help="Only what this trigger has started.")
    ] = None,
    since: Annotated[
        Any, typer.Option("--since", parser=read_since, metavar="TIME", help="Such as '2 h', or 2026-11-20T09:30.")
    ] = None,
    before: Annotated[
        str | None, typer.Option("--before", metavar="ID", help="Only older ones than this: the next page.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="At most this many.")] = 20,
    config: Config = None,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """List executions, newest first."""
    with connect(config, socket) as api:
        answer = api.get(
            "/executions",
            about=name,
            installation=name,
            state=state and state.value,
            trigger=trigger,
            since=since and since.isoformat(),
            before=before,
            limit=limit,
        )
    if as_json:
        print_json(answer)
        return
    found = [Execution.model_validate(item) for item in answer["items"]]
    if not found and (state or trigger or since or before):
        say("There are none of that kind.")
        return
    if not found:
        say(f"Nothing has run yet. Run something with: moorage run {name or 'NAME'}")
        return
    headings = ["EXECUTION", "TASK", "STARTED BY", "STATE", "QUEUED", "TOOK"]
    rows = [_row(each) for each in found]
    if name is None:
        headings.insert(1, "INSTALLATION")
        for row, each in zip(rows, found, strict=True):
            row.insert(1, each.installation)
    table(headings, rows, right=(len(headings) - 1,), whole=(0,))
    if len(found) == limit:
        note(f"Older ones: --before {found[-1].id}")


@commands.command("execution")
def show_execution(
    execution_id: Identity, config: Config = None, socket: Socket = None, as_json: AsJson = False
) -> None:
    """Show one execution with its result or error."""
    with connect(config, socket) as api:
        answer = api.get(execution(execution_id))
    found = ExecutionPage.model_validate(answer)
    if as_json:
        print_json(answer)
    else:
        print_whole(found)


@commands.command()
def retry(
    execution_id: Identity,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the outcome.")] = True,
    config: Config = None,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Run what an ended execution did again, as another execution."""
    with connect(config, socket) as api:
        answer = api.post(execution(execution_id, "retry"))
        try:
            if wait and not as_json and is_watched():
                answer = watched(api, answer)
            elif wait:
                answer = followed(api, answer, lambda _: None)
        except KeyboardInterrupt:
            note(f"The execution goes on; see: moorage execution {answer['id']}")
            raise
    retried = _tell(answer, as_json)
    if retried.finished and retried.state is not ExecutionState.SUCCEEDED:
        raise typer.Exit(int(ExitCode.FAILED))


@commands.command()
def cancel(execution_id: Identity, config: Config = None, socket: Socket = None, as_json: AsJson = False) -> None:
    """Cancel an execution."""
    with connect(config, socket) as api:
        answer = api.post(execution(execution_id, "cancel"))
    _tell(answer, as_json)


def _row(execution: Execution) -> list[Text | str]:
    return [
        execution.id,
        execution.task,
        execution.trigger_id or execution.trigger,
        state_text(execution.state),
        short_time(execution.queued_at),
        duration(execution.duration_seconds),
    ]


def _tell(answer: Any, as_json: bool) -> Execution:
    execution = Execution.model_validate(answer)
    if as_json:
        print_json(answer)
    else:
        print_execution(execution)
    return execution
