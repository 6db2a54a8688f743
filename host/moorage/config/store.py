"""Where the host's own store is."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Self

from pydantic import ConfigDict, Field, SecretStr, field_validator

from moorage.config.table import Folder, Table, absolute

_POSTGRESQL = ("postgresql://", "postgresql+psycopg://", "postgres://")


class StoreSettings(Table):
    # A URL may hold a password.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: SecretStr | None = Field(
        default=None,
        description="PostgreSQL database that the store is in: postgresql://user:${PASSWORD}@server/database, in which"
        " ${PASSWORD} is that environment variable. Several hosts may share it. Default: an SQLite file in state_dir.",
    )
    password_file: Folder | None = Field(
        default=None, description="A file that holds the password, where the URL has none."
    )
    connect_timeout: timedelta = Field(
        default=timedelta(seconds=5), ge=timedelta(seconds=1), description="Until the server has answered (seconds)."
    )
    statement_timeout: timedelta = Field(
        default=timedelta(seconds=30),
        ge=timedelta(seconds=1),
        description="Longest time for one statement of the host's (seconds).",
    )

    @field_validator("url")
    @classmethod
    def _check(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().startswith(_POSTGRESQL):
            raise ValueError("it begins with postgresql://; for an SQLite file in state_dir leave it out")
        return url

    def anchored(self, folder: Path) -> Self:
        if self.password_file is None:
            return self
        return self.model_copy(update={"password_file": absolute(folder, self.password_file)})
