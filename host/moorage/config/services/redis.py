"""Redis servers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from moorage.config.table import Table

EMBEDDED = "embedded"


class RedisBackend(Table):
    url: str = Field(
        default=EMBEDDED,
        description='redis://user:password@host:port/0, rediss://..., or "embedded" for one in the host.',
    )
    acl: Literal["auto", "required", "off"] = Field(
        default="auto",
        description="Whether the host makes a user on the server for each installation: where it may, always, never.",
    )
    unfenced_scripts: bool = Field(
        default=False, description="Scripts also where the server does not bind them to an installation's keys."
    )
    timeout: float = Field(default=10.0, gt=0, description="Seconds that the server may take to answer.")
