"""The ``[[tool.moorage.triggers]]`` of a manifest: each names one kind of source, and what that kind takes."""

from __future__ import annotations

import re
import zoneinfo
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Callable, Mapping

from moorage.models.manifest import Trigger
from moorage.packages.tables import Table, one_of
from moorage.packages.units import format_duration, parse_duration

_TASK = re.compile(r"[a-z_][a-z0-9_]{0,63}")
_BACKEND = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")  # Kafka's own rule
_CHANNEL = re.compile(r"[\x21-\x7e]{1,512}")
_ENTITY = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,258}[A-Za-z0-9])?")
_EVENT = re.compile(r"[a-z0-9_]+(?:\.(?:[a-z0-9_]+|\*{1,2}))*")
_WEBHOOK = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?")

_CRON_NUMBER = re.compile(r"[0-9]{1,2}|[a-z]{3}")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")

parse_task = one_of(_TASK, "a task is named as a Python function: small letters, digits and '_'")


@dataclass(frozen=True)
class _CronField:
    name: str
    first: int
    last: int
    words: tuple[str, ...] = ()


_CRON_FIELDS = (
    _CronField("minute", 0, 59),
    _CronField("hour", 0, 23),
    _CronField("day of month", 1, 31),
    _CronField("month", 1, 12, _MONTHS),
    _CronField("day of week", 0, 7, _WEEKDAYS),
)


def parse_interval(found: Any) -> str:
    """A duration of at least a second, in its normal spelling. Raises ValueError."""
    duration = parse_duration(found)
    if duration < timedelta(seconds=1):
        raise ValueError(f"{found!r} is too short; an interval is at least 1 s")
    return format_duration(duration)


def parse_cron(found: Any) -> str:
    """Five fields: minute, hour, day of month, month, day of week. Raises ValueError."""
    fields = found.split() if isinstance(found, str) else []
    if len(fields) != len(_CRON_FIELDS):
        raise ValueError(
            f"{found!r:.80} is not a cron expression; write minute, hour, day, month and weekday, such as '0 6 * * *'"
        )
    for text, field in zip(fields, _CRON_FIELDS, strict=True):
        for part in text.lower().split(","):
            if not _cron_part_fits(part, field):
                raise ValueError(
                    f"{part!r:.80} is not allowed as {field.name}; "
                    f"write '*', a number from {field.first} to {field.last}, a range 'a-b' or a step '*/n'"
                )
    return " ".join(fields)


def parse_timezone(found: Any) -> str:
    """Raises ValueError."""
    if isinstance(found, str) and found in zoneinfo.available_timezones():
        return found
    raise ValueError(f"{found!r:.80} is not a time zone; write a name such as 'Europe/Berlin' or 'UTC'")


def _parse_startup(found: Any) -> str:
    if found is not True:
        raise ValueError("startup is either true or left out")
    return ""


#: Kind of trigger -> parser of its source, and parsers of its options.
_Parser = Callable[[Any], Any]
_parse_backend = one_of(_BACKEND, "a backend is named with small letters, digits, '-' and '_'")
_KINDS: Mapping[str, tuple[_Parser, Mapping[str, _Parser]]] = {
    "interval": (parse_interval, {"jitter": parse_interval}),
    "cron": (parse_cron, {"timezone": parse_timezone, "jitter": parse_interval}),
    "kafka": (
        one_of(_TOPIC, "a topic is written with letters, digits, '.', '_' and '-'"),
        {"backend": _parse_backend, "group": one_of(_TOPIC, "a group is written as a topic is")},
    ),
    "redis": (
        one_of(_CHANNEL, "a channel or stream is written in visible ASCII characters"),
        {"backend": _parse_backend, "mode": one_of(re.compile("channel|stream"), "write 'channel' or 'stream'")},
    ),
    "servicebus": (
        one_of(_ENTITY, "a queue or topic is written with letters, digits, '.', '_', '-' and '/'"),
        {"backend": _parse_backend, "subscription": one_of(_ENTITY, "a subscription is written as a queue is")},
    ),
    "event": (one_of(_EVENT, "an event is named in dotted words, such as 'track.played' or 'track.*'"), {}),
    "webhook": (one_of(_WEBHOOK, "a webhook is named with small letters, digits, '-' and '_'"), {}),
    "startup": (_parse_startup, {}),
}


def read_trigger(table: Table) -> Trigger | None:
    """One trigger; None, and problems noted, where it is none."""
    kinds = [kind for kind in _KINDS if table.has(kind)]
    if len(kinds) != 1:
        found = "it names " + " and ".join(kinds) if kinds else "it names none"
        table.problem(f"a trigger names exactly one of {', '.join(_KINDS)}; {found}.")
        table.know(*_KINDS, "task", *(name for _, options in _KINDS.values() for name in options))
        table.close()
        return None
    kind = kinds[0]
    parse_source, options = _KINDS[kind]
    trigger = Trigger(
        kind=kind,
        source=table.parsed(kind, parse_source, ""),
        task=table.parsed("task", parse_task, "execute"),
        options={name: table.parsed(name, parse, None) for name, parse in options.items() if table.has(name)},
    )
    table.know(*options)
    table.close()
    return trigger


def _cron_part_fits(part: str, field: _CronField) -> bool:
    whole, slash, step = part.partition("/")
    if slash and not (step.isascii() and step.isdigit() and 0 < int(step[:4]) <= field.last):
        return False
    if whole == "*":
        return True
    if field.name == "day of month" and part == "l":  # the month's last day
        return True
    first, dash, last = whole.partition("-")
    start = _cron_number(first, field)
    end = _cron_number(last, field) if dash else start
    return start is not None and end is not None and start <= end


def _cron_number(text: str, field: _CronField) -> int | None:
    if not _CRON_NUMBER.fullmatch(text):
        return None
    if text in field.words:
        return field.words.index(text) + field.first
    if not text.isdigit() or not field.first <= int(text) <= field.last:
        return None
    return int(text)
