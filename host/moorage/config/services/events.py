"""The bus of events among plugins and the application."""

from __future__ import annotations

from pydantic import Field

from moorage.config.table import Table


class EventsSettings(Table):
    redis: str | None = Field(
        default=None,
        description="Name of a Redis server of these settings that carries events to other hosts. Default: they stay"
        " in this host.",
    )
