"""The PEP 249 module as SQLAlchemy wants to see it."""

from __future__ import annotations

from typing import Any, Tuple

from moorage_sdk.services import sql

#: When the host has not said which SQLite it has: the oldest that any supported Python comes with.
OLDEST_VERSION = (3, 35, 0)


class Driver:
    """The driver's names, and the version of SQLite that answers behind it."""

    def __init__(self, sqlite_version_info: Tuple[int, ...] = OLDEST_VERSION) -> None:
        self.sqlite_version_info = sqlite_version_info or OLDEST_VERSION
        self.sqlite_version = ".".join(map(str, self.sqlite_version_info))

    def __getattr__(self, name: str) -> Any:
        return getattr(sql, name)
