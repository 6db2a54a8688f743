"""Which triggers count, and which sources are listened to."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fake_clock import FakeClock

from moorage.events.bus import EventBus
from moorage.events.events import DesiredChanged, GrantsChanged, Installed, Removed
from moorage.models.installation import DesiredState, Installation
from moorage.models.manifest import Trigger
from moorage.models.policy import Origin
from moorage.models.selection import Selector
from moorage.models.switch import SwitchState
from moorage.models.trigger import Declaration, TriggerState
from moorage.orchestrator.triggers.base import Door, SourceFailed
from moorage.orchestrator.triggers.registry import Declared, Registry, RegistryParts, SourceKind
from moorage.store.store import Store

from .conftest import DEADLINE_SECONDS, Runs, advanced, door_parts, installation

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
KAFKA = Trigger("kafka", "orders", name="orders")
OPEN = Trigger("startup", "", name="autorun")


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("registry") / "moorage.db"

    async def make() -> None:
        async with Store(path):
            pass

    asyncio.run(make())
    return path


@pytest.fixture
async def store(tmp_path: Path, empty_store: Path) -> AsyncIterator[Store]:
    async with Store(shutil.copy(empty_store, tmp_path / "moorage.db")) as opened:
        yield opened


@dataclass
class Sources:
    """What is listened to: by trigger, what it listens to."""

    live: dict[str, str] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    failure: Exception | None = None

    def make(self, state: TriggerState, of: Installation | None) -> _Source:
        return _Source(self, state)


@dataclass
class _Source:
    sources: Sources
    state: TriggerState

    async def run(self, door: Door) -> None:
        if self.sources.failure is not None:
            raise self.sources.failure
        self.sources.log.append(f"+{self.state.id}")
        self.sources.live[self.state.id] = self.state.trigger.source
        try:
            await asyncio.Event().wait()
        finally:
            self.sources.log.append(f"-{self.state.id}")
            del self.sources.live[self.state.id]


class Schedules:
    looks = 0
    runs = False

    async def start(self) -> None:
        self.runs = True

    async def stop(self) -> None:
        self.runs = False

    def look(self) -> None:
        self.looks += 1


@dataclass
class World:
    store: Store
    events: EventBus
    clock: FakeClock
    sources: Sources
    registry: Registry
    schedules: Schedules

    async def installed(self, found: Installation, *grants: str) -> None:
        if await self.store.installations.find(found.id) is None:
            await self.store.installations.add(found)
        else:
            await self.store.installations.replace(found)
        if grants:
            await self.store.grants.grant(found.id, grants, by="dana")
        self.events.announce(Installed(found.id, found))
        await self.caught_up()

    async def desired(self, name: str, after: DesiredState) -> None:
        await self.store.installations.set_desired(name, after)
        self.events.announce(DesiredChanged(name, DesiredState(), after, "", ""))
        await self.caught_up()

    async def caught_up(self) -> None:
        """After what was announced: the registry has its turn, and this one comes after it."""
        for _ in range(3):
            await asyncio.sleep(0)
            await self.registry.refresh([])
        for _ in range(3):
            await asyncio.sleep(0)

    async def conditions(self) -> dict[str, str]:
        return {view.state.id: view.condition for view in await self.registry.views()}


def _world(store: Store, clock: FakeClock, runs: Runs, declared: Declared | None = None) -> World:
    sources, events = Sources(), EventBus()

    async def select(selector: Selector) -> tuple[Installation, ...]:
        return tuple(each for each in await store.installations.list() if set(selector.tags) <= each.manifest.tags)

    class Claims:
        async def claim(self, trigger: str) -> bool:
            return await store.triggers.claim(trigger, "here")

        async def release(self, trigger: str) -> None:
            await store.triggers.release("here", trigger)

    kinds = {
        "kafka": SourceKind(sources.make),
        "startup": SourceKind(sources.make),
        "redis": SourceKind(sources.make, lambda trigger: trigger.options.get("mode") != "stream"),
    }
    parts = RegistryParts(store, events, clock, declared or Declared(), kinds, select, Claims())
    registry = Registry(parts, lambda _: door_parts(runs))
    return World(store, events, clock, sources, registry, Schedules())


@pytest.fixture
async def world(store: Store, clock: FakeClock, runs: Runs) -> AsyncIterator[World]:
    made = _world(store, clock, runs)
    await made.registry.open()
    await made.registry.start(made.schedules)
    async with asyncio.timeout(DEADLINE_SECONDS):
        yield made
        await made.registry.close()


async def test_nothing_works_before_it_is_started_nor_after_it_is_stopped(
    store: Store, clock: FakeClock, runs: Runs
) -> None:
    world = _world(store, clock, runs)
    await store.installations.add(installation("churn", OPEN))
    await world.registry.open()
    assert await world.conditions() == {"churn/autorun": "active"}
    assert world.sources.live == {}
    await world.registry.start(world.schedules)
    await world.caught_up()
    assert world.sources.live == {"churn/autorun": ""}
    assert world.schedules.runs
    await world.registry.stop()
    await world.installed(installation("other", OPEN))
    assert world.sources.live == {}
    assert not world.schedules.runs
    await world.registry.close()


async def test_a_right_is_needed_for_what_the_manifest_declares(world: World) -> None:
    await world.installed(installation("churn", KAFKA, requests=["kafka.consume:orders"]))
    (view,) = await world.registry.views()
    assert (view.condition, view.reason) == (
        "not granted",
        "It needs kafka.consume:orders. moorage grant churn 'kafka.consume:orders'",
    )
    assert world.sources.live == {}
    await world.store.grants.grant("churn", ["kafka.consume:orders"], by="dana")
    world.events.announce(GrantsChanged("churn", 2, "dana"))
    await world.caught_up()
    assert world.sources.live == {"churn/orders": "orders"}
    await world.store.grants.revoke("churn", ["kafka.consume:orders"])
    world.events.announce(GrantsChanged("churn", 3, "dana"))
    await world.caught_up()
    assert world.sources.live == {}


async def test_one_that_the_manifest_asks_no_right_for_says_so(world: World) -> None:
    await world.installed(installation("churn", KAFKA))
    (view,) = await world.registry.views()
    assert view.reason.startswith("Its manifest does not ask for kafka.consume:orders, so that nobody can grant it.")


async def test_what_an_operator_declares_needs_no_right(store: Store, clock: FakeClock, runs: Runs) -> None:
    declared = Declared(
        {"churn": {"orders": {"kind": "kafka", "source": "plays"}, "more": {"kind": "kafka", "source": "m"}}}
    )
    world = _world(store, clock, runs, declared)
    await world.registry.open()
    await world.registry.start(world.schedules)
    await world.installed(installation("churn", KAFKA))
    assert world.sources.live == {"churn/orders": "plays", "churn/more": "m"}
    await store.triggers.add(
        Declaration("churn/own", Trigger("kafka", "own", name="own"), Origin.PERSON, "churn", "dana"), at=NOW
    )
    await world.registry.refresh(["churn"])
    await world.caught_up()
    assert sorted(world.sources.live) == ["churn/more", "churn/orders", "churn/own"]
    await world.registry.close()


@pytest.mark.parametrize(
    "desired",
    [DesiredState(enabled=False), DesiredState(held_reason="INC-1"), DesiredState(quarantined="It crashed.")],
    ids=["disabled", "held", "quarantined"],
)
async def test_what_may_not_run_is_not_listened_to(world: World, desired: DesiredState) -> None:
    await world.installed(installation("churn", OPEN))
    assert world.sources.live
    await world.desired("churn", desired)
    assert world.sources.live == {}
    (view,) = await world.registry.views()
    assert view.condition == "idle"
    assert view.reason
    await world.desired("churn", DesiredState())
    assert world.sources.live == {"churn/autorun": ""}
    assert await world.conditions() == {"churn/autorun": "active"}


async def test_what_lacks_a_required_right_is_not_listened_to(world: World) -> None:
    await world.installed(installation("churn", OPEN, requires=["sql.read:users"]))
    (view,) = await world.registry.views()
    assert (view.condition, view.reason) == (
        "idle",
        "churn requires sql.read:users before it starts. moorage grant churn --required",
    )
    assert world.sources.live == {}
    await world.store.grants.grant("churn", ["sql.read:users"], by="dana")
    world.events.announce(GrantsChanged("churn", 2, "dana"))
    await world.caught_up()
    assert world.sources.live == {"churn/autorun": ""}


async def test_the_switch_for_everything(world: World) -> None:
    await world.installed(installation("churn", OPEN))
    await world.store.switches.put(SwitchState(False, "maintenance", "dana", NOW))
    await world.registry.refresh()
    assert world.sources.live == {}
    (view,) = await world.registry.views()
    assert view.condition == "idle"
    assert "everything is switched off by dana: maintenance".lower() in view.reason.lower()
    await world.store.switches.put(SwitchState(True, "", "dana", NOW))
    await world.registry.refresh()
    await world.caught_up()
    assert world.sources.live


async def test_a_new_version_keeps_what_is_the_same_and_changes_what_is_not(world: World) -> None:
    grants = ["kafka.consume:**"]
    await world.installed(
        installation("churn", KAFKA, replace(KAFKA, name="same", source="same"), requests=grants), *grants
    )
    assert sorted(world.sources.live.values()) == ["orders", "same"]
    world.sources.log.clear()
    again = installation(
        "churn", replace(KAFKA, source="plays"), replace(KAFKA, name="same", source="same"), requests=grants
    )
    await world.installed(again)
    assert world.sources.live == {"churn/orders": "plays", "churn/same": "same"}
    assert world.sources.log == ["-churn/orders", "+churn/orders"]
    await world.installed(installation("churn", requests=grants))
    assert world.sources.live == {}
    assert await world.conditions() == {}


async def test_a_removed_installation_takes_its_triggers_along(world: World) -> None:
    await world.installed(installation("churn", OPEN))
    await world.store.installations.remove("churn")
    world.events.announce(Removed("churn", "dana"))
    await world.caught_up()
    assert world.sources.live == {}
    assert await world.conditions() == {}


async def test_people_count_before_what_is_declared_and_over_restarts(
    store: Store, clock: FakeClock, runs: Runs
) -> None:
    declared = Declared({"churn": {"nightly": {"timezone": "Europe/Berlin", "attempts": 3}}})
    nightly = Trigger("cron", "0 6 * * *", "daily", {"timezone": "UTC"}, "nightly")
    world = _world(store, clock, runs, declared)
    await store.installations.add(installation("churn", nightly))
    await world.registry.open()
    await store.triggers.change("churn/nightly", {"source": "0 7 * * *", "task": "weekly"}, by="dana", at=NOW)
    await world.registry.close()
    world = _world(store, clock, runs, declared)
    await world.registry.open()
    (view,) = await world.registry.views()
    trigger = view.state.trigger
    assert (trigger.source, trigger.task, trigger.options) == (
        "0 7 * * *",
        "weekly",
        {"timezone": "Europe/Berlin", "attempts": 3},
    )
    assert view.origins == {
        "kind": Origin.MANIFEST,
        "source": Origin.PERSON,
        "task": Origin.PERSON,
        "timezone": Origin.SETTINGS,
        "attempts": Origin.SETTINGS,
    }
    await world.registry.close()


async def test_pauses_of_people_and_of_declarations(world: World) -> None:
    paused = replace(OPEN, options={"paused": True})
    await world.installed(installation("churn", paused))
    assert await world.conditions() == {"churn/autorun": "paused"}
    # A person's word counts before the declaration.
    await world.store.triggers.change("churn/autorun", {"paused": False}, by="dana", at=NOW)
    await world.registry.refresh(["churn"])
    await world.caught_up()
    assert world.sources.live == {"churn/autorun": ""}
    await world.store.triggers.pause("churn/autorun", "too many mails", by="dana")
    await world.registry.refresh(["churn"])
    assert world.sources.live == {}
    (view,) = await world.registry.views()
    assert view.reason == "Paused by dana: too many mails. moorage trigger resume churn/autorun"
    await world.installed(installation("churn", OPEN))
    assert await world.conditions() == {"churn/autorun": "paused"}


async def test_a_declaration_that_is_none_is_shown_with_its_problem(store: Store, clock: FakeClock, runs: Runs) -> None:
    declared = Declared({"churn": {"nightli": {"timezone": "UTC"}, "autorun": {"group": "g"}}})
    world = _world(store, clock, runs, declared)
    await store.installations.add(installation("churn", OPEN))
    await world.registry.open()
    await world.registry.start(world.schedules)
    views = {view.state.id: view for view in await world.registry.views("churn")}
    assert views["churn/nightli"].condition == "invalid"
    assert views["churn/nightli"].reason.startswith("trigger churn/nightli: it says of no kind what it is")
    assert "group: unknown key" in views["churn/autorun"].reason
    assert world.sources.live == {}
    await world.registry.close()


async def test_a_source_that_fails_says_so_until_it_works(world: World) -> None:
    world.sources.failure = SourceFailed("No server answers.")
    await world.installed(installation("churn", OPEN))
    await advanced(world.clock, lambda: bool(world.registry.condition(_state("churn"))[1]))
    (view,) = await world.registry.views()
    assert (view.condition, view.reason) == ("failing", "No server answers.")
    world.sources.failure = None
    await advanced(world.clock, lambda: world.registry.condition(_state("churn"))[0] == "active")


def _state(name: str) -> TriggerState:
    return TriggerState(f"{name}/autorun", OPEN, Origin.MANIFEST, name)


async def test_a_kind_that_nothing_listens_to_says_so(world: World) -> None:
    await world.installed(
        installation("churn", Trigger("webhook", "github", name="hook"), Trigger("source", "mail", name="m"))
    )
    views = {view.state.id: view for view in await world.registry.views()}
    assert views["churn/hook"].condition == "active"
    assert views["churn/m"].reason == "Nothing in this host listens to triggers of the kind source."


async def test_those_that_select(store: Store, clock: FakeClock, runs: Runs) -> None:
    selecting: dict[str, Any] = {"kind": "kafka", "source": "all", "select": Selector(tags=("etl",))}
    world = _world(store, clock, runs, Declared({}, {"all": selecting}))
    for name, tags in (("a", {"etl"}), ("b", set()), ("c", {"etl"})):
        await store.installations.add(installation(name, tags=frozenset(tags)))
    await store.installations.set_desired("c", DesiredState(enabled=False))
    await world.registry.open()
    await world.registry.start(world.schedules)
    await world.caught_up()
    assert world.sources.live == {"all": "all"}
    (view,) = await world.registry.views("")
    assert [each.id for each in await world.registry.targets(view.state)] == ["a"]
    await store.installations.remove("a")
    world.events.announce(Removed("a", "dana"))
    await world.caught_up()
    assert world.sources.live == {"all": "all"}
    await world.registry.close()


async def test_what_another_host_changes_of_one_that_selects_is_noticed(world: World) -> None:
    await world.store.triggers.put(
        Declaration("all", Trigger("kafka", "all", name="all", select=Selector()), Origin.PERSON)
    )
    await world.registry.look_at_selecting()
    await world.caught_up()
    assert world.sources.live == {"all": "all"}
    looks = world.schedules.looks
    await world.registry.look_at_selecting()
    assert world.schedules.looks == looks
    await world.store.triggers.pause("all", "", by="dana")
    await world.registry.look_at_selecting()
    assert world.sources.live == {}


async def test_an_application_adds_and_takes_back(world: World) -> None:
    await world.registry.declare("churn", replace(OPEN, name="own"))
    assert await world.conditions() == {}
    await world.installed(installation("churn"))
    assert world.sources.live == {"churn/own": ""}
    assert (await world.registry.views())[0].state.origin is Origin.APPLICATION
    assert await world.registry.retract("churn", "own")
    assert not await world.registry.retract("churn", "own")
    assert world.sources.live == {}


async def test_one_host_alone_listens_to_an_exclusive_source(world: World, clock: FakeClock) -> None:
    channel = Trigger("redis", "plays", name="plays")
    await world.installed(installation("churn"))
    await world.store.triggers.put(Declaration("churn/plays", channel, Origin.PERSON, "churn"))
    assert await world.store.triggers.claim("churn/plays", "there")
    await world.registry.refresh(["churn"])
    await asyncio.sleep(0.05)
    assert world.sources.live == {}
    await world.store.triggers.release("there")
    await advanced(clock, lambda: bool(world.sources.live))
    assert (await world.store.triggers.get("churn/plays")).host == "here"
    await world.registry.stop()
    assert (await world.store.triggers.get("churn/plays")).host == ""


async def test_webhooks_are_found_by_name(world: World) -> None:
    hook = Trigger("webhook", "github", options={"secret": "KEY"}, name="hook")
    await world.installed(installation("churn", hook))
    found = world.registry.webhook("churn", "github")
    assert found is not None
    assert found.id == "churn/hook"
    assert world.registry.webhook("churn", "hook") is None
    await world.installed(installation("churn"))
    assert world.registry.webhook("churn", "github") is None


async def test_without_its_lease_a_host_leaves_exclusive_sources_to_others(world: World, clock: FakeClock) -> None:
    await world.installed(installation("churn", OPEN))
    await world.store.triggers.put(
        Declaration("churn/plays", Trigger("redis", "plays", name="plays"), Origin.PERSON, "churn")
    )
    await world.registry.refresh(["churn"])
    await advanced(clock, lambda: len(world.sources.live) == 2)
    world.registry.lease_lost()
    await advanced(clock, lambda: world.sources.live == {"churn/autorun": ""})
    await world.registry.refresh(["churn"])
    assert world.sources.live == {"churn/autorun": ""}
    await world.registry.lease_regained()
    await advanced(clock, lambda: len(world.sources.live) == 2)
