"""How executions of one installation are run: how many at a time, how many may wait, how often they are tried."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any


class Overlap(StrEnum):
    """What becomes of work that comes while other work of the same trigger, or of the same task where no trigger
    started it, is open."""

    #: It waits for its turn.
    QUEUE = "queue"
    #: It is rejected; of a schedule, the tick is skipped and counted.
    SKIP = "skip"
    #: What is open is cancelled, and it takes its place.
    REPLACE = "replace"


class Origin(StrEnum):
    """Where a value, or a trigger, comes from; a later one of these counts before an earlier one."""

    DEFAULT = "default"
    #: The plugin's own word.
    MANIFEST = "manifest"
    #: The host's configuration file.
    SETTINGS = "settings"
    #: Changed at run time, and stored.
    PERSON = "person"
    #: The application that embeds the host.
    APPLICATION = "application"


@dataclass(frozen=True)
class Rate:
    """So many beginnings within each such time."""

    count: int
    per: timedelta

    def __str__(self) -> str:
        return f"{self.count}/{self.per.total_seconds():g}s"


@dataclass(frozen=True)
class RunPolicy:
    #: Executions at one time, on one host.
    concurrency: int = 1
    #: Executions that may wait, on one host.
    queue: int = 1_000
    overlap: Overlap = Overlap.QUEUE
    #: Longest run of one attempt.
    timeout: timedelta = timedelta(minutes=5)
    #: Further attempts after one that failed, timed out or crashed.
    retries: int = 0
    #: Wait before the first retry, doubled with each further one, and jittered.
    backoff_first: timedelta = timedelta(seconds=1)
    backoff_most: timedelta = timedelta(minutes=5)
    #: Beginnings; None: as many as there are turns.
    rate: Rate | None = None
    #: What ran when its host died is run again, as a further attempt; otherwise its outcome is ``abandoned``.
    idempotent: bool = False


@dataclass(frozen=True)
class PolicyValue:
    """One value of a policy, and whose word it is."""

    key: str
    value: Any
    origin: Origin
    #: Of a person's.
    set_by: str = ""
    set_at: datetime | None = None


POLICY_KEYS = tuple(field.name for field in fields(RunPolicy))
