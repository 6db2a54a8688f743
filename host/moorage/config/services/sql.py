"""Databases."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator

from moorage.config.table import Table

_PREFIX = "sqlite:///"
_POSTGRESQL = ("postgresql:", "postgresql+psycopg:", "postgres:")


class SqlMode(StrEnum):
    """How a database server keeps plugins apart, beneath the host's own check of each statement."""

    #: The host makes a role for each installation, and gives it what was granted.
    MANAGED = "managed"
    #: Whoever administers the database makes the roles.
    PROVIDED = "provided"
    #: All plugins' statements run as one role: nothing but the host's check is between them and its rights.
    SINGLE_FENCE = "single-fence"


class SqlBackend(Table):
    url: str = Field(
        description="SQLAlchemy URL: sqlite:////path/to/app.db, postgresql://user:password@server/database."
    )
    mode: SqlMode | None = Field(
        default=None,
        description="Of PostgreSQL, how plugins are kept apart: managed (default; the URL's role may create roles),"
        " provided (roles, below), or single-fence (not at all, but for the host's own check).",
    )
    roles: dict[str, SecretStr] = Field(
        default_factory=dict,
        description="In mode provided, the URL that each installation connects with; moorage sql plan prints the script"
        " that makes the roles.",
    )
    default_schema: str = Field(
        default="public", description="Of PostgreSQL, the schema whose tables plugins name without a schema."
    )
    rows: dict[str, str] = Field(
        default_factory=dict,
        description="Of PostgreSQL, table to column: plugins see and write only rows in which that column holds the"
        " name of their installation (row security).",
    )
    connections: int = Field(
        default=20, ge=1, description="Of PostgreSQL, connections open at a time, of all installations together."
    )
    connections_each: int = Field(default=5, ge=1, description="Of PostgreSQL, connections of one installation.")
    commit_table: bool = Field(
        default=False,
        description="Whether the commit of an execution notes its id in the table moorage_commit, in the same"
        " transaction; the table is made by the host, or by the script of moorage sql plan.",
    )

    @property
    def is_postgresql(self) -> bool:
        return self.url.startswith(_POSTGRESQL)

    @property
    def fence(self) -> SqlMode | None:
        """None: the database is a file, and SQLite's authorizer its fence."""
        return (self.mode or SqlMode.MANAGED) if self.is_postgresql else None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not self.is_postgresql and (self.mode is not None or self.roles or self.rows):
            raise ValueError("mode, roles and rows are for PostgreSQL; leave them out of a SQLite database")
        if self.roles and self.fence is not SqlMode.PROVIDED:
            raise ValueError('roles are for mode = "provided"; in the other modes leave them out')
        if self.rows and self.fence is SqlMode.SINGLE_FENCE:
            raise ValueError('rows need a role for each installation: mode = "managed" or "provided"')
        return self

    def anchored(self, folder: Path) -> Self:
        if not self.url.startswith(_PREFIX) or self.url.startswith(_PREFIX + "/") or self.url == _PREFIX + ":memory:":
            return self
        path = os.path.normpath(folder / self.url.removeprefix(_PREFIX))
        return self.model_copy(update={"url": f"{_PREFIX}{path}"})
