"""Carries out orders with the services that the shop offers."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Dict, Optional

from shop_contracts import AsyncBilling, Billing, CardDeclined
from shop_contracts.inventory import Inventory

from moorage_sdk import Plugin

PRICES_CENTS: Dict[str, int] = {"tea": 450, "cups": 1200}

plugin = Plugin()


@dataclass
class Order:
    customer: str
    sku: str
    count: int


@dataclass
class Customer:
    name: str


@dataclass
class Done:
    reservation: str
    receipt: str
    left: int


@plugin.task
def execute(order: Order, inventory: Inventory, billing: Billing, log: logging.Logger) -> Optional[Done]:
    """Charges first, then puts the goods aside; nothing where the card is declined."""
    if inventory.level(order.sku) < order.count:
        log.warning("there is not enough of %s", order.sku)
        return None
    try:
        charge = billing.charge(order.customer, PRICES_CENTS[order.sku] * order.count, note=order.sku)
    except CardDeclined as declined:
        log.warning("%s", declined)
        return None
    reservation = inventory.reserve({order.sku: order.count})
    return Done(reservation, charge.receipt, inventory.level(order.sku))


@plugin.task
async def spent(customer: Customer, billing: AsyncBilling) -> int:
    """The sum of a customer's charges."""
    return sum([charge.cents async for charge in billing.charges(customer.name)])
