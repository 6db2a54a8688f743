"""What selects installations, and what became of what was run on all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Self

from pydantic import Field, PlainSerializer, PlainValidator, WithJsonSchema

from moorage.models import selected as models
from moorage.models.selection import Selector, describe, format_selector, parse_selector
from moorage.models.views import InstallationView
from moorage.web.schemas.base import Document
from moorage.web.schemas.executions import Execution, RunOrder
from moorage.web.values import text

_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "All that is given must hold; empty: every installation.",
    "properties": {
        "tags": {"type": "array", "items": {"type": "string"}, "description": "Each of these."},
        "version": {"type": "string", "description": "A specifier: `>=1.2,<2`."},
        "name": {"type": "string", "description": "A glob over names: `geo-*`."},
        "capability": {"type": "string", "description": "What it may do: `sql.read:users`."},
        "predicate": {"type": "string", "description": "One of the application's, by its name."},
        **{key: {"type": "array", "items": {"type": "object"}} for key in ("all", "any", "none")},
    },
    "additionalProperties": False,
}

Select = Annotated[
    Selector,
    PlainValidator(parse_selector),
    PlainSerializer(format_selector),
    WithJsonSchema(_SCHEMA),
]


class SelectedOrder(RunOrder):
    select: Select = Field(description="On which installations.")
    dry_run: bool = Field(default=False, description="Run nothing; only say which are selected.")


class NotBegun(Document):
    """There is no execution, not even a rejected one."""

    installation: str
    code: str
    problem: str


class SelectedRuns(Document):
    """By name of their installations."""

    selector: str = Field(description="What was selected, in words.")
    selected: list[str]
    installed: int | None = Field(default=None, description="With `dry_run`: how many there are, selected or not.")
    executions: list[Execution] = []
    failures: list[NotBegun] = []

    @classmethod
    def of(cls, selector: Selector, runs: models.SelectedRuns) -> Self:
        begun, failed = ([each.installation for each in found] for found in (runs.executions, runs.failures))
        return cls(
            selector=text(describe(selector)),
            selected=sorted(begun + failed),
            executions=[Execution.of(execution) for execution in runs.executions],
            failures=[
                NotBegun(installation=each.installation, code=each.code, problem=text(each.problem))
                for each in runs.failures
            ],
        )

    @classmethod
    def dry(cls, selector: Selector, selected: Sequence[InstallationView], installed: int) -> Self:
        names = [view.installation.id for view in selected]
        return cls(selector=text(describe(selector)), selected=names, installed=installed)
