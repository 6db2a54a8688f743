from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from service_worlds import FakeWorld, HostWorld, closing
from typed_shop import Billing, FakeBilling, ShopBilling

from moorage.broker.services.typed import TypedService, served
from moorage_proto.typed import contract_of
from moorage_sdk.testing.services import TypedFake


def _host() -> HostWorld:
    service = served(ShopBilling())
    assert isinstance(service, TypedService)
    world = HostWorld(service)
    world.shop = service._implementation  # type: ignore[attr-defined]
    return world


def _fake() -> FakeWorld:
    contract = contract_of(Billing)
    assert contract is not None
    shop = FakeBilling()
    world = FakeWorld(TypedFake(contract, shop))
    world.shop = shop  # type: ignore[attr-defined]
    return world


WORLDS: dict[str, Callable[[], Any]] = {"host": _host, "fake": _fake}


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Over a real link to the service in the host, and over the testing kit's fake; ``world.shop`` is what answers."""
    with closing(WORLDS[request.param]()) as made:
        yield made


@pytest.fixture
def host_world() -> Iterator[Any]:
    with closing(_host()) as made:
        yield made
