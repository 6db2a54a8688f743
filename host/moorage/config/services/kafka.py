"""Kafka clusters."""

from __future__ import annotations

from pydantic import Field

from moorage.config.table import Table


class KafkaBackend(Table):
    bootstrap_servers: str = Field(
        default="embedded", description='host:port list, or "embedded" for a mock cluster in the host.'
    )
    options: dict[str, str | int | float | bool] = Field(
        default={}, description="Further librdkafka settings: security.protocol."
    )
