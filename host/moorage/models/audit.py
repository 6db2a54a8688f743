"""One entry of the audit, and the chain that seals each to the one before it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum


class AuditKind(StrEnum):
    ALLOWED = "allowed"
    DENIED = "denied"
    #: A link ended because the worker broke the protocol or its identity was wrong.
    LINK_REFUSED = "link_refused"
    #: A person or API client changed something.
    ACTION = "action"


@dataclass(frozen=True)
class AuditEntry:
    time: datetime
    kind: AuditKind
    #: The installation concerned, or empty.
    installation: str
    #: Who acted: incarnation id, or a person.
    actor: str
    #: Method path or command.
    action: str
    #: The capability in question, or empty.
    capability: str = ""
    message: str = ""
    execution: str = ""
    #: How many equal occurrences this entry stands for.
    count: int = 1
    id: int = 0
    #: What seals it to all entries before it; empty: it is not written yet.
    digest: str = field(default="", compare=False)


#: The digest before the first entry.
GENESIS = "0" * 64


def seal(previous: str, entry: AuditEntry) -> str:
    """SHA-256, hexadecimal, over the previous digest and everything in the entry but its id and digest."""
    texts = (
        entry.kind,
        entry.installation,
        entry.actor,
        entry.action,
        entry.capability,
        entry.message,
        entry.execution,
    )
    content = [previous, entry.time.astimezone(UTC).isoformat(), *texts, entry.count]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


@dataclass(frozen=True)
class ChainReport:
    """Whether an audit is what was written. Entries cut off at the end cannot be noticed by the chain alone: compare
    `last_digest` with one that was noted elsewhere.
    """

    entries: int
    last_digest: str
    #: The first entry that was changed, or whose predecessor is gone: its id in the store, its line in a file; None:
    #: the chain is whole.
    broken_at: int | None = None
    #: The file that it is in; empty: the store.
    place: str = ""
    #: Older entries that the host itself removed for their age: the chain begins after them.
    pruned: int = 0

    @property
    def sentence(self) -> str:
        where = f"line {self.broken_at} of {self.place}" if self.place else f"entry {self.broken_at}"
        if self.broken_at is None:
            older = f" {self.pruned} older ones were removed for their age." if self.pruned else ""
            return (
                f"{self.entries} entries, and nothing was changed or taken out.{older}"
                f" The last digest is {self.last_digest}."
            )
        return (
            f"The audit was changed: {where} is not what was written, or something before it was taken out. "
            f"The {self.entries} entries before it are whole."
        )


@dataclass(frozen=True)
class SinkState:
    """One place that the audit is written to."""

    name: str
    #: Why it cannot be written now, as a sentence; empty: it can.
    problem: str = ""
    #: Since when.
    since: datetime | None = None
    #: Entries that wait for it.
    waiting: int = 0
    #: Entries that came faster than it takes them, or while it could not be written, and of which only the number is
    #: kept.
    counted: int = 0
