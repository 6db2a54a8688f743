"""Databases as people look at them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SqlBackendView:
    name: str
    #: "sqlite" or "postgresql".
    dialect: str
    #: "managed", "provided" or "single-fence"; empty: a file, whose library checks each statement itself.
    mode: str
    #: Empty as long as a server was not reached.
    version: str
