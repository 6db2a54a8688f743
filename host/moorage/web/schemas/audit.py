"""Audit entries."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import Field

from moorage.models import audit
from moorage.models.audit import AuditKind
from moorage.web.schemas.base import Document


class AuditEntry(Document):
    id: int
    time: datetime
    kind: AuditKind
    installation: str = Field(description="The installation concerned, or empty.")
    actor: str = Field(description="Who acted: an incarnation's id, or a person.")
    action: str = Field(description="Method path or command.")
    capability: str = ""
    message: str = ""
    execution: str = ""
    count: int = Field(default=1, description="How many equal occurrences this entry stands for.")
    digest: str = Field(default="", description="What seals it to all entries before it.")

    @classmethod
    def of(cls, entry: audit.AuditEntry) -> Self:
        return cls(
            id=entry.id,
            time=entry.time,
            kind=entry.kind,
            installation=entry.installation,
            actor=entry.actor,
            action=entry.action,
            capability=entry.capability,
            message=entry.message,
            execution=entry.execution,
            count=entry.count,
            digest=entry.digest,
        )


class ChainReport(Document):
    """Whether the stored audit is what was written."""

    whole: bool
    sentence: str
    entries: int = Field(description="That follow each other from the first one on.")
    last_digest: str = Field(description="Note it elsewhere: entries cut off at the end show in nothing else.")
    broken_at: int | None = Field(description="Id of the first entry that does not follow; absent: all do.")

    @classmethod
    def of(cls, report: audit.ChainReport) -> Self:
        return cls(
            whole=report.broken_at is None,
            sentence=report.sentence,
            entries=report.entries,
            last_digest=report.last_digest,
            broken_at=report.broken_at,
        )


class SinkState(Document):
    """One place that the audit is written to."""

    name: str
    problem: str = Field(description="Why it cannot be written now; empty: it can.")
    since: datetime | None
    waiting: int = Field(description="Entries that wait for it.")
    counted: int = Field(description="Entries of which only the number was kept, since the host started.")

    @classmethod
    def of(cls, state: audit.SinkState) -> Self:
        return cls(
            name=state.name,
            problem=state.problem,
            since=state.since,
            waiting=state.waiting,
            counted=state.counted,
        )
