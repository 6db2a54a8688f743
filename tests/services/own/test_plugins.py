"""How plugins get an application's services: by the contract's class, in the testing kit and as a host offers them."""

from __future__ import annotations

from typing import Optional, Protocol
from unittest import mock

import pytest
from typed_shop import AsyncBilling, Billing, CardDeclined, FakeBilling, Line

from moorage_proto import capability as capabilities
from moorage_proto.typed import ContractInvalid, capability, own, service
from moorage_sdk import Plugin, PluginInvalid
from moorage_sdk.errors import CapabilityMissing
from moorage_sdk.testing import Moorage, TestedManifest

plugin = Plugin()


@plugin.task
def charge(billing: Billing) -> str:
    return billing.charge("c-1", 500)


@plugin.task
async def charge_async(billing: AsyncBilling) -> str:
    try:
        return await billing.charge("c-1", -1)
    except CardDeclined as declined:
        return str(declined)


@plugin.task
def elsewhere(billing: Billing) -> str:
    return billing.charge("x", 500)


@plugin.task
def loads(billing: Billing) -> int:
    return billing.load([Line("a", 2), Line("b")]) + sum(line.count for line in billing.prices(3))


@plugin.task
async def loads_async(billing: AsyncBilling) -> int:
    async def lines():
        yield Line("a", 2)

    return await billing.load(lines()) + sum([line.count async for line in billing.prices(3)])


optional = Plugin()


@optional.task
def maybe(billing: Optional[Billing] = None) -> bool:
    return billing is not None


def kit_with(*rights: str) -> Moorage:
    return Moorage(TestedManifest("churn", capabilities=tuple(map(capabilities.parse, rights))))


@pytest.fixture
def kit():
    moorage = kit_with("billing.charge:c-1", "billing.load:*")
    yield moorage
    moorage.close()


def test_a_task_is_given_a_client(kit):
    fake = kit.services.provide(Billing, FakeBilling())
    assert kit.run(charge).result == "r-1"
    assert fake.charged == [("churn", "c-1", 500, "none")]


def test_a_coroutine_is_given_the_other_form(kit):
    kit.services.provide(Billing, FakeBilling())
    assert kit.run(charge_async).result == "The card of c-1 was declined."
    assert kit.run(loads_async).result == 5


def test_streams(kit):
    kit.services.provide(Billing, FakeBilling())
    assert kit.run(loads).result == 6


def test_a_call_without_the_right_is_refused(kit):
    fake = kit.services.provide(Billing, FakeBilling())
    error = kit.run(elsewhere).error
    assert isinstance(error, CapabilityMissing)
    assert error.remedy == "moorage grant churn 'billing.charge:x'"
    assert fake.charged == []
    assert len(kit.denials) == 1


def test_a_mock_will_do(kit):
    made = kit.services.provide(Billing, mock.create_autospec(Billing, instance=True))
    made.charge.return_value = "r-9"
    assert kit.run(charge).result == "r-9"
    made.charge.assert_called_once_with(customer="c-1", cents=500, memo="none")


def test_a_mock_returns_what_the_contract_says(kit):
    made = kit.services.provide(Billing, mock.create_autospec(Billing, instance=True))
    made.charge.return_value = 9
    assert "result: text was wanted" in str(kit.run(charge).error)


class AsyncFake:
    async def charge(self, customer: str, cents: int, *, memo: str = "none") -> str:
        return "async"

    def __getattr__(self, name: str):
        return self.charge


def test_a_fake_may_have_coroutines(kit):
    kit.services.provide(AsyncBilling, AsyncFake())
    assert kit.run(charge).result == "async"


def test_a_fake_that_lacks_a_method_is_refused(kit):
    with pytest.raises(ContractInvalid, match="Billing has 'charge', and this object has not"):
        kit.services.provide(Billing, object())


def test_what_nobody_provides_keeps_the_plugin_from_loading(kit):
    error = kit.run(charge).error
    assert isinstance(error, PluginInvalid)
    assert "typed_shop.Billing: the host has no service 'shop.billing'" in str(error)
    assert "moorage.services.provide(Billing, ...)" in str(error)


@pytest.mark.parametrize("granted", [True, False])
def test_what_is_optional_is_none_where_it_is_not_granted(granted):
    kit = kit_with(*(["billing.charge:c-1"] if granted else []))
    assert kit.run(maybe).result is False
    kit.services.provide(Rights, FakeRights())
    assert kit.run(maybe_rights).result is granted


@service("rights")
class Rights(Protocol):
    @capability("billing.charge:{customer}")
    def use(self, customer: str) -> None: ...


class FakeRights:
    def use(self, customer: str) -> None: ...


@optional.task
def maybe_rights(rights: Optional[Rights] = None) -> bool:
    return rights is not None


@service("shop.billing")
class NewerBilling(Protocol):
    @own("a later version")
    def charge(self, customer: str, cents: int, *, memo: str = "none", discount: int = 0) -> str: ...


newer = Plugin()


@newer.task
def discounted(billing: NewerBilling) -> str:
    return billing.charge("c-1", 500, discount=5)


def test_a_plugin_for_a_newer_contract_is_told_so(kit):
    kit.services.provide(Billing, FakeBilling())
    error = kit.run(discounted).error
    assert isinstance(error, PluginInvalid)
    assert "is not the service 'shop.billing' of this host: charge: the receiver has no 'discount'" in str(error)
    assert "install the version of tests that the application uses, or upgrade the application" in str(error)


unchecked = Plugin()


@service("unchecked")
class Unchecked(Protocol):
    def do(self) -> None: ...


@unchecked.task
def undeclared(service: Unchecked) -> None: ...


def test_a_contract_without_a_check_keeps_the_plugin_from_loading(kit):
    assert "no method can exist without its check" in str(kit.run(undeclared).error)
