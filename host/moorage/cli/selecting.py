"""Options that select installations by what they are, and a task that is run on all of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.text import Text

from moorage.cli.client import ApiClient
from moorage.cli.commands.grants import is_asked
from moorage.cli.output import complain, duration, note, print_json, state_text, table
from moorage.errors import ExitCode, NotFound
from moorage.models.execution import ExecutionState
from moorage.web.schemas.executions import Execution
from moorage.web.schemas.selection import SelectedRuns

_PANEL = "Which installations"


def _option(name: str, metavar: str, words: str) -> Any:
    return typer.Option(name, metavar=metavar, help=words, rich_help_panel=_PANEL, show_default=False)


Tags = Annotated[list[str] | None, _option("--tag", "TAG", "Those with this tag; may be repeated.")]
NotTags = Annotated[list[str] | None, _option("--not-tag", "TAG", "Those without it; may be repeated.")]
Version = Annotated[str, _option("--version", "SPECIFIER", "Those of such a version: '>=1.2'.")]
Capability = Annotated[str, _option("--capability", "CAPABILITY", "Those that may do this: sql.read:users.")]
NameGlob = Annotated[str, _option("--name", "GLOB", "Those whose name fits: 'geo-*'.")]
Predicate = Annotated[str, _option("--predicate", "NAME", "Those of which the application says so.")]
Every = Annotated[bool, typer.Option("--all", help="Every installation.", rich_help_panel=_PANEL)]

#: In a list of what was selected.
SHOWN_CHARACTERS = 100


@dataclass(frozen=True)
class Chosen:
    """What was given of these options."""

    tags: Sequence[str]
    not_tags: Sequence[str]
    version: str
    capability: str
    name: str
    predicate: str

    def __bool__(self) -> bool:
        return any((self.tags, self.not_tags, self.version, self.capability, self.name, self.predicate))

    @property
    def record(self) -> dict[str, Any]:
        """A selector, as the API takes it."""
        found = {"version": self.version, "capability": self.capability, "name": self.name, "predicate": self.predicate}
        return {
            "tags": list(self.tags),
            "none": [{"tags": [tag]} for tag in self.not_tags],
            **{key: text for key, text in found.items() if text},
        }

    @property
    def query(self) -> dict[str, Any]:
        """The same for a list."""
        found = {"version": self.version, "capability": self.capability, "name": self.name, "predicate": self.predicate}
        lists = {"tag": list(self.tags), "not_tag": list(self.not_tags)}
        return {key: value for key, value in {**lists, **found}.items() if value}


def chosen(
    tags: list[str] | None, not_tags: list[str] | None, version: str, capability: str, name: str, predicate: str
) -> Chosen:
    return Chosen(tags or (), not_tags or (), version, capability, name, predicate)


def run_selected(
    api: ApiClient, selector: Chosen, order: dict[str, Any], *, dry: bool, yes: bool, as_json: bool
) -> None:
    """Says on which it is run, asks where these are all, and prints what became of it. Ends the command with FAILED
    where one has not succeeded.
    """
    order = {**order, "select": selector.record}
    answer = api.post("/executions", {**order, "dry_run": True})
    found = SelectedRuns.model_validate(answer)
    if not found.selected:
        raise NotFound(f"Nothing is selected by: {found.selector}. What there is: moorage ls")
    if dry:
        print_json(answer) if as_json else _print_selected(found)
        return
    note(f"{_count(len(found.selected))}: {_listed(found.selected)}")
    if not yes and is_asked() and len(found.selected) == found.installed:
        typer.confirm(f"{'These are' if len(found.selected) > 1 else 'It is'} all that there is. Run it?", abort=True)
    try:
        answer = api.post("/executions", order)
    except KeyboardInterrupt:
        note("The executions go on; see: moorage executions")
        raise
    runs = SelectedRuns.model_validate(answer)
    if as_json:
        print_json(answer)
    else:
        _print_runs(runs)
    ended = (ExecutionState.SUCCEEDED, ExecutionState.QUEUED, ExecutionState.RUNNING)
    if runs.failures or any(each.state not in ended for each in runs.executions):
        raise typer.Exit(int(ExitCode.FAILED))


def _print_selected(found: SelectedRuns) -> None:
    table(["INSTALLATION"], [[name] for name in found.selected], whole=(0,))
    note(f"{_count(len(found.selected))} of {found.installed}: {found.selector}")


def _print_runs(runs: SelectedRuns) -> None:
    rows = [_row(each) for each in runs.executions]
    table(["INSTALLATION", "EXECUTION", "STATE", "TOOK", "WHAT"], rows, right=(3,), whole=(0, 1))
    for each in runs.failures:
        complain(f"{each.installation}: {each.problem}")


def _row(execution: Execution) -> list[Text | str]:
    error = execution.error
    if error is not None:
        what = f"{error.message} {'' if error.remedy in error.message else error.remedy}".rstrip()
    else:
        what = "" if execution.result is None else json.dumps(execution.result, ensure_ascii=False)
    return [
        execution.installation,
        execution.id,
        state_text(execution.state),
        duration(execution.duration_seconds),
        what if len(what) <= SHOWN_CHARACTERS else f"{what[:SHOWN_CHARACTERS]}...",
    ]


def _count(number: int) -> str:
    return "1 installation" if number == 1 else f"{number} installations"


def _listed(names: Sequence[str]) -> str:
    listed = ", ".join(names)
    return listed if len(listed) <= SHOWN_CHARACTERS else f"{listed[:SHOWN_CHARACTERS]}..."
