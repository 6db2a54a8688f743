"""Private folders of installations."""

from __future__ import annotations

from pydantic import Field

from moorage.config.table import Table


class StorageSettings(Table):
    ungranted_bytes: int = Field(
        default=1024**2,
        ge=0,
        description="Most that the folder of an installation without storage.use may hold (bytes).",
    )
    max_files: int = Field(default=100_000, ge=1, description="Most files and folders of one installation.")
