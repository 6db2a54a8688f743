"""Injects clients that belong to the scope."""

from __future__ import annotations

from typing import Tuple

from moorage_sdk.services.base import Ask, Provided
from moorage_sdk.services.servicebus import aio
from moorage_sdk.services.servicebus.client import ServiceBusClient

SYNC = "moorage_sdk.services.servicebus.client:ServiceBusClient"
ASYNC = "moorage_sdk.services.servicebus.aio:ServiceBusClient"


class ServiceBusFace:
    """One client for each scope, namespace and kind."""

    provides: Tuple[str, ...] = (SYNC, ASYNC)
    per_scope = True
    capability_verbs: Tuple[str, ...] = ("servicebus.send", "servicebus.receive")

    def make(self, ask: Ask) -> Provided:
        if ask.type_name == ASYNC:
            awaited = aio.ServiceBusClient(ask.channel, ask.backend, scope=ask.scope)
            return Provided(awaited, close=awaited.seal)
        client = ServiceBusClient(ask.channel, ask.backend, scope=ask.scope)
        return Provided(client, close=client.seal)
