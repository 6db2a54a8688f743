"""Billing, in typed Python: this file is the whole contract."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import AsyncIterator, Iterator, Optional, Protocol

from moorage_proto.typed import ServiceError, capability, service


class CardDeclined(ServiceError):
    """The customer's card was refused."""

    def __init__(self, customer: str) -> None:
        super().__init__(f"The card of {customer} was declined.")


@dataclass
class Charge:
    receipt: str
    customer: str
    cents: int
    at: datetime
    note: Optional[str] = None


@service("shop.billing", errors=[CardDeclined])
class Billing(Protocol):
    """For tasks that are functions."""

    @capability("billing.charge:{customer}", says="It charges the customers {resource}.")
    def charge(self, customer: str, cents: int, note: Optional[str] = None) -> Charge:
        """Raises CardDeclined."""

    @capability("billing.read:{customer}", says="It sees what the customers {resource} were charged.")
    def charges(self, customer: str) -> Iterator[Charge]:
        """All of a customer's charges, oldest first."""


@service(Billing)
class AsyncBilling(Protocol):
    """For tasks that are coroutines."""

    async def charge(self, customer: str, cents: int, note: Optional[str] = None) -> Charge: ...

    def charges(self, customer: str) -> AsyncIterator[Charge]: ...
