"""What all tables of settings share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict


class Table(BaseModel):
    """Unknown keys are errors, and nothing changes once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def anchored(self, folder: Path) -> Self:  # noqa: ARG002 - those with paths have their own
        """The same settings with relative paths counted from the folder."""
        return self


def _expanded(value: Any) -> Any:
    return str(Path(os.path.expandvars(value)).expanduser()) if isinstance(value, str) else value


#: A path of the host's machine; ``~`` and environment variables are expanded.
Folder = Annotated[Path, BeforeValidator(_expanded)]


def absolute(folder: Path, path: Path) -> Path:
    """Counted from the folder where it is relative."""
    return Path(os.path.normpath(folder / path))
