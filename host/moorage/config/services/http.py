"""How the host reaches the web for its plugins."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field

from moorage.config.table import Folder, Table, absolute


class HttpSettings(Table):
    proxy: str | None = Field(
        default=None, description="http://host:port that requests of plugins go through. Default: directly."
    )
    ca_file: Folder | None = Field(
        default=None, description="PEM file of the authorities to trust. Default: those of this machine."
    )

    def anchored(self, folder: Path) -> Self:
        if self.ca_file is None:
            return self
        return self.model_copy(update={"ca_file": absolute(folder, self.ca_file)})
