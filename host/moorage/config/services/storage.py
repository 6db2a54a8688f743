"""Private folders of installations."""

from __future__ import annotations

from pydantic import Field

from moorage.config.table import Table


class StorageSettings(Table):
    max_files: int = Field(default=100_000, ge=1, description="Most files and folders of one installation.")
