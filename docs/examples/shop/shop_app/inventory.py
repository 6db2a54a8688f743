"""Serves the proto service ``InventoryService``, as Moorage's own services are served."""

from __future__ import annotations

from shop_contracts import inventory_pb2

from moorage.app import Caller, ServiceError


class InventoryService:
    contract = inventory_pb2.DESCRIPTOR.services_by_name["InventoryService"]

    def __init__(self, stock: dict[str, int]) -> None:
        self.stock = stock
        self._reservations = 0

    async def open(self) -> None:
        """The stock is in memory."""

    async def close(self) -> None:
        """Nothing is held."""

    def level(self, _caller: Caller, request: inventory_pb2.LevelRequest) -> inventory_pb2.LevelReply:
        return inventory_pb2.LevelReply(count=self.stock.get(request.sku, 0))

    def reserve(self, _caller: Caller, request: inventory_pb2.ReserveRequest) -> inventory_pb2.ReserveReply:
        for line in request.lines:
            if self.stock.get(line.sku, 0) < line.count:
                raise ServiceError(f"There are too few of {line.sku}.", kind="TooFew")
        for line in request.lines:
            self.stock[line.sku] -= line.count
        self._reservations += 1
        return inventory_pb2.ReserveReply(reservation=f"v-{self._reservations}")
