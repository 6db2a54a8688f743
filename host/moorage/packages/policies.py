"""The values of policies as people write them, with their bounds. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any

from moorage.errors import Invalid
from moorage.models.policy import Overlap, Rate
from moorage.packages.tables import Table, nearest
from moorage.packages.units import format_duration, parse_duration

_RATE = re.compile(r"(?P<count>[0-9]{1,9}) ?/ ?(?P<per>[^/]+)")
_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_LONGEST = timedelta(days=30)
_MOST_EACH = 1_000_000


class PolicyInvalid(Invalid):
    """A value of a policy cannot be used; one sentence for each problem."""

    code = "policy_invalid"


def parse_rate(found: Any) -> Rate | None:
    """ "10/1 min"; "none": as many as there are turns. Raises ValueError."""
    if found is None or isinstance(found, Rate):
        return found
    if found in ("", "none"):
        return None
    match = _RATE.fullmatch(found.strip()) if isinstance(found, str) else None
    if match is None:
        raise ValueError(f"{found!r:.60} is no rate; write beginnings and a time, such as '10/1 min'")
    # "10/min" is as clear as "10/1 min".
    per = parse_duration(match["per"].strip() if match["per"].strip()[0].isdigit() else f"1 {match['per'].strip()}")
    if not 1 <= int(match["count"]) <= _MOST_EACH or not timedelta(seconds=1) <= per <= timedelta(days=1):
        raise ValueError(f"{found!r:.60} is out of bounds; write 1 to {_MOST_EACH:,} beginnings within 1 s to 1 d")
    return Rate(int(match["count"]), per)


def _count(least: int, most: int, found: Any) -> int:
    text = found.strip() if isinstance(found, str) else ""
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else found
    if isinstance(number, bool) or not isinstance(number, int) or not least <= number <= most:
        raise ValueError(f"{found!r:.60} is out of bounds; write a whole number from {least} to {most}")
    return number


def _duration(least: timedelta, found: Any) -> timedelta:
    duration = found if isinstance(found, timedelta) else parse_duration(found)
    if not least <= duration <= _LONGEST:
        bounds = f"{format_duration(least)} to {format_duration(_LONGEST)}"
        raise ValueError(f"{found!r:.60} is out of bounds; write {bounds}")
    return duration


def _overlap(found: Any) -> Overlap:
    try:
        return Overlap(found)
    except ValueError as error:
        raise ValueError(f"{found!r:.60} is no way to overlap; write 'queue', 'skip' or 'replace'") from error


def _bool(found: Any) -> bool:
    known = _WORDS.get(found.lower()) if isinstance(found, str) else found
    if not isinstance(known, bool):
        raise ValueError(f"{found!r:.60} has to be true or false")
    return known


#: By the names of RunPolicy's fields.
PARSERS: Mapping[str, Callable[[Any], Any]] = {
    "concurrency": partial(_count, 1, 1024),
    "queue": partial(_count, 0, _MOST_EACH),
    "overlap": _overlap,
    "timeout": partial(_duration, timedelta(seconds=1)),
    "retries": partial(_count, 0, 1_000),
    "backoff_first": partial(_duration, timedelta(0)),
    "backoff_most": partial(_duration, timedelta(0)),
    "rate": parse_rate,
    "idempotent": _bool,
}

#: Those that a manifest says in [tool.moorage.limits].
OF_LIMITS = ("concurrency", "timeout")


def parse_policy(given: Mapping[str, Any], what: str) -> dict[str, Any]:
    """The values by key, checked. ``what`` names whose they are: "policy of churn". Raises PolicyInvalid."""
    values: dict[str, Any] = {}
    problems = []
    for key, value in given.items():
        if key not in PARSERS:
            problems.append(f"{what}: {key}: unknown key{nearest(key, set(PARSERS))}")
            continue
        try:
            values[key] = PARSERS[key](value)
        except ValueError as error:
            problems.append(f"{what}: {key}: {str(error).rstrip('.')}.")
    if problems:
        raise PolicyInvalid("\n".join(problems))
    return values


def stored(value: Any) -> Any:
    """The form that the store and the API have; ``parse_policy`` reads it."""
    return str(value) if isinstance(value, Rate) else value


def written(value: Any) -> Any:
    """As people write it: texts, numbers, true and false."""
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, Rate):
        return f"{value.count}/{format_duration(value.per)}"
    return str(value) if isinstance(value, Overlap) else value


def read_policy(table: Table) -> dict[str, Any]:
    """``[tool.moorage.policy]`` of a manifest, as it is stored: plain values, by key. What is wrong is noted there."""
    values: dict[str, Any] = {}
    table.know(*(key for key in PARSERS if key not in OF_LIMITS))
    for key in PARSERS:
        if key in OF_LIMITS and table.has(key):
            table.know(key)
            table.problem("this belongs into [tool.moorage.limits].", key)
        elif key not in OF_LIMITS and table.has(key):
            value = table.parsed(key, PARSERS[key], None)
            if value is not None:
                values[key] = stored(value)
    table.close()
    return values
