"""Levels of plugins' loggers."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import Field

from moorage.models import levels as models
from moorage.web.schemas.base import Document, Order
from moorage.web.values import text


class LevelOrder(Order):
    level: int = Field(description="Numeric level of Python's logging: 10 is DEBUG.", ge=1, le=100)
    logger: str = Field(default="", description="That one and those below it; empty: all without one of their own.")
    for_seconds: float | None = Field(
        default=None, gt=0, le=30 * 86_400, description="After so long it is taken back; none: it stays."
    )


class Level(Document):
    """What was set for one logger."""

    logger: str = Field(description="Empty: all that have none of their own.")
    level: int
    until: datetime | None = Field(description="When it is taken back; none: it stays.")
    set_by: str
    set_at: datetime

    @classmethod
    def of(cls, setting: models.LevelSetting) -> Self:
        return cls(
            logger=text(setting.logger),
            level=setting.level,
            until=setting.until,
            set_by=setting.set_by,
            set_at=setting.set_at,
        )
