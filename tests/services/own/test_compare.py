"""Two versions of a contract: which fit each other, and the sentence for those that do not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, Optional

import pytest
from typed_shop import Billing, ShopBilling

from moorage.broker.methods import ServiceUnusable
from moorage.broker.services.typed import pack_contracts, served
from moorage_proto.typed import contract_of, offer, own, service
from moorage_proto.typed.compare import difference


def made(*methods: Any) -> Any:
    return contract_of(
        service("versions")(type("Versions", (), {each.__name__: own("a test's")(each) for each in methods}))
    ).file


@dataclass
class Order:
    sku: str
    parts: list[Order] = field(default_factory=list)


@dataclass
class OrderWithNote:
    sku: str
    parts: list[OrderWithNote] = field(default_factory=list)
    note: str = ""


@dataclass
class OrderWithDuty:
    sku: str
    parts: list[OrderWithDuty]
    duty: int


def old() -> Any:
    def charge(self, customer: str, cents: int) -> Order: ...

    return made(charge)


def method(**annotations: Any) -> Any:
    """``charge`` with other parameters, in their order; ``result`` is what it returns."""
    result = annotations.pop("result", Order)

    names = ", ".join(each if each != "memo" else 'memo="none"' for each in annotations)
    scope: dict[str, Any] = {}
    exec(f"def charge(self, {names}): ...", scope)
    charge = scope["charge"]
    charge.__annotations__ = {**annotations, "return": result}
    return made(charge)


def test_the_same_fits():
    assert difference(old(), old()) == ""


def test_a_newer_server_fits():
    def charge(self, customer: str, cents: int, memo: str = "none") -> OrderWithNote: ...

    def refund(self, customer: str) -> None: ...

    assert difference(old(), made(charge, refund)) == ""


def test_choices_may_grow_at_the_server():
    few, more = method(level=Literal["low"]), method(level=Literal["low", "high"])
    assert difference(few, more) == ""
    assert "'level' may be high, which the receiver does not know" in difference(more, few)


@pytest.mark.parametrize(
    ("caller", "problem"),
    [
        (
            {"customer": str, "cents": int, "memo": str},
            "charge: the receiver has no 'memo': the caller was written for a newer",
        ),
        ({"cents": int, "customer": str}, "charge: number 1 is 'cents' for the sender and 'customer' for the receiver"),
        ({"customer": str, "cents": str}, "charge: 'cents' has another type for the sender than for the receiver"),
        ({"customer": str}, "charge: 'cents' is missing, and has no default"),
        (
            {"customer": str, "cents": Optional[int]},
            "charge: 'cents' may be None for the sender, and not for the receiver",
        ),
        ({"customer": str, "cents": list[int]}, "charge: 'cents' has another type"),
        (
            {"customer": str, "cents": int, "result": OrderWithDuty},
            "charge: result: 'duty' is missing, and has no default",
        ),
        (
            {"customer": str, "cents": int, "result": Iterator[Order]},
            "charge streams on one side, and not on the other",
        ),
    ],
)
def test_what_would_be_lost_or_taken_for_something_else_is_told(caller, problem):
    assert problem in difference(method(**caller), old())


def test_a_method_that_is_not_there():
    def refund(self, customer: str) -> None: ...

    assert difference(made(refund), old()).startswith("there is no method 'refund': the caller was written for a newer")


def test_fields_of_what_is_sent_must_be_known():
    sender, receiver = method(order=OrderWithNote), method(order=Order)
    assert "order: the receiver has no 'note'" in difference(sender, receiver)
    assert difference(receiver, sender) == ""


def test_what_a_host_offers_is_enough_to_compare():
    file = contract_of(Billing).file
    offered = offer.unpack(offer.pack([file, old()]))
    assert set(offered) == {"moorage.own.shop.billing", "moorage.own.versions"}
    assert difference(file, offered["moorage.own.shop.billing"]) == ""
    assert b"billing.charge" not in offered["moorage.own.shop.billing"].SerializeToString()
    assert file.service[0].method[0].options.ByteSize() > 0
    assert offer.unpack(offer.pack([])) == {}


def test_more_than_the_handshake_has_room_for_stops_the_host(monkeypatch):
    monkeypatch.setattr(offer, "MAX_BYTES", 100)
    with pytest.raises(
        ServiceUnusable, match=r"shop\.billing cannot be served: together they take [\d,]+ bytes of the hand"
    ):
        pack_contracts([served(ShopBilling())])
