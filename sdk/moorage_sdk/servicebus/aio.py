"""``from moorage_sdk.servicebus.aio import ServiceBusClient``: the same, awaited."""

from __future__ import annotations

from moorage_sdk.services.servicebus.aio import ServiceBusClient, ServiceBusReceiver, ServiceBusSender

__all__ = ["ServiceBusClient", "ServiceBusReceiver", "ServiceBusSender"]
