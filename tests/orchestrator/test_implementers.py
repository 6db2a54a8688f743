"""Who may be called at an extension point, as the store and the workers tell."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from moorage.events.bus import EventBus
from moorage.events.events import GrantsChanged, Loaded, Removed
from moorage.models.contributions import Contributions
from moorage.models.extensions import Extension
from moorage.orchestrator.implementers import Implementers
from moorage_proto.capability import Grants, parse
from moorage_proto.learning import Learnt

RIGHT = Grants((parse("extensions.implement:shop.*"),))
DISCOUNT = Extension("shop.discount", 1, ("discount",), None)


class Store:
    def __init__(self) -> None:
        self.reads = 0
        self.names = ["churn", "other"]
        self.granted = {"churn": RIGHT}
        self.code_hash = "x"
        self.installations = self.grants = self

    async def list(self) -> list[Any]:
        self.reads += 1
        return [SimpleNamespace(id=name, code_hash=self.code_hash) for name in self.names]

    async def effective(self, name: str) -> Grants:
        return self.granted.get(name, Grants())


class Workers(dict[str, Contributions]):
    """Contributions of the ready ones."""


def made(store: Store, workers: Workers, learnt: Learnt | None = None) -> tuple[Implementers, EventBus]:
    bus = EventBus()
    return Implementers(store, bus, workers.get, learnt), bus  # type: ignore[arg-type]  # what it needs of a store


def loaded(name: str) -> Loaded:
    return Loaded(name, SimpleNamespace())  # type: ignore[arg-type]  # nobody looks into it


async def test_who_has_the_right_may_be_called_until_it_is_known_to_implement_nothing() -> None:
    store, workers = Store(), Workers()
    implementers, bus = made(store, workers)
    assert await implementers.of("shop.discount") == ["churn"]
    workers["churn"] = Contributions(extensions=(DISCOUNT,))
    bus.announce(loaded("churn"))
    assert await implementers.of("shop.discount") == ["churn"]
    assert await implementers.of("shop.other") == []
    # It has stopped: what it implements is still known.
    del workers["churn"]
    assert await implementers.of("shop.discount") == ["churn"]
    assert await implementers.of("shop.other") == []
    assert store.reads == 1


async def test_other_code_may_implement_something_else() -> None:
    store, workers = Store(), Workers(churn=Contributions())
    implementers, bus = made(store, workers)
    assert await implementers.of("shop.discount") == []
    workers.clear()
    bus.announce(GrantsChanged("churn", 1, "dana"))
    assert await implementers.of("shop.discount") == []
    store.code_hash = "y"
    bus.announce(GrantsChanged("churn", 2, "dana"))
    assert await implementers.of("shop.discount") == ["churn"]


async def test_rights_and_removals_count_with_the_next_call() -> None:
    store = Store()
    implementers, bus = made(store, Workers())
    assert await implementers.of("shop.discount") == ["churn"]
    store.granted = {"other": RIGHT}
    bus.announce(GrantsChanged("churn", 1, "dana"))
    assert await implementers.of("shop.discount") == ["other"]
    store.names = ["churn"]
    bus.announce(Removed("other", "dana"))
    assert await implementers.of("shop.discount") == []
    assert [each.installation.id for each in await implementers.all()] == ["churn"]


async def test_while_learning_everybody_may_and_it_is_noted() -> None:
    store, learnt = Store(), Learnt()
    implementers, _ = made(store, Workers(other=Contributions(extensions=(DISCOUNT,)), churn=Contributions()), learnt)
    assert await implementers.of("shop.discount") == ["other"]
    assert [str(need) for need in learnt.needs] == ["extensions.implement:shop.discount"]
    assert await implementers.of("shop.other") == []
    assert len(learnt.needs) == 1
