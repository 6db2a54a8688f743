"""Databases."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from pydantic import Field

from moorage.config.table import Table

_PREFIX = "sqlite:///"


class SqlBackend(Table):
    url: str = Field(description="SQLAlchemy URL: sqlite:////path/to/app.db.")

    def anchored(self, folder: Path) -> Self:
        if not self.url.startswith(_PREFIX) or self.url.startswith(_PREFIX + "/") or self.url == _PREFIX + ":memory:":
            return self
        path = os.path.normpath(folder / self.url.removeprefix(_PREFIX))
        return self.model_copy(update={"url": f"{_PREFIX}{path}"})
