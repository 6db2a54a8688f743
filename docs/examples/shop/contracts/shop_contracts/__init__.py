"""What the shop offers to its plugins, and what it asks them."""

from __future__ import annotations

from shop_contracts.billing import AsyncBilling, Billing, CardDeclined, Charge
from shop_contracts.discount import Basket, Discount

__version__ = "1.1.0"

__all__ = ["AsyncBilling", "Basket", "Billing", "CardDeclined", "Charge", "Discount"]
