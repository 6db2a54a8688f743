"""Discounts: plugins say what a basket may cost less."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Protocol

from moorage_proto.typed import extension_point


@dataclass
class Basket:
    customer: str
    sku: str
    count: int
    cents: int


@extension_point("shop.discount", version=1)
class Discount(Protocol):
    """Of all discounts that plugins offer the customer gets the best."""

    async def discount(self, basket: Basket) -> Optional[int]:
        """In cents; None where the basket gets none."""
