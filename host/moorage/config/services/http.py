"""How the host reaches the web for its plugins."""

from __future__ import annotations

from datetime import timedelta
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
    connect_timeout: timedelta = Field(
        default=timedelta(seconds=10), gt=timedelta(0), description="Most that a connection may take (seconds)."
    )
    idle_timeout: timedelta = Field(
        default=timedelta(seconds=300),
        gt=timedelta(0),
        description="Most that a server may take to send or to take the next piece (seconds).",
    )
    max_request_bytes: int = Field(default=1024**3, ge=0, description="Most that the body of a request may have.")
    max_response_bytes: int = Field(default=1024**3, ge=0, description="Most that the body of a response may have.")
    max_connections: int = Field(default=32, ge=1, description="Connections of one installation.")
    max_connections_per_host: int = Field(
        default=8, ge=1, description="Requests of one installation to one host and port at a time; more wait."
    )

    def anchored(self, folder: Path) -> Self:
        if self.ca_file is None:
            return self
        return self.model_copy(update={"ca_file": absolute(folder, self.ca_file)})
