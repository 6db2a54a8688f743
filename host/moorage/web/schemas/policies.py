"""Policies of executions."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import Field, JsonValue

from moorage.models import policy as models
from moorage.models.policy import Origin
from moorage.packages.policies import written
from moorage.web.schemas.base import Document, Input, Order
from moorage.web.values import text


class PolicyChange(Order):
    set: dict[str, Input] = Field(default={}, description='Values by key: {"retries": 2, "timeout": "2 min"}.')
    reset: list[str] = Field(default=[], description="Keys whose values are again as they were before people set them.")


class PolicyValue(Document):
    key: str
    value: JsonValue = Field(description='As people write it: "2 min", "10/1 min", 3.')
    origin: Origin
    set_by: str = Field(default="", description="Of a person's.")
    set_at: datetime | None = None

    @classmethod
    def of(cls, value: models.PolicyValue) -> Self:
        return cls(
            key=value.key,
            value=written(value.value),
            origin=value.origin,
            set_by=text(value.set_by),
            set_at=value.set_at,
        )
