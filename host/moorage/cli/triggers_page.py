"""What people see of triggers and policies."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from rich.text import Text

from moorage.cli.output import duration, facts, local_time, say, short_time, state_text, stated, table
from moorage.cli.plain import one_line
from moorage.models.policy import Origin
from moorage.models.selection import describe, parse_selector
from moorage.web.schemas.policies import PolicyValue
from moorage.web.schemas.triggers import Trigger

#: Whose word something is, as people say it.
FROM = {
    Origin.DEFAULT: "default",
    Origin.MANIFEST: "manifest",
    Origin.SETTINGS: "settings",
    Origin.PERSON: "person",
    Origin.APPLICATION: "application",
}


def print_triggers(found: list[Trigger]) -> None:
    if not found:
        say("There are no triggers. Add one with: moorage trigger add NAME cron='0 6 * * *'")
        return
    table(
        ["TRIGGER", "WHAT", "CONDITION", "NEXT", "LAST", "FIRED", "SKIPPED", "FROM"],
        [_row(each) for each in found],
        right=(5, 6),
        whole=(0,),
    )
    for each in found:
        if each.reason and each.condition != "paused":
            say(f"\n{stated(f'{each.id} is {each.condition}', each.reason)}", "yellow")


def print_trigger(found: Trigger) -> None:
    """The whole page of one."""
    say(Text.assemble((one_line(found.id), "bold"), "  ") + state_text(found.condition))
    if found.reason:
        say(found.reason, "yellow")
    facts(
        [
            ("starts", f"{found.task} of {_whose(found)}"),
            ("selects now", ", ".join(found.selected) or ("" if found.installation else "none")),
            ("next runs", ", ".join(next_run(found, run, far=False) for run in found.next_runs)),
            ("last", local_time(found.last_at)),
            ("last execution", found.last_execution),
            ("fired", f"{found.fired:,}"),
            ("skipped", f"{found.skipped:,}"),
            ("listens", f"host {found.host}" if found.host else ""),
            ("changed", f"by {found.set_by}, {local_time(found.set_at)}" if found.set_by else ""),
        ]
    )
    say()
    table(["PART", "VALUE", "FROM"], [[part, shown(value), _from(found, part)] for part, value in _parts(found)])


def print_policy(values: list[PolicyValue]) -> None:
    table(
        ["KEY", "VALUE", "FROM"],
        [[each.key, "none" if each.value is None else shown(each.value), _said(each)] for each in values],
    )


def trigger_lines(found: list[Trigger]) -> str:
    """In short, for the page of an installation."""
    return ", ".join(f"{each.name} ({what(each)}, {each.condition})" for each in found)


def policy_line(values: list[PolicyValue]) -> str:
    """What is another than it is by default."""
    return ", ".join(f"{each.key} {shown(each.value)}" for each in values if each.origin is not Origin.DEFAULT)


def next_run(found: Trigger, run: datetime, *, far: bool = True) -> str:
    """In the trigger's own zone, where it names one; with ``far`` also in how long that is."""
    options = found.options if isinstance(found.options, dict) else {}
    zone = options.get("timezone")
    words = short_time(run)
    if isinstance(zone, str):
        try:
            words = f"{run.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M} {zone}"
        except (ZoneInfoNotFoundError, ValueError):  # of a host that knows more zones
            words = f"{words} ({zone})"
    return f"{words}, {_far(run)}" if far else words


def what(found: Trigger) -> str:
    return f"{found.kind} {found.source}".rstrip()


def shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _row(found: Trigger) -> list[Text | str]:
    return [
        found.id,
        what(found),
        state_text(found.condition),
        next_run(found, found.next_runs[0]) if found.next_runs else "",
        short_time(found.last_at),
        f"{found.fired:,}",
        f"{found.skipped:,}",
        FROM[found.origin],
    ]


def _far(run: datetime) -> str:
    rest = run - datetime.now(UTC)
    return f"in {duration(rest)}" if rest.total_seconds() > 0 else "now"


def _whose(found: Trigger) -> str:
    return found.installation or describe(parse_selector(found.select or {}))


def _parts(found: Trigger) -> list[tuple[str, Any]]:
    parts: list[tuple[str, Any]] = [
        (found.kind or "kind", found.source or found.kind == "startup"),
        ("task", found.task),
    ]
    parts += [("input", found.input)] if found.input is not None else []
    parts += [("select", found.select)] if found.select is not None else []
    return parts + (list(found.options.items()) if isinstance(found.options, dict) else [])


def _from(found: Trigger, part: str) -> str:
    known = found.origins.get("source" if part == found.kind else part)
    return FROM[known or (Origin.DEFAULT if part == "task" else found.origin)]


def _said(value: PolicyValue) -> str:
    by = f": {value.set_by}, {local_time(value.set_at)}" if value.set_by else ""
    return f"{FROM[value.origin]}{by}"
