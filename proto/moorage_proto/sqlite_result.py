"""What a statement came to, and who asked for it."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any, List, Optional, Protocol, Tuple

from moorage_proto.capability import Capability, Decision
from moorage_proto.sqlite_authorizer import Plan
from moorage_proto.sqlite_errors import row_too_big
from moorage_proto.sqlite_limits import MAX_ROW_BYTES

DEFAULT_ROWS = 256
MAX_ROWS = 10_000

#: Of the rows of one message, roughly; a single row may be larger, up to ``MAX_ROW_BYTES``.
BATCH_BYTES = 64 * 1024


class Guard(Protocol):
    """Decides for the caller of one call."""

    def decide(self, need: Capability) -> Decision: ...

    def covers(self, need: Capability) -> bool: ...

    def require_any(self, backend: str) -> None: ...

    def refusal(self, need: Capability) -> Exception: ...


@dataclass(frozen=True)
class Result:
    """What one statement came to."""

    columns: Tuple[str, ...]
    rows: List[Tuple[Any, ...]]
    #: Holds the remaining rows.
    cursor: Optional[OpenCursor]
    row_count: int
    last_row_id: Optional[int]


@dataclass(frozen=True, eq=False)
class OpenCursor:
    """A statement that has more rows to give."""

    raw: sqlite3.Cursor
    plan: Plan
    guard: Guard


def batch(raw: sqlite3.Cursor, rows: int) -> Tuple[List[Tuple[Any, ...]], bool]:
    """Some rows, and whether they are the last. Raises CallError for a row that no message holds."""
    limit = min(rows or DEFAULT_ROWS, MAX_ROWS)
    found: List[Tuple[Any, ...]] = []
    size_bytes = 0
    for row in raw:
        row_bytes = sum(len(value) if isinstance(value, (str, bytes)) else 8 for value in row)
        if row_bytes > MAX_ROW_BYTES:
            # The error's traceback would keep it, and the statement its values.
            del row
            raw.close()
            raise row_too_big(MAX_ROW_BYTES)
        found.append(row)
        size_bytes += row_bytes
        if len(found) >= limit or size_bytes >= BATCH_BYTES:
            return found, False
    return found, True
