from datetime import datetime, timezone

import pytest
from restock import Done, execute, spent
from shop_contracts import Billing, CardDeclined, Charge, inventory_pb2

from moorage_sdk import CapabilityMissing


class FakeBilling:
    def __init__(self):
        self.charged = []
        self.declines = False

    def charge(self, customer, cents, note=None):
        if self.declines:
            raise CardDeclined(customer)
        self.charged.append(Charge("r-1", customer, cents, datetime.now(timezone.utc), note))
        return self.charged[-1]

    def charges(self, customer):
        return iter(self.charged)


class FakeInventory:
    """The fake of a service with a proto of its own: requests and replies are the contract's messages."""

    name = "inventory"
    contract = inventory_pb2.DESCRIPTOR.services_by_name["InventoryService"]

    def __init__(self):
        self.stock = {"tea": 5}

    def level(self, caller, request):
        return inventory_pb2.LevelReply(count=self.stock.get(request.sku, 0))

    def reserve(self, caller, request):
        for line in request.lines:
            self.stock[line.sku] -= line.count
        return inventory_pb2.ReserveReply(reservation="v-1")

    def describe(self, welcome):
        pass

    def close(self):
        pass


@pytest.fixture
def billing(moorage):
    moorage.services.add(FakeInventory())
    return moorage.services.provide(Billing, FakeBilling())


ORDER = {"customer": "ada", "sku": "tea", "count": 2}


def test_charges_and_puts_aside(moorage, billing):
    assert moorage.run(execute, ORDER).result == Done("v-1", "r-1", left=3)
    assert billing.charged[0].cents == 900
    assert moorage.inventory.stock == {"tea": 3}


def test_leaves_the_goods_where_the_card_is_declined(moorage, billing):
    billing.declines = True
    assert moorage.run(execute, ORDER).result is None
    assert moorage.inventory.stock == {"tea": 5}


def test_charges_nobody_without_the_right(moorage, billing):
    moorage.deny("billing.charge:*")
    assert isinstance(moorage.run(execute, ORDER).error, CapabilityMissing)
    assert billing.charged == []


def test_adds_up(moorage, billing):
    moorage.run(execute, ORDER)
    assert moorage.run(spent, {"name": "ada"}).result == 900
