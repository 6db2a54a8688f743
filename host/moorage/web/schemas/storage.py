"""Private folders of installations."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import Field

from moorage.models import storage as models
from moorage.models.storage import DataFate
from moorage.web.schemas.base import Document, Order
from moorage.web.values import text


class StorageUse(Document):
    used_bytes: int = Field(description="What the content takes of the disk; counting stops where it is too much.")
    limit_bytes: int
    files: int = Field(description="Files and folders.")
    limit_files: int
    problem: str = Field(default="", description="Why there is more than could be counted; empty: there is not.")

    @classmethod
    def of(cls, use: models.StorageUse) -> Self:
        return cls(
            used_bytes=use.used_bytes,
            limit_bytes=use.limit_bytes,
            files=use.files,
            limit_files=use.limit_files,
            problem=use.problem,
        )


class Snapshot(Document):
    """A copy of the data."""

    id: str
    version: str = Field(description="Of the plugin, when it was made.")
    taken_at: datetime
    content_bytes: int

    @classmethod
    def of(cls, view: models.SnapshotView) -> Self:
        return cls(id=view.id, version=text(view.version), taken_at=view.taken_at, content_bytes=view.content_bytes)


class RestoreOrder(Order):
    snapshot: str = Field(default="", description="Its id; empty: the newest.")


class RemovalReport(Document):
    installation: str
    data: DataFate | None = Field(description="What became of its data; null: it had none.")
    sentence: str

    @classmethod
    def of(cls, report: models.RemovalReport) -> Self:
        return cls(installation=report.installation, data=report.data, sentence=report.sentence)
