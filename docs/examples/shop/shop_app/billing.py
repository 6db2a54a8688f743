"""Serves the contract ``Billing``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

from shop_contracts import Billing, CardDeclined, Charge

from moorage.app import Caller, implements

#: Whose cards are good for this much.
CREDIT_CENTS = {"ada": 10_000, "grace": 500}


@implements(Billing)
class Ledger:
    """What was charged, and by which plugin."""

    def __init__(self) -> None:
        self.charged: list[tuple[str, Charge]] = []

    async def charge(self, caller: Caller, customer: str, cents: int, note: str | None = None) -> Charge:
        spent = sum([charge.cents async for charge in self.charges(customer)])
        if spent + cents > CREDIT_CENTS.get(customer, 0):
            raise CardDeclined(customer)
        charge = Charge(f"r-{len(self.charged) + 1}", customer, cents, datetime.now(UTC), note)
        self.charged.append((caller.installation, charge))
        return charge

    async def charges(self, customer: str) -> AsyncIterator[Charge]:
        for _, charge in tuple(self.charged):
            if charge.customer == customer:
                yield charge
