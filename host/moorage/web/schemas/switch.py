"""The switch for all installations."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import Field

from moorage.models import switch as models
from moorage.models import views
from moorage.web.schemas.base import Document, Order, Reason
from moorage.web.schemas.installations import StopReport
from moorage.web.values import text


class SwitchOrder(Order):
    on: bool = Field(description="`false`: nothing works any more.")
    reason: Reason = Field(default="", description="For the audit, and for whoever asks why nothing works.")


class Switch(Document):
    on: bool
    reason: str = ""
    set_by: str = Field(default="", description="Empty: nobody has ever touched it.")
    set_at: datetime | None = None
    stopped: list[StopReport] = Field(default=[], description="What was running when it was switched off.")

    @classmethod
    def of(cls, state: models.SwitchState, stopped: tuple[views.StopReport, ...] = ()) -> Self:
        return cls(
            on=state.is_on,
            reason=text(state.reason),
            set_by=text(state.set_by),
            set_at=state.set_at,
            stopped=[StopReport.of(report) for report in stopped],
        )
