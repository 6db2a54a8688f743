"""Databases."""

from __future__ import annotations

from typing import Self

from pydantic import Field

from moorage.models import sql as models
from moorage.web.schemas.base import Document


class SqlBackend(Document):
    name: str
    dialect: str = Field(examples=["sqlite", "postgresql"])
    mode: str = Field(
        description="Of a server, what keeps installations apart beneath the host's own check: managed, provided or"
        " single-fence (nothing); empty: a file."
    )
    version: str = Field(description="Empty as long as a server was not reached.")

    @classmethod
    def of(cls, view: models.SqlBackendView) -> Self:
        return cls(name=view.name, dialect=view.dialect, mode=view.mode, version=view.version)


class SqlPlan(Document):
    backend: str
    script: str = Field(description="SQL, for psql; empty: there is nothing to run.")
