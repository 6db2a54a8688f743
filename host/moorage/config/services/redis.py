"""Redis servers."""

from __future__ import annotations

from pydantic import Field

from moorage.config.table import Table


class RedisBackend(Table):
    url: str = Field(
        default="embedded",
        description='redis://user:password@host:port/0, rediss://..., or "embedded" for one in the host.',
    )
