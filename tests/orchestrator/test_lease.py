"""A host that keeps its lease, loses it, and finds others dead; with faults, by a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from datetime import timedelta

import pytest
from fake_clock import FakeClock

from moorage.orchestrator.lease import LeaseKeeper
from moorage.store.errors import StoreFailed

LENGTH = timedelta(seconds=15)


class Table:
    """A store of which the test says how it is."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.until: timedelta | None = None
        self.dead: tuple[str, ...] = ()
        self.fails = False
        self.twin = False
        self.asked = 0

    async def register(self, name: str, version: str, length: timedelta) -> None:
        self._answer()
        self.until = self._clock.elapsed() + length

    async def renew(self, length: timedelta) -> bool:
        self._answer()
        if self.until is None or self.until <= self._clock.elapsed():
            return False
        self.until = self._clock.elapsed() + length
        return True

    async def regain(self, name: str, version: str, length: timedelta) -> bool:
        self._answer()
        if not self.twin:
            await self.register(name, version, length)
        return not self.twin

    async def leave(self) -> None:
        self._answer()
        self.until = None

    async def expired(self) -> tuple[str, ...]:
        return self.dead

    async def forget(self, hosts: Collection[str]) -> None:
        self.dead = tuple(each for each in self.dead if each not in hosts)

    def _answer(self) -> None:
        self.asked += 1
        if self.fails:
            raise StoreFailed("the server is away")


class World:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.table = Table(self.clock)
        self.told: list[str] = []
        self.refuses_dead = self.refuses_regained = 0
        self.keeper = LeaseKeeper(
            self.table,
            self.clock,
            LENGTH,
            name="machine",
            version="1.0",
            on_lost=lambda: self.told.append("lost"),
            on_regained=self._regained,
            on_dead=self._dead,
        )

    async def _regained(self) -> None:
        self.told.append("regained")
        if self.refuses_regained:
            self.refuses_regained -= 1
            raise StoreFailed("not now")

    async def _dead(self, hosts: tuple[str, ...]) -> None:
        self.told.append(f"dead {' '.join(hosts)}")
        if self.refuses_dead:
            self.refuses_dead -= 1
            raise StoreFailed("not now")

    async def pass_seconds(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.advance(seconds=1)
            for _ in range(20):
                await asyncio.sleep(0)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    await made.keeper.open()
    yield made
    await made.keeper.close()


async def test_it_is_renewed_every_third_of_its_length(world: World) -> None:
    await world.pass_seconds(60)
    assert (world.keeper.held, world.told) == (True, [])
    assert world.table.asked == 1 + 60 // 5


async def test_a_store_that_is_away_for_less_than_the_lease_costs_nothing(world: World) -> None:
    await world.pass_seconds(5)
    world.table.fails = True
    await world.pass_seconds(11)
    world.table.fails = False
    await world.pass_seconds(20)
    assert (world.keeper.held, world.told) == (True, [])


async def test_it_lets_go_before_others_may_take_over_and_comes_back(world: World) -> None:
    world.table.fails = True
    await world.pass_seconds(14)
    assert world.keeper.held
    await world.pass_seconds(1)
    assert (world.keeper.held, world.told) == (False, ["lost"])

    await world.pass_seconds(60)
    assert world.told == ["lost"]
    world.table.fails = False
    await world.pass_seconds(2)
    assert (world.keeper.held, world.told) == (True, ["lost", "regained"])
    await world.pass_seconds(60)
    assert world.told == ["lost", "regained"]


async def test_a_host_that_stood_still_learns_that_it_was_found_dead(world: World) -> None:
    world.table.until = None
    await world.pass_seconds(5)
    assert world.told == ["lost"]
    await world.pass_seconds(5)
    assert world.told == ["lost", "regained"]


async def test_what_a_lease_brings_back_is_tried_until_it_is_there(world: World) -> None:
    world.table.until, world.refuses_regained = None, 2
    await world.pass_seconds(60)
    assert world.told == ["lost"] + ["regained"] * 3


async def test_another_process_of_the_same_id_is_left_alone(world: World) -> None:
    world.table.until, world.table.twin = None, True
    await world.pass_seconds(60)
    assert (world.keeper.held, world.told) == (False, ["lost"])


async def test_an_answer_that_does_not_come_does_not_keep_the_lease(world: World) -> None:
    gate = asyncio.Event()
    renew = world.table.renew

    async def hang(length: timedelta) -> bool:
        await gate.wait()
        return await renew(length)

    world.table.renew = hang  # type: ignore[method-assign]
    await world.pass_seconds(15)
    assert world.told == ["lost"]
    world.table.renew = renew  # type: ignore[method-assign]
    gate.set()
    await world.pass_seconds(10)
    assert world.told == ["lost", "regained"]


async def test_dead_hosts_are_told_of_until_somebody_has_taken_over(world: World) -> None:
    world.table.dead, world.refuses_dead = ("one", "two"), 2
    await world.pass_seconds(5)
    assert world.told == ["dead one two"]
    await world.pass_seconds(60)
    assert world.told == ["dead one two"] * 3
    assert world.table.dead == ()


async def test_taking_over_does_not_keep_the_lease_from_being_renewed(world: World) -> None:
    gate = asyncio.Event()

    async def slow(hosts: tuple[str, ...]) -> None:
        world.told.append("dead")
        await gate.wait()

    world.keeper._on_dead = slow
    world.table.dead = ("one",)
    await world.pass_seconds(60)
    assert (world.keeper.held, world.told) == (True, ["dead"])
    gate.set()


async def test_closing_gives_the_lease_back_and_is_harmless_twice(world: World) -> None:
    await world.keeper.close()
    assert world.table.until is None
    await world.keeper.close()


async def test_closing_while_the_store_is_away_is_no_error(world: World) -> None:
    world.table.fails = True
    await world.keeper.close()
