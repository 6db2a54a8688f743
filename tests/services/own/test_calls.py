"""Calls of an application's typed service: over a real link to the host, and to the testing kit's fake."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, List

import pytest
from service_worlds import in_scope
from typed_shop import AsyncBilling, Billing, CardDeclined, Currency, Line, Order, Unnamed

from moorage.broker.services.typed import SMALL_BYTES, served
from moorage_proto.errors import CallError, Reason, ServiceError
from moorage_proto.typed import ValueUnfit, contract_of, own, service
from moorage_sdk.errors import CapabilityMissing, MoorageError, ServiceRefused
from moorage_sdk.services.typed import client_class

ALL = (
    "billing.charge:c-*", "billing.order:eu", "billing.stock:**", "billing.move:eu/**", "billing.see:c-1",
    "billing.load:*",
)  # fmt: skip


def billing(worker) -> Billing:
    return client_class(contract_of(Billing))(worker.channel)


def async_billing(worker) -> AsyncBilling:
    return client_class(contract_of(AsyncBilling))(worker.channel)


@pytest.fixture
def worker(world):
    with in_scope():
        yield world.worker(*ALL)


def test_a_call_with_the_grant_arrives(world, worker):
    assert billing(worker).charge("c-1", 500, memo="coffee") == "r-1"
    assert billing(worker).charge(cents=1, customer="c-2") == "r-2"
    assert world.shop.charged == [("churn", "c-1", 500, "coffee"), ("churn", "c-2", 1, "none")]


async def test_a_coroutine_calls_as_well(world, worker):
    assert await async_billing(worker).charge("c-1", 500) == "r-1"
    assert [line.sku async for line in async_billing(worker).prices(2)] == ["s-0", "s-1"]

    async def lines():
        yield Line("a", 2)
        yield Line("b", 3)

    assert await async_billing(worker).load(lines()) == 5


def test_without_the_grant_it_is_refused(world, worker):
    with pytest.raises(CapabilityMissing, match=r"lacks the capability billing\.charge:x") as caught:
        billing(worker).charge("x", 500)
    assert caught.value.capability == "billing.charge:x"
    assert "moorage grant churn 'billing.charge:x'" in caught.value.remedy
    assert world.shop.charged == []


def test_records_cross(worker):
    order = Order("eu", [Line("a", 2, "blue"), Line("b")], Currency.USD)
    assert billing(worker).order(order) == order


@pytest.mark.parametrize(
    ("grants", "missing"),
    [
        (("billing.order:eu", "billing.stock:*"), ""),
        (("billing.stock:*",), "billing.order:eu"),
        (("billing.order:eu", "billing.stock:a"), "billing.stock:b"),
    ],
)
def test_each_right_and_each_item_is_needed(world, grants, missing):
    order = Order("eu", [Line("a"), Line("b")])
    with in_scope():
        client = billing(world.worker(*grants))
        if not missing:
            assert client.order(order) == order
            return
        with pytest.raises(CapabilityMissing) as caught:
            client.order(order)
        assert caught.value.capability == missing


def test_a_resource_of_two_parameters(worker):
    billing(worker).move("eu", "us")
    with pytest.raises(CapabilityMissing):
        billing(worker).move("us", "eu")
    with pytest.raises(MoorageError, match="source must not hold /, which stands between") as caught:
        billing(worker).move("eu/de", "us")
    assert caught.value.reason == Reason.REQUEST_INVALID


def test_a_method_that_decides_while_it_works(worker):
    assert billing(worker).visible(["c-1", "c-2"]) == ["c-1"]


def test_replies_stream(worker):
    assert [line.count for line in billing(worker).prices(3)] == [0, 1, 2]


def test_a_stream_may_be_closed(worker):
    items = billing(worker).prices(10**9)
    assert next(items).sku == "s-0"
    items.close()


def test_requests_stream_and_each_is_checked(worker):
    assert billing(worker).load(Line(sku, 2) for sku in "ab") == 4
    with pytest.raises(CapabilityMissing, match=r"billing\.load:a/b"):
        billing(worker).load([Line("a"), Line("a/b")])


def test_errors_that_the_contract_names_arrive_as_their_class(worker):
    with pytest.raises(CardDeclined, match=r"The card of c-1 was declined\.") as caught:
        billing(worker).charge("c-1", -1)
    assert isinstance(caught.value, MoorageError)
    assert caught.value.retryable
    assert (caught.value.kind, caught.value.reason) == ("CardDeclined", Reason.SERVICE_REFUSED)


async def test_in_coroutines_too(worker):
    with pytest.raises(CardDeclined):
        await async_billing(worker).charge("c-1", -1)


def test_others_arrive_with_their_kind(worker):
    with pytest.raises(ServiceRefused, match="nothing to charge") as caught:
        billing(worker).charge("c-1", 0)
    assert caught.value.kind == "Unnamed"
    assert isinstance(caught.value, ServiceError)
    assert not isinstance(caught.value, Unnamed)


def test_anything_else_says_nothing_of_the_cause(host_world):
    with in_scope(), pytest.raises(MoorageError, match="finds the cause in the host's log under") as caught:
        billing(host_world.worker(*ALL)).charge("c-1", 13)
    assert caught.value.reason == Reason.INTERNAL
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("c-1", "5"), "cents: an integer was wanted, an object of type str was found"),
        (("c-1", True), "cents: an integer was wanted, an object of type bool was found"),
        (("c-1", None), "cents: an integer was wanted, nothing was found"),
        (("c-1", 2**63), "cents: the integer is not between"),
        ((5, 5), "customer: text was wanted"),
    ],
)
def test_what_does_not_fit_is_refused_before_it_is_sent(worker, arguments, problem):
    with pytest.raises(ValueUnfit, match=problem):
        billing(worker).charge(*arguments)


def test_wrong_arguments_are_a_type_error_as_with_any_function(worker):
    with pytest.raises(TypeError, match=r"charge\(\) cannot be called like this: missing a required argument: 'cents'"):
        billing(worker).charge("c-1")


def test_the_host_checks_by_itself_what_arrives(world, worker):
    """A worker need not use the SDK's client."""
    method = contract_of(Billing).methods["charge"].method
    with pytest.raises(MoorageError, match="cents: it is missing") as caught:
        worker.channel.call(method, method.request(customer="c-1"))
    assert caught.value.reason == Reason.REQUEST_INVALID
    order = contract_of(Billing).methods["order"].method
    request = order.request()
    request.order.region = "eu"
    request.order.currency = "GBP"
    request.order.lines.add(sku="a")
    with pytest.raises(MoorageError, match=r"order\.currency: one of EUR, USD was wanted"):
        worker.channel.call(order, request)


def test_the_host_opens_and_closes_what_serves(host_world):
    assert host_world.shop.is_open
    host_world.do(host_world.broker.close())
    assert not host_world.shop.is_open


def test_the_audit_names_the_right(host_world):
    with in_scope():
        billing(host_world.worker(*ALL)).charge("c-1", 1)
    assert ("Charge", "billing.charge:c-1") in host_world.audit.passed


def test_what_verbs_mean_is_known(host_world):
    assert host_world.broker.words == {"billing.charge": "It may charge {resource}."}
    assert {"billing.charge", "billing.see", "billing.load"} <= host_world.broker.verbs


@dataclass
class Costly:
    text: str

    def __post_init__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            assert MAY_GO_ON.wait(20)


MAY_GO_ON = threading.Event()


async def test_a_large_message_is_read_beside_the_event_loop():
    """Which goes on meanwhile, with small messages of the same caller."""

    @service("costly")
    class Counting:
        @own("it counts")
        async def count(self, items: List[Costly]) -> int:
            return len(items)

    served_here = served(Counting())
    caller: Any = SimpleNamespace(installation="churn")
    written = contract_of(Counting).methods["count"]
    large, small = ([Costly("x" * size)] for size in (SMALL_BYTES, 10))
    waiting = asyncio.create_task(served_here.count(caller, written.request({"items": large})))
    async with asyncio.timeout(20):
        assert written.result(await served_here.count(caller, written.request({"items": small}))) == 1
        assert not waiting.done()
        MAY_GO_ON.set()
        assert written.result(await waiting) == 1
        with pytest.raises(CallError, match="it is missing"):
            await served_here.count(caller, written.method.request.FromString(b"\x0a\x00"))
    await served_here.close()
