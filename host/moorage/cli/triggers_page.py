"""What people see of triggers and policies."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from rich.text import Text

from moorage.cli.output import (
    console,
    duration,
    facts,
    local_time,
    roughly,
    say,
    short_time,
    state_text,
    stated,
    table,
)
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


#: Columns of a screen from which on a list has room for dates, zones, and whose word each trigger is.
WIDE = 120

#: Seconds below which parts of a second would be shown.
_SOON = 10

#: Characters of a name that a narrow list shows unbroken.
_LONG_NAME = 30

#: So many triggers that do not work for one reason are named; of more it is said how many.
_NAMED = 3


def print_triggers(found: list[Trigger]) -> None:
    if not found:
        say("There are no triggers. Add one with: moorage trigger add NAME cron='0 6 * * *'")
        return
    wide = console().width >= WIDE
    headings = ["TRIGGER", "WHAT", "CONDITION", "NEXT", "LAST", "FIRED", "SKIPPED", "FROM"]
    shown = len(headings) if wide else headings.index("FROM" if any(each.skipped for each in found) else "SKIPPED")
    rows = [_row(each, wide=wide)[:shown] for each in found]
    names_fit = wide or max(len(each.id) for each in found) <= _LONG_NAME
    table(headings[:shown], rows, right=(5, 6)[: shown - 5], whole=(*((0,) if names_fit else ()), 2, 3, 4))
    for sentence in _reasons(found):
        say(f"\n{sentence}", "yellow")


def print_trigger(found: Trigger) -> None:
    """The whole page of one."""
    say(Text.assemble((one_line(found.id), "bold"), "  ") + state_text(found.condition))
    if found.reason:
        say(found.reason, "yellow")
    facts(
        [
            ("starts", f"{found.task} of {_whose(found)}"),
            ("selects now", ", ".join(found.selected) or ("" if found.installation else "none")),
            ("next run", next_run(found, found.next_runs[0]) if found.next_runs else ""),
            ("then", ", ".join(next_run(found, run, far=False, zone=False) for run in found.next_runs[1:])),
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


def next_run(found: Trigger, run: datetime, *, far: bool = True, zone: bool = True) -> str:
    """In the trigger's own zone, where it names one, and that zone's name; with ``far`` also in how long that is."""
    options = found.options if isinstance(found.options, dict) else {}
    own = options.get("timezone")
    words = short_time(run)
    if isinstance(own, str):
        try:
            words = f"{run.astimezone(ZoneInfo(own)):%Y-%m-%d %H:%M}{f' {own}' if zone else ''}"
        except (ZoneInfoNotFoundError, ValueError):  # of a host that knows more zones
            words = f"{words} ({own})"
    return f"{words}, {_far(run)}" if far else words


def what(found: Trigger) -> str:
    return f"{found.kind} {found.source}".rstrip()


def shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _row(found: Trigger, *, wide: bool) -> list[Text | str]:
    # What is idle may not fire when its time comes.
    run = found.next_runs[0] if found.next_runs and found.condition != "idle" else None
    return [
        found.id,
        what(found),
        state_text(found.condition),
        "" if run is None else next_run(found, run) if wide else _far(run, rough=True),
        short_time(found.last_at)[: None if wide else len("2026-11-20")],
        f"{found.fired:,}",
        f"{found.skipped:,}",
        FROM[found.origin],
    ]


def _reasons(found: list[Trigger]) -> list[str]:
    """Why some do not work; what is the same for several is said once. A pause is shown in the list."""
    alike: dict[tuple[str, str], list[str]] = {}
    for each in found:
        if each.reason and each.condition != "paused":
            alike.setdefault((each.condition, each.reason), []).append(each.id)
    return [stated(f"{_together(names)} {condition}", reason) for (condition, reason), names in alike.items()]


def _together(names: list[str]) -> str:
    if len(names) == 1:
        return f"{names[0]} is"
    if len(names) > _NAMED:
        return f"{len(names)} triggers are"
    return f"{', '.join(names[:-1])} and {names[-1]} are"


def _far(run: datetime, *, rough: bool = False) -> str:
    rest = run - datetime.now(UTC)
    if rest.total_seconds() <= 0:
        return "now"
    seconds = math.ceil(rest.total_seconds())
    return f"in {roughly(rest) if rough or seconds < _SOON else duration(seconds)}"


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
