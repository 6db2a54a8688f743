"""PEP 249's constructors and type objects. SQLite stores dates as ISO 8601 text, as ``sqlite3`` writes them."""

from __future__ import annotations

import time
from datetime import date, datetime
from datetime import time as time_of_day

Date = date
Time = time_of_day
Timestamp = datetime
Binary = bytes

#: Columns have no declared types here: these compare equal to nothing that ``description`` says.
STRING = str
BINARY = bytes
NUMBER = float
DATETIME = datetime
ROWID = int


def DateFromTicks(ticks: float) -> date:  # noqa: N802 - PEP 249's name
    return date(*time.localtime(ticks)[:3])


def TimeFromTicks(ticks: float) -> time_of_day:  # noqa: N802 - PEP 249's name
    return time_of_day(*time.localtime(ticks)[3:6])


def TimestampFromTicks(ticks: float) -> datetime:  # noqa: N802 - PEP 249's name
    return datetime(*time.localtime(ticks)[:6])
