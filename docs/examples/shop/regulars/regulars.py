"""Ten per cent off for those who have bought before."""

from __future__ import annotations

import logging
from typing import Optional

from shop_contracts import AsyncBilling, Basket, Discount

from moorage_sdk import Plugin

plugin = Plugin()


@plugin.implements(Discount)
class Regulars:
    """Made anew for each call: what it is injected with is the call's own."""

    def __init__(self, billing: AsyncBilling, log: logging.Logger) -> None:
        self.billing = billing
        self.log = log

    async def discount(self, basket: Basket) -> Optional[int]:
        """Regulars are those who were charged before."""
        async for charge in self.billing.charges(basket.customer):
            self.log.info("%s has bought before: %s", basket.customer, charge.receipt)
            return basket.cents // 10
        return None
