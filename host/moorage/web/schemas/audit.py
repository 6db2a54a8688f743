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
        )
