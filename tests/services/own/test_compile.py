"""Contracts in typed Python: what they compile to, and what is refused, with which sentence."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Dict, List, Literal, Optional, Protocol, Tuple

import pytest
from typed_shop import AsyncBilling, Billing, Line, Order, ShopBilling

from moorage.app import Caller, Host, Settings, implements
from moorage.broker.methods import ServiceUnusable
from moorage.broker.services.typed import served
from moorage_proto import access_pb2
from moorage_proto.annotations import same_type
from moorage_proto.typed import ContractInvalid, capability, contract_of, guarded, own, service
from moorage_proto.typed.contract import compile_contract


def test_it_is_a_proto_service_like_any_other():
    contract = contract_of(Billing)
    charge = contract.methods["charge"].method
    assert charge.path == "/moorage.own.shop.billing.Billing/Charge"
    assert [(field.name, field.number) for field in charge.request.DESCRIPTOR.fields] == [
        ("customer", 1),
        ("cents", 2),
        ("memo", 3),
    ]
    need = access_pb2.Need(verb="billing.charge", resource_paths=["customer"], says="It may charge {resource}.")
    assert charge.access == access_pb2.Access(needs=access_pb2.Needs(all=[need]))
    assert contract.methods["prices"].method.server_streaming
    assert contract.methods["load"].method.client_streaming


def test_both_forms_of_a_contract_are_one_service():
    assert contract_of(AsyncBilling).serialized == contract_of(Billing).serialized


def test_rules_are_in_the_order_of_writing():
    needs = contract_of(Billing).methods["order"].method.access.needs.all
    assert [need.verb for need in needs] == ["billing.order", "billing.stock"]


@service("solo")
class Solo:
    """Contract and service in one, in the host."""

    def __init__(self) -> None:
        self._greeting = "Moin"

    @own("it greets")
    async def greet(self, caller: Caller, name: str) -> str:
        return f"{self._greeting} {name} from {caller.installation}"


@service("solo")
class SoloForPlugins(Protocol):
    @own("it greets")
    def greet(self, name: str) -> str: ...


def test_a_class_may_be_contract_and_service_in_one():
    assert served(Solo()).contract.full_name == "moorage.own.solo.Solo"
    assert contract_of(Solo).methods["greet"].method.request.DESCRIPTOR.fields_by_name.keys() == ["name"]


def test_a_host_takes_it(tmp_path):
    host = Host(Settings.model_validate({"state_dir": tmp_path}), services=[Solo(), ShopBilling()])
    assert [each.contract.name for each in host._services] == ["Solo", "Billing"]


def made(method: Callable[..., Any], name: str = "shop") -> Any:
    """The contract of a class with this method, which is named ``do``."""
    method.__name__ = "do"
    return contract_of(service(name)(type("Shop", (), {"do": method})))


def refused(method: Callable[..., Any]) -> str:
    with pytest.raises(ContractInvalid) as caught:
        made(method)
    return str(caught.value)


def test_a_method_without_a_check_is_refused():
    def do(self, customer: str) -> str: ...

    assert refused(do).startswith(
        "Shop.do: it declares no right, and no method can exist without its check; write "
        '@capability("service.verb:{parameter}") above it, or @own("why it needs none")'
    )
    made(own("it is public")(do))


@dataclass
class Basket:
    region: str
    total: Decimal = Decimal(0)
    skus: tuple[str, ...] = ()


def _plain(self, customer: str, basket: Basket, baskets: list[Basket], region: str = "eu") -> None: ...


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("billing.charge", "names no resource; write service.verb:{parameter}"),
        ("charge:{customer}", "'charge' is not of the form service.verb"),
        ("billing.charge:{costumer}", "there is no 'costumer'; there are: customer, basket, baskets, region"),
        ("billing.charge:{basket.zone}", "there is no 'zone'; there are: region, total, skus"),
        ("billing.charge:{customer.name}", "'customer' has no fields"),
        ("billing.charge:{region}", "'region' may be left out, and the check needs it"),
        ("billing.charge:{basket.total}", "'total' may be left out"),
        ("billing.charge:{basket}", "'basket' cannot name a resource"),
        ("billing.charge:{baskets}", "write {baskets[*]}: 'baskets' is a list"),
        ("billing.charge:{baskets.region}", "write {baskets[*]}: 'baskets' is a list"),
        ("billing.charge:{customer[*]}", "write {customer}: 'customer[*]' is one value"),
        ("billing.charge:eu/{baskets[*].region}", "a list is the whole resource"),
        ("billing.charge:*", "a call needs one resource; * is for what people grant"),
        ("sandbox.subprocess:{customer}", "'sandbox.subprocess:any' is not a capability"),
    ],
)
def test_capabilities_that_say_nothing_certain_are_refused(text, problem):
    assert problem in refused(capability(text)(_plain_copy()))


@pytest.mark.parametrize(
    "text", ["{customer}", "{basket.region}", "{baskets[*].region}", "all", "{customer}/{basket.region}"]
)
def test_others_are_taken(text):
    made(capability(f"billing.charge:{text}")(_plain_copy()))


def _plain_copy() -> Callable[..., Any]:
    def do(self, customer: str, basket: Basket, baskets: list[Basket], region: str = "eu") -> None: ...

    return do


def test_one_check_is_chosen():
    def do(self, customer: str) -> None: ...

    both = own("it is public")(capability("billing.charge:{customer}")(do))
    assert "three ways to declare one check; choose one" in refused(both)


def test_a_reason_is_said():
    def do(self) -> None: ...

    assert "@own says no reason" in refused(own(" ")(do))


def _unannotated(self, customer) -> None: ...


def _no_result(self, customer: str): ...


def _anything(self, customer: Any) -> None: ...


def _union(self, customer: int | str) -> None: ...


def _args(self, *customers: str) -> None: ...


def _object(self, customer: Host) -> None: ...


def _numbers(self, customer: Literal[1, 2]) -> None: ...


def _bare_list(self, customers: list) -> None: ...


def _unknown_name(self, customer: Customer) -> None: ...  # noqa: F821


def _both_streams(self, customers: Iterable[str]) -> Iterator[str]: ...


def _two_beside_a_stream(self, name: str, customers: Iterable[str]) -> None: ...


async def _awaited_stream(self) -> AsyncIterator[str]: ...


def _late_caller(self, name: str, caller: Caller) -> None: ...


def _underscore(self, _name: str) -> None: ...


@pytest.mark.parametrize(
    ("method", "problem"),
    [
        (_unannotated, "parameter 'customer' has no annotation; write its type"),
        (_no_result, "it does not say what it returns; write -> None"),
        (_anything, "Any cannot cross between host and plugin; there are dataclasses"),
        (_union, "is one of several types, and a field has one"),
        (_args, "parameter 'customers' cannot cross; write no *, **"),
        (_object, "Host cannot cross"),
        (_numbers, "Literal[1, 2] cannot cross"),
        (_bare_list, "list does not say what it holds"),
        (_unknown_name, "the annotation 'Customer' of parameter 'customer' cannot be resolved"),
        (_both_streams, "streams what it takes or what it returns, not both"),
        (_two_beside_a_stream, "'customers' streams, so it is the only parameter"),
        (_awaited_stream, "it streams what it returns; write def, or yield in it"),
        (_late_caller, "'caller' is who calls, and comes first"),
        (_underscore, "'_name' cannot be the name of a field"),
    ],
)
def test_what_cannot_cross_is_refused(method, problem):
    assert problem in refused(own("it is public")(method))


@pytest.mark.parametrize("name", ["Billing", "a-b", "", "a..b"])
def test_names_of_services(name):
    with pytest.raises(ContractInvalid, match="cannot be the name of a service"):
        service(name)


@pytest.mark.parametrize("name", ["a__b", "get_2fa", "open", "Charge"])
def test_names_of_methods(name):
    def do(self) -> None: ...

    do.__name__ = name
    with pytest.raises(ContractInvalid, match="this name cannot cross"):
        contract_of(service("shop")(type("Shop", (), {name: own("it is public")(do)})))


def test_an_empty_contract_is_refused():
    with pytest.raises(ContractInvalid, match="it has no methods"):
        contract_of(service("shop")(type("Shop", (), {})))


class NotTheSame(Protocol):
    async def charge(self, customer: str, cents: str, *, memo: str = "none") -> str: ...

    async def order(self, order: Order) -> Order: ...

    async def move(self, source: str, target: str) -> None: ...

    async def visible(self, customers: list[str]) -> list[str]: ...

    def prices(self, count: int) -> AsyncIterator[Line]: ...

    async def load(self, lines: AsyncIterator[Line]) -> int: ...


class Fewer(Protocol):
    async def charge(self, customer: str, cents: int, *, memo: str = "none") -> str: ...


def test_the_other_form_has_to_agree():
    with pytest.raises(ContractInvalid, match=r"NotTheSame\.charge: it differs from Billing\.charge"):
        contract_of(service(Billing)(NotTheSame))
    with pytest.raises(ContractInvalid, match="only one of them has load, move, order, prices, visible"):
        contract_of(service(Billing)(Fewer))
    with pytest.raises(ContractInvalid, match="it is no contract"):
        service(Line)


@service("one")
class One(Protocol):
    @capability("one.do:{name}")
    def do(self, name: str, count: int = 1) -> str: ...


@implements(One)
class Good:
    async def do(self, caller: Caller, name: str, count: int = 1) -> str: ...


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (list[str], List[str], True),
        (Optional[int], int | None, True),
        (dict[str, list[int]], Dict[str, List[int]], True),
        (tuple[int, ...], Tuple[int, ...], True),
        (None, type(None), True),
        (list[str], List[int], False),
        (list[str], Sequence[str], False),
        (Optional[int], int, False),
        (Literal["a"], Literal["b"], False),
        (list[str], str, False),
    ],
)
def test_a_type_is_the_same_however_it_is_written(one, other, alike):
    assert same_type(one, other) is alike


@implements(One)
class Missing:
    pass


@implements(One)
class Blocking:
    def do(self, name: str, count: int = 1) -> str: ...


@implements(One)
class Others:
    async def do(self, name: str, number: int = 1) -> str: ...


@implements(One)
class OtherType:
    async def do(self, name: str, count: str = "1") -> str: ...


@implements(One)
class OtherResult:
    async def do(self, name: str, count: int = 1) -> int: ...


def test_what_serves_a_contract():
    served(Good())


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (Missing(), "the contract has 'do', and this class has not; write it"),
        (Blocking(), "it has to be async def: it runs in the host's event loop; what blocks goes to asyncio.to_thread"),
        (Others(), "it takes name, number, and the contract name, count"),
        (OtherType(), "parameter 'count' has another type than in the contract"),
        (OtherResult(), "it returns another type than in the contract"),
        (Good, "it is a class; hand the host an object of it: Good()"),
        (object(), "it is no service; write @service or @implements above its class"),
    ],
)
def test_what_does_not_serve_it_stops_the_host(given, problem, tmp_path):
    with pytest.raises(ServiceUnusable) as caught:
        Host(Settings.model_validate({"state_dir": tmp_path}), services=[given])
    assert problem in str(caught.value)
    assert "cannot be served" in str(caught.value)


def test_a_contract_without_a_check_stops_the_host(tmp_path):
    @service("open_door")
    class OpenDoor:
        async def enter(self, name: str) -> None: ...

    with pytest.raises(ServiceUnusable, match=r"OpenDoor\.enter cannot be served: it declares no right"):
        Host(Settings.model_validate({"state_dir": tmp_path}), services=[OpenDoor()])


def test_guarded_verbs_say_what_they_mean():
    def do(self) -> None: ...

    late = made(guarded("shop.see", says="It may see customers.")(do)).methods["do"].method.access.late
    assert (list(late.verbs), list(late.says)) == (["shop.see"], ["It may see customers."])


def test_a_contract_that_the_host_calls_has_no_rules():
    """What extension points are compiled by: the same, without access rules."""
    contract = compile_contract(One, "one", None)
    assert contract.methods["do"].method.access is None
    assert [field.name for field in contract.methods["do"].method.request.DESCRIPTOR.fields] == ["name", "count"]


@dataclass
class Stock:
    """As the service over it may be named, too."""

    count: int


def test_a_record_may_have_the_name_of_its_service():
    @service("stock")
    class Stocks(Protocol):
        @own("it shows")
        def show(self, stock: Stock) -> Stock: ...

    made = contract_of(Stocks).methods["show"]
    assert made.result(made.reply(Stock(7))) == Stock(7)
