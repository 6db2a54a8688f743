"""What the audit keeps, and where."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from moorage.config.table import Table


class AuditSettings(Table):
    allowed: Literal["none", "counted", "all"] = Field(
        default="counted", description="What is kept of allowed calls: nothing, counts for each minute, or every call."
    )
