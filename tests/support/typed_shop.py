"""A contract in typed Python with every kind of method, in both forms, and what serves it."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from moorage.app import Caller, implements
from moorage_proto.capability import Capability, need
from moorage_proto.typed import ServiceError, capability, guarded, own, service


class Currency(enum.Enum):
    EUR = "€"
    USD = "$"


@dataclass
class Line:
    sku: str
    count: int = 1
    note: str | None = None


@dataclass
class Order:
    region: str
    lines: list[Line] = field(default_factory=list)
    currency: Currency = Currency.EUR


class CardDeclined(ServiceError):
    """Takes what its sentence is made of."""

    def __init__(self, customer: str) -> None:
        super().__init__(f"The card of {customer} was declined.", retryable=True)


class Unnamed(ServiceError):
    """Not named in the contract."""


@service("shop.billing", errors=[CardDeclined])
class Billing(Protocol):
    """Charges customers."""

    @capability("billing.charge:{customer}", says="It may charge {resource}.")
    def charge(self, customer: str, cents: int, *, memo: str = "none") -> str:
        """Returns the receipt."""

    @capability("billing.order:{order.region}")
    @capability("billing.stock:{order.lines[*].sku}")
    def order(self, order: Order) -> Order: ...

    @capability("billing.move:{source}/{target}")
    def move(self, source: str, target: str) -> None: ...

    @guarded("billing.see")
    def visible(self, customers: list[str]) -> list[str]: ...

    @own("prices are public")
    def prices(self, count: int) -> Iterator[Line]: ...

    @capability("billing.load:{lines.sku}")
    def load(self, lines: Iterable[Line]) -> int: ...


@service(Billing)
class AsyncBilling(Protocol):
    """The same with coroutines."""

    async def charge(self, customer: str, cents: int, *, memo: str = "none") -> str: ...

    async def order(self, order: Order) -> Order: ...

    async def move(self, source: str, target: str) -> None: ...

    async def visible(self, customers: list[str]) -> list[str]: ...

    def prices(self, count: int) -> AsyncIterator[Line]: ...

    async def load(self, lines: AsyncIterable[Line]) -> int: ...


@implements(Billing)
class ShopBilling:
    def __init__(self) -> None:
        self.charged: list[tuple[str, str, int, str]] = []
        self.is_open = False

    async def open(self) -> None:
        self.is_open = True

    async def close(self) -> None:
        self.is_open = False

    async def charge(self, caller: Caller, customer: str, cents: int, *, memo: str = "none") -> str:
        if cents < 0:
            raise CardDeclined(customer)
        if cents == 0:
            raise Unnamed("There is nothing to charge.")
        if cents == 13:
            raise KeyError("hunter2")
        self.charged.append((caller.installation, customer, cents, memo))
        return f"r-{len(self.charged)}"

    async def order(self, order: Order) -> Order:
        return order

    async def move(self, source: str, target: str) -> None:
        """Nothing moves."""

    async def visible(self, caller: Caller, customers: list[str]) -> list[str]:
        assert caller.guard is not None
        return [each for each in customers if caller.guard.decide(_see(each)).allowed]

    async def prices(self, count: int) -> AsyncIterator[Line]:
        for number in range(count):
            await asyncio.sleep(0)
            yield Line(f"s-{number}", number)

    async def load(self, lines: AsyncIterator[Line]) -> int:
        return sum([line.count async for line in lines])


def _see(customer: str) -> Capability:
    return need("billing.see", customer)


class FakeBilling:
    """What a plugin's tests provide: the contract itself, with functions."""

    def __init__(self) -> None:
        self.charged: list[tuple[str, str, int, str]] = []

    def charge(self, customer: str, cents: int, *, memo: str = "none") -> str:
        if cents < 0:
            raise CardDeclined(customer)
        if cents == 0:
            raise Unnamed("There is nothing to charge.")
        self.charged.append(("churn", customer, cents, memo))
        return f"r-{len(self.charged)}"

    def order(self, order: Order) -> Order:
        return order

    def move(self, source: str, target: str) -> None:
        """Nothing moves."""

    def visible(self, caller, customers: list[str]) -> list[str]:
        return [each for each in customers if caller.guard.decide(_see(each)).allowed]

    def prices(self, count: int) -> Iterator[Line]:
        for number in range(count):
            yield Line(f"s-{number}", number)

    def load(self, lines: Iterable[Line]) -> int:
        return sum(line.count for line in lines)
