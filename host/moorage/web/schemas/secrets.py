"""Secrets: what people may see of them, which is everything but their values."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import Field, SecretStr

from moorage.models import secret as models
from moorage.models.secret import SecretOrigin
from moorage.web.schemas.base import Document, Order


class SecretOrder(Order):
    value: SecretStr = Field(description="Text, of 16 KiB at most. No answer ever holds it.")


class Secret(Document):
    installation: str = Field(description="Empty: a shared one.")
    name: str
    origin: SecretOrigin = Field(description="Who wrote it: an operator, or the plugin itself.")
    set_by: str
    set_at: datetime
    problem: str = Field(default="", description="Why it cannot be opened; empty: it can.")

    @classmethod
    def of(cls, info: models.SecretInfo) -> Self:
        return cls(
            installation=info.installation,
            name=info.name,
            origin=info.origin,
            set_by=info.set_by,
            set_at=info.set_at,
            problem=info.problem,
        )


class Rotation(Document):
    """What a rotation of the key came to."""

    sealed: int = Field(description="Secrets that were sealed with the new key.")
