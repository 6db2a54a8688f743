"""Where the key of the secrets is."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field

from moorage.config.table import Folder, Table, absolute


class SecretsSettings(Table):
    key_file: Folder | None = Field(
        default=None, description="File with the key that secrets are encrypted with. Default: in the state folder."
    )

    def anchored(self, folder: Path) -> Self:
        if self.key_file is None:
            return self
        return self.model_copy(update={"key_file": absolute(folder, self.key_file)})
