"""What the shop offers to its plugins."""

from __future__ import annotations

from shop_contracts.billing import AsyncBilling, Billing, CardDeclined, Charge

__version__ = "1.0.0"

__all__ = ["AsyncBilling", "Billing", "CardDeclined", "Charge"]
