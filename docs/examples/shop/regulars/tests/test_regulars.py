from datetime import datetime, timezone

from shop_contracts import AsyncBilling, Basket, Charge, Discount

from moorage_sdk import CapabilityMissing


class FakeBilling:
    def charge(self, customer, cents, note=None):
        raise AssertionError("a discount charges nobody")

    def charges(self, customer):
        if customer == "ada":
            yield Charge("r-1", "ada", 450, datetime.now(timezone.utc))


BASKET = Basket("ada", "tea", 2, cents=900)


def test_regulars_pay_less(moorage):
    moorage.services.provide(AsyncBilling, FakeBilling())
    assert moorage.call(Discount.discount, BASKET).result == 90
    assert moorage.call(Discount.discount, Basket("grace", "tea", 2, cents=900)).result is None


def test_it_takes_both_rights(moorage):
    moorage.services.provide(AsyncBilling, FakeBilling())
    moorage.deny("billing.read:*")
    assert isinstance(moorage.call(Discount.discount, BASKET).error, CapabilityMissing)
    moorage.deny("extensions.implement:shop.discount")
    assert "extensions.implement:shop.discount" in str(moorage.call(Discount.discount, BASKET).error)
