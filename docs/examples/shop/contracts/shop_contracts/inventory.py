"""Inventory, with a proto of its own: what plugin code sees of it. ``inventory.proto`` is the contract."""

from __future__ import annotations

from typing import Any, Mapping, Tuple

from moorage_proto.methods import Method, service_methods
from moorage_sdk.channel import Channel
from moorage_sdk.services import registry
from moorage_sdk.services.base import Ask, Provided
from shop_contracts import inventory_pb2

_METHODS: Mapping[str, Method[Any, Any]] = service_methods(inventory_pb2, "InventoryService")


class Inventory:
    """What is in stock."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def level(self, sku: str) -> int:
        """How many there are."""
        reply: inventory_pb2.LevelReply = self._channel.call(_METHODS["level"], inventory_pb2.LevelRequest(sku=sku))
        return reply.count

    def reserve(self, lines: Mapping[str, int]) -> str:
        """Puts goods aside; returns the reservation's number. Raises ServiceRefused when there are too few."""
        request = inventory_pb2.ReserveRequest()
        for sku, count in lines.items():
            request.lines.add(sku=sku, count=count)
        reply: inventory_pb2.ReserveReply = self._channel.call(_METHODS["reserve"], request)
        return reply.reservation


class InventoryFace:
    """Answers the annotation ``Inventory``."""

    provides: Tuple[str, ...] = ("shop_contracts.inventory:Inventory",)
    per_scope = False
    capability_verbs: Tuple[str, ...] = ("inventory.read", "inventory.reserve")

    def make(self, ask: Ask) -> Provided:
        return Provided(Inventory(ask.channel))


registry.register(InventoryFace())
