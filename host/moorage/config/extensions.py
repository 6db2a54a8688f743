"""Calls of plugins at the application's extension points."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from moorage.config.table import Table


class ExtensionSettings(Table):
    timeout: timedelta = Field(
        default=timedelta(seconds=5),
        gt=timedelta(0),
        le=timedelta(hours=1),
        description="Longest time of a call of which the application says nothing else (seconds).",
    )
    at_once: int = Field(
        default=8,
        ge=1,
        le=1_000,
        description="Calls of one installation at one time; further ones wait for their turn.",
    )
