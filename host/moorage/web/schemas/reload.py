"""Reloads."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field

from moorage.models import reload as reload_models
from moorage.models.manifest import ReloadMode
from moorage.web.schemas.base import Document, Order
from moorage.web.schemas.problems import Problem
from moorage.web.values import text


class RestartOrder(Order):
    mode: ReloadMode | None = Field(
        default=None,
        description="Old and new workers at one time, or one after the other; default: as the plugin wants it.",
    )


class ReloadOrder(RestartOrder):
    start: bool = Field(default=False, description="Start it also where it does not run.")
    grant: list[str] = Field(default=[], description="Capabilities to grant to the new version.")
    grant_required: bool = Field(default=False, description="Grant all that the new version requires.")


class ReloadReport(Document):
    """What a reload did."""

    installation: str
    mode: ReloadMode
    from_version: str
    to_version: str
    old: list[int] = Field(description="Numbers of the workers that went; none where nothing ran.")
    new: list[int] = Field(description="Numbers of the workers that came.")
    drained: list[str] = Field(description="Executions that the old workers brought to their end.")
    gap_ms: float = Field(description="How long no execution could begin; those that came meanwhile waited.")
    sentence: str

    @classmethod
    def of(cls, report: reload_models.ReloadReport) -> Self:
        return cls(
            installation=report.installation,
            mode=report.mode,
            from_version=text(report.from_version),
            to_version=text(report.to_version),
            old=list(report.old),
            new=list(report.new),
            drained=list(report.drained),
            gap_ms=round(report.gap.total_seconds() * 1000, 3),
            sentence=text(report.sentence),
        )


class ReloadEvent(Document):
    """One line of a reload's progress: `progress` with a sentence, at the end `reloaded` or `problem`."""

    event: Literal["progress", "reloaded", "problem"]
    sentence: str = ""
    report: ReloadReport | None = None
    problem: Problem | None = None
