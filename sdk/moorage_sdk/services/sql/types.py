"""PEP 249's constructors and type objects, and the types of our own that values come back in."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import date, datetime
from datetime import time as time_of_day
from typing import Any, Optional

Date = date
Time = time_of_day
Timestamp = datetime
Binary = bytes


class TypeObject:
    """Equal to every type code of its kind: ``cursor.description[0][1] == NUMBER``. Type codes are the backend's names
    of types, ``"int4"``, where it has some; SQLite's columns have none.
    """

    def __init__(self, *names: str) -> None:
        self._names = frozenset(names)

    def __eq__(self, other: object) -> bool:
        return other in self._names if isinstance(other, str) else self is other

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self._names)


STRING = TypeObject("text", "varchar", "bpchar", "name", "char", "citext", "xml")
BINARY = TypeObject("bytea")
NUMBER = TypeObject("int2", "int4", "int8", "float4", "float8", "numeric", "oid", "money")
DATETIME = TypeObject("date", "time", "timetz", "timestamp", "timestamptz", "interval")
ROWID = TypeObject("oid")


@dataclass(frozen=True)
class Range:
    """A value of PostgreSQL's range types. None: without a bound on that side."""

    lower: Any = None
    upper: Any = None
    #: "[)": with the lower, without the upper bound.
    bounds: str = "[)"
    empty: bool = False

    def __str__(self) -> str:
        """As PostgreSQL reads it."""
        if self.empty:
            return "empty"
        return f"{self.bounds[0]}{_bound(self.lower)},{_bound(self.upper)}{self.bounds[1]}"


def _bound(value: Optional[Any]) -> str:
    if value is None:
        return ""
    text = value.isoformat() if isinstance(value, date) else str(value)
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}"'


def DateFromTicks(ticks: float) -> date:  # noqa: N802 - PEP 249's name
    return date(*time.localtime(ticks)[:3])


def TimeFromTicks(ticks: float) -> time_of_day:  # noqa: N802 - PEP 249's name
    return time_of_day(*time.localtime(ticks)[3:6])


def TimestampFromTicks(ticks: float) -> datetime:  # noqa: N802 - PEP 249's name
    return datetime(*time.localtime(ticks)[:6])
