"""What the store keeps of what happened, and what it has let go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum


class History(StrEnum):
    EXECUTIONS = "executions"
    LOGS = "logs"
    AUDIT = "audit"
    INCARNATIONS = "incarnations"


@dataclass(frozen=True)
class Extent:
    """How much there is of one kind."""

    count: int
    #: When the oldest of it happened; None: there is none.
    oldest: datetime | None
    #: Characters of its text; None: they are not counted.
    size: int | None = None


@dataclass(frozen=True)
class Bounds:
    """What is kept of one kind; None: no such bound."""

    age: timedelta | None
    #: Of each installation.
    each: int | None = None
    size: int | None = None


@dataclass(frozen=True)
class Retained:
    kind: History
    extent: Extent
    bounds: Bounds


@dataclass(frozen=True)
class RetentionReport:
    """What one run has deleted."""

    deleted: Mapping[History, int] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        found = [f"{count} {_NAMES[kind][count != 1]}" for kind, count in self.deleted.items() if count]
        return f"Deleted for their age or number: {', '.join(found)}." if found else "Nothing was too old or too much."


_NAMES = {
    History.EXECUTIONS: ("execution", "executions"),
    History.LOGS: ("log line", "log lines"),
    History.AUDIT: ("entry of the audit", "entries of the audit"),
    History.INCARNATIONS: ("worker", "workers"),
}
