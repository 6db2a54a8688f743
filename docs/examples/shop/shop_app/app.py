"""The shop's own HTTP interface. Whichever plugin is named ``restock`` carries out orders; any may offer discounts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel
from shop_contracts import Basket, Discount

from moorage.app import Host, Settings
from moorage.errors import MoorageError
from shop_app.billing import Ledger
from shop_app.inventory import InventoryService

PRICES_CENTS = {"tea": 450, "cups": 1200}


class Order(BaseModel):
    customer: str
    sku: str
    count: int


class Right(BaseModel):
    capability: str


def create_app(settings: Settings) -> FastAPI:
    ledger = Ledger()
    inventory = InventoryService({"tea": 12, "cups": 2})
    host = Host(settings, services=[ledger, inventory], extension_points=[Discount])
    app = FastAPI(lifespan=host.lifespan)

    @app.post("/orders")
    async def order(wish: Order) -> Any:
        try:
            return await host.call("restock", input=wish.model_dump())
        except MoorageError as error:
            raise HTTPException(409, str(error)) from error

    @app.post("/price")
    async def price(wish: Order) -> dict[str, Any]:
        """What it costs after the best discount; no plugin that is slow or broken keeps a customer waiting."""
        cents = PRICES_CENTS[wish.sku] * wish.count
        basket = Basket(wish.customer, wish.sku, wish.count, cents)
        answers = await host.call_all(Discount.discount, basket, timeout=timedelta(seconds=2))
        discounts = [found for found in answers.values if found is not None]
        return {
            "cents": cents - max(discounts, default=0),
            "missing": [str(failure) for failure in answers.failures],
        }

    @app.get("/charges")
    async def charges() -> list[dict[str, Any]]:
        return [{"by": plugin, "customer": each.customer, "cents": each.cents} for plugin, each in ledger.charged]

    # A real shop has its administrators log in before it lets them grant anything.
    @app.get("/plugins/{name}/rights")
    async def rights(name: str) -> list[dict[str, Any]]:
        view = await host.installation(name)
        return [
            {"capability": each.capability, "meaning": each.meaning, "granted": each.granted} for each in view.grants
        ]

    @app.post("/plugins/{name}/rights")
    async def grant(name: str, right: Right) -> None:
        await host.grant(name, [right.capability], by="the shop")

    @app.delete("/plugins/{name}/rights")
    async def revoke(name: str, right: Right) -> None:
        await host.revoke(name, [right.capability], by="the shop")

    return app
