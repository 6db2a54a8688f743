"""Azure Service Bus namespaces."""

from __future__ import annotations

from pydantic import Field

from moorage.config.table import Table


class ServiceBusBackend(Table):
    connection_string: str = Field(
        default="embedded", description='As Azure shows it, or "embedded" for a peer in the host.'
    )
