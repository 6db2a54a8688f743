"""Azure Service Bus namespaces."""

from __future__ import annotations

from pydantic import Field

from moorage.config.table import Table


class ServiceBusBackend(Table):
    connection_string: str = Field(
        default="embedded", description='As Azure shows it, or "embedded" for a peer in the host.'
    )
    connection_strings: dict[str, str] = Field(
        default={}, description="By installation: used for it instead, with rights of its own."
    )
    queues: list[str] = Field(
        default=[], description="Of the embedded one; with none and no topics, entities are made when first used."
    )
    topics: dict[str, list[str]] = Field(default={}, description="Of the embedded one: subscriptions by topic.")
