"""The PEP 249 module as SQLAlchemy wants to see it."""

from __future__ import annotations

from typing import Any, Tuple

from moorage_sdk import channel
from moorage_sdk import host as hosts
from moorage_sdk.services import sql

#: When the host has not said which SQLite it has: the oldest that any supported Python comes with.
OLDEST_VERSION = (3, 35, 0)

#: Of the driver's styles, the one that the stock dialect uses.
_PARAMSTYLES = {"sqlite": "qmark", "postgresql": "pyformat"}


class Driver:
    """The driver's names for one dialect."""

    def __init__(self, dialect: str = "sqlite", sqlite_version_info: Tuple[int, ...] = ()) -> None:
        """The version of SQLite is by default what the host has told: one for all of its files."""
        self.paramstyle = _PARAMSTYLES[dialect]
        self.sqlite_version_info = sqlite_version_info or _told_version() or OLDEST_VERSION
        self.sqlite_version = ".".join(map(str, self.sqlite_version_info))

    def connect(self, backend: str, scoped: bool = False) -> Any:
        """In the scope in which it is called."""
        return sql.Connection(channel.current(), backend, scoped=scoped)

    def __getattr__(self, name: str) -> Any:
        return getattr(sql, name)


def _told_version() -> Tuple[int, ...]:
    backends = hosts.current().sql_backends.values()
    return next((known.server_version for known in backends if known.dialect == "sqlite"), ())
