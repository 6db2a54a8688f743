"""``audit``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from moorage.cli.client import ApiClient, connect
from moorage.cli.given import read_since
from moorage.cli.options import AsJson, Config, OptionalName, Socket
from moorage.cli.output import indented, local_time, print_json, print_json_line, say, short_time, table
from moorage.cli.plain import one_line
from moorage.errors import ExitCode
from moorage.models.audit import AuditKind
from moorage.telemetry.audit_file import verify_files
from moorage.web.schemas.audit import AuditEntry, ChainReport, SinkState

commands = typer.Typer()

_STYLES = {AuditKind.DENIED: "red", AuditKind.LINK_REFUSED: "bold red", AuditKind.ALLOWED: "green"}

#: Entries asked for at one time where all are wanted.
_PAGE = 1000

#: Between two looks for new entries.
_FOLLOW_SECONDS = 1.0


@commands.command()
def audit(
    name: OptionalName = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="The newest ones.")] = 50,
    kind: Annotated[AuditKind | None, typer.Option("--kind", help="Only of this kind.")] = None,
    capability: Annotated[
        str | None, typer.Option("--capability", help="Only about it; a star stands for any characters.")
    ] = None,
    by: Annotated[
        str | None, typer.Option("--by", metavar="WHO", help="Only what this person, or worker, did.")
    ] = None,
    since: Annotated[
        Any, typer.Option("--since", parser=read_since, metavar="TIME", help="Such as '2 h', or 2026-11-20T09:30.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new entries, until Ctrl-C.")] = False,
    export: Annotated[bool, typer.Option("--export", help="All of them as JSON, one a line, oldest first.")] = False,
    sinks: Annotated[bool, typer.Option("--sinks", help="Where it is written to, and whether it can be.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Look whether anything was changed or taken out.")] = False,
    file: Annotated[
        list[Path] | None,
        typer.Option("--file", help="With --verify: a file of JSON lines instead; may be repeated, oldest first."),
    ] = None,
    config: Config = None,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Print who did, or was denied, what."""
    if file and not verify:
        raise typer.BadParameter("--file names what to verify; say --verify too")
    if verify and file:
        _tell_chain(ChainReport.of(verify_files(file)), as_json)
        return
    filters = {"installation": name, "kind": kind, "capability": capability, "actor": by}
    filters["since"] = since.isoformat() if since is not None else None
    with connect(config, socket) as api:
        if verify:
            _tell_chain(ChainReport.model_validate(api.get("/audit/verify")), as_json)
        elif sinks:
            _tell_sinks(api.get("/audit/sinks"), as_json)
        elif export:
            for item in _all(api, filters):
                print_json_line(item)
        elif follow:
            _follow(api, filters, limit, print_json_line if as_json else _print)
        else:
            _tell(api.get("/audit", **filters, limit=limit), name, as_json)


def _all(api: ApiClient, filters: dict[str, Any]) -> Iterator[Any]:
    after = 0
    while items := api.get("/audit", **filters, after=after, oldest="true", limit=_PAGE)["items"]:
        yield from items
        after = items[-1]["id"]


def _follow(api: ApiClient, filters: dict[str, Any], limit: int, show: Callable[[Any], None]) -> None:
    """No entry is lost between two looks: each begins where the one before ended."""
    items = api.get("/audit", **filters, limit=limit)["items"]
    after = 0
    try:
        while True:
            for item in items:
                show(item)
                after = item["id"]
            time.sleep(_FOLLOW_SECONDS)
            items = api.get("/audit", **filters, after=after, oldest="true", limit=_PAGE)["items"]
    except KeyboardInterrupt:
        say()


def _tell(answer: Any, name: str | None, as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    for item in answer["items"]:
        _print(item)
    if not answer["items"]:
        say(f"The audit has no entries{f' about {name}' if name else ''}.")


def _tell_chain(report: ChainReport, as_json: bool) -> None:
    """Ends the command where something was changed."""
    if as_json:
        print_json(report.model_dump(mode="json"))
    else:
        say(report.sentence, "" if report.whole else "bold red")
    if not report.whole:
        raise typer.Exit(int(ExitCode.FAILED))


def _tell_sinks(answer: Any, as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    states = [SinkState.model_validate(item) for item in answer["items"]]
    table(
        ["SINK", "STATE", "SINCE", "WAITING", "ONLY COUNTED"],
        [
            [
                state.name,
                Text("down", "bold red") if state.problem else Text("up", "green"),
                short_time(state.since),
                str(state.waiting),
                str(state.counted),
            ]
            for state in states
        ],
        right=(3, 4),
    )
    for state in states:
        if state.problem:
            say(f"\n{state.name}: {state.problem}", "yellow")


def _print(item: Any) -> None:
    entry = AuditEntry.model_validate(item)
    what = " ".join(part for part in (entry.action, entry.capability) if part)
    times = f" ({entry.count} times)" if entry.count > 1 else ""
    say(
        Text.assemble(
            (f"{local_time(entry.time)} ", "dim"),
            (f"{entry.kind.replace('_', ' '):<12} ", _STYLES.get(entry.kind, "")),
            (f"{one_line(entry.installation or '-')} ", "cyan"),
            one_line(f"{what} by {entry.actor}{times}"),
        )
    )
    if entry.message:
        indented(entry.message)
