"""Cron expressions: five fields, and a sentence for each that is none. Pure.

The grammar is that of Debian's cron, as cronsim reads it, with three words more of Quartz: ``L`` (the last day of the
month), ``LW`` (its last weekday) and ``5L`` (its last Friday), and ``5#2`` (its second Friday).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_NUMBER = re.compile(r"[0-9]{1,2}|[a-z]{3}")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True)
class _Field:
    name: str
    first: int
    last: int
    words: tuple[str, ...] = ()

    @property
    def rule(self) -> str:
        words = f", a name such as '{self.words[0]}'" if self.words else ""
        more = {"day of month": ", 'L' for the last day, 'LW' for the last weekday"}.get(self.name, "")
        more = {"day of week": ", '5L' for the last Friday, '5#2' for the second"}.get(self.name, more)
        return f"write '*', a number from {self.first} to {self.last}{words}, a range 'a-b' or a step '*/n'{more}"


_MINUTE, _HOUR, _DAY = _Field("minute", 0, 59), _Field("hour", 0, 23), _Field("day of month", 1, 31)
_MONTH, _WEEKDAY = _Field("month", 1, 12, _MONTHS), _Field("day of week", 0, 7, _WEEKDAYS)
_FIELDS = (_MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY)


def parse_cron(found: Any) -> str:
    """Minute, hour, day of month, month, day of week, with single spaces between. Raises ValueError."""
    fields = found.split() if isinstance(found, str) else []
    if len(fields) != len(_FIELDS):
        raise ValueError(
            f"{found!r:.80} is not a cron expression; write minute, hour, day, month and weekday, such as '0 6 * * *'"
        )
    for text, field in zip(fields, _FIELDS, strict=True):
        for part in text.lower().split(","):
            if not _fits(part, field):
                raise ValueError(f"{part!r:.80} is not allowed as {field.name}; {field.rule}")
    _check_that_it_comes(*(text.lower() for text in fields[2:]))
    return " ".join(fields)


def _fits(part: str, field: _Field) -> bool:
    whole, slash, step = part.partition("/")
    if slash and not (re.fullmatch(r"[0-9]{1,2}", step) and 0 < int(step) <= field.last):
        return False
    if whole == "*" or _is_word(part, field):
        return True
    first, dash, last = whole.partition("-")
    start = _number(first, field)
    end = _number(last, field) if dash else start
    return start is not None and end is not None and start <= end


def _is_word(part: str, field: _Field) -> bool:
    if field is _DAY:
        return part in ("l", "lw")
    if field is not _WEEKDAY:
        return False
    day, mark, which = part.partition("#")
    if mark:
        return which in ("1", "2", "3", "4", "5") and _number(day, field) is not None
    return re.fullmatch(r"[0-7]l", part) is not None


def _number(text: str, field: _Field) -> int | None:
    if not _NUMBER.fullmatch(text):
        return None
    if text in field.words:
        return field.words.index(text) + field.first
    if not text.isdigit() or not field.first <= int(text) <= field.last:
        return None
    return int(text)


def _check_that_it_comes(days: str, months: str, weekdays: str) -> None:
    """Where the day of the month alone decides: it is one that a month has."""
    if not (days.startswith("*") or weekdays.startswith("*")) or "l" in days:
        return
    first = min(_first_of(part, _DAY) for part in days.split(","))
    longest = max(_LONGEST_MONTHS[month - 1] for part in months.split(",") for month in _all_of(part, _MONTH))
    if first > longest:
        raise ValueError(f"{days!r:.80} is not allowed as day of month; none of the months {months!r:.80} has that day")


def _first_of(part: str, field: _Field) -> int:
    return min(_all_of(part, field))


def _all_of(part: str, field: _Field) -> range:
    whole, slash, step = part.partition("/")
    if whole == "*":
        return range(field.first, field.last + 1, int(step or 1))
    first, dash, last = whole.partition("-")
    start = _number(first, field) or field.first
    end = _number(last, field) or field.last if dash else field.last if slash else start
    return range(start, end + 1, int(step or 1))
