"""Settings of webhooks: what other systems may send, and where."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from moorage.config.table import Table


class WebhookSettings(Table):
    listen: Annotated[str, Field(pattern=r"^([^:\s]+|\[[0-9a-fA-F:]+\]):[0-9]{1,5}$")] | None = Field(
        default=None,
        description='Address of a listener of its own, such as "127.0.0.1:8780"; TLS is a proxy\'s. Default: the API'
        " alone takes them.",
    )
    max_body: int = Field(
        default=1024**2, ge=1024, le=64 * 1024**2, description="Largest request that is taken (bytes)."
    )
    timeout: timedelta = Field(
        default=timedelta(seconds=10),
        gt=timedelta(0),
        le=timedelta(minutes=5),
        description="How long a sender may take for its request (seconds).",
    )
    connections: int = Field(default=100, ge=1, le=10_000, description="Connections of the listener at one time.")
    rate: float = Field(
        default=50.0, gt=0, le=100_000, description="Requests of one webhook that are taken within a second."
    )

    @property
    def address(self) -> tuple[str, int] | None:
        """Of the listener."""
        if self.listen is None:
            return None
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)
