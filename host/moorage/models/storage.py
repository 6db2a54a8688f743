"""Private folders of installations, as people are told of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from moorage.models.installation import InstallationId

#: What becomes of the data of an installation that is removed.
DataFate = Literal["keep", "delete"]


@dataclass(frozen=True)
class StorageUse:
    #: What the content takes of the disk; counting stops where it is more than the limit.
    used_bytes: int
    limit_bytes: int
    #: Files and folders.
    files: int
    limit_files: int
    #: Why there is more than could be counted; empty: there is not.
    problem: str = ""


@dataclass(frozen=True)
class SnapshotView:
    """A copy of the data."""

    #: Of an installation's copies, the later one is the greater one.
    id: str
    #: Of the plugin, at that time.
    version: str
    taken_at: datetime
    content_bytes: int


@dataclass(frozen=True)
class RemovalReport:
    installation: InstallationId
    #: None: there was none.
    data: DataFate | None
    sentence: str
