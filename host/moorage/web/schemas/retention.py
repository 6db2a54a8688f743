"""What the store keeps of what happened."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import Field

from moorage.models import retention as models
from moorage.web.schemas.base import Document


class Retained(Document):
    kind: models.History
    count: int = Field(description="How many there are.")
    oldest: datetime | None = Field(description="When the oldest of them happened.")
    size: int | None = Field(description="Characters of their text; none: they are not counted.")
    most_seconds: float | None = Field(description="How old they may become; none: any age.")
    most_each: int | None = Field(description="How many of one installation are kept; none: any number.")
    most_size: int | None = Field(description="How much text of all together is kept; none: any.")

    @classmethod
    def of(cls, found: models.Retained) -> Self:
        extent, bounds = found.extent, found.bounds
        return cls(
            kind=found.kind,
            count=extent.count,
            oldest=extent.oldest,
            size=extent.size,
            most_seconds=None if bounds.age is None else bounds.age.total_seconds(),
            most_each=bounds.each,
            most_size=bounds.size,
        )


class RetentionReport(Document):
    deleted: dict[models.History, int] = Field(description="How many of each kind went.")
    sentence: str

    @classmethod
    def of(cls, report: models.RetentionReport) -> Self:
        return cls(deleted=dict(report.deleted), sentence=report.sentence)
