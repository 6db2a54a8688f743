"""The host itself and its sandbox."""

from __future__ import annotations

from typing import Self

from pydantic import Field

from moorage.web.schemas.base import Document
from moorage_sandbox import report as models


class MissingLayer(Document):
    """A layer of the sandbox that could not be had."""

    layer: str
    errno: int
    reason: str
    consequence: str
    remedy: str

    @classmethod
    def of(cls, missing: models.MissingLayer) -> Self:
        return cls(
            layer=missing.layer,
            errno=missing.errno,
            reason=missing.reason,
            consequence=missing.consequence,
            remedy=missing.remedy,
        )


class Sandbox(Document):
    """What the kernel really enforces for workers of this host."""

    level: str = Field(description="full, full-bwrap, restricted or none.")
    layers: dict[str, str]
    missing: list[MissingLayer]

    @classmethod
    def of(cls, report: models.SandboxReport) -> Self:
        return cls(
            level=report.level,
            layers=dict(report.layers),
            missing=[MissingLayer.of(layer) for layer in report.missing],
        )


class System(Document):
    version: str
    python: str
    pid: int
    state_dir: str
    required_level: str = Field(description="Lowest sandbox level at which a plugin may start.")
    sandbox: Sandbox
