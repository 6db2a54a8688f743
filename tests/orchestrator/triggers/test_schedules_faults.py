"""Wherever the store fails and wherever a host dies: each tick has its one execution, and none has two."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from fake_clock import FakeClock
from schedule_world import FIVE, Runs, World, at

from moorage.models.manifest import Trigger
from moorage.orchestrator.triggers.schedules import Schedules
from moorage.store.errors import StoreFailed
from moorage.store.store import Store

pytestmark = pytest.mark.timeout(60)

EACH_MINUTE = Trigger("cron", "* * * * *", name="t")

#: From the start at 09:30 on.
END = "09:32:30"
TICKS = ["09:31", "09:32"]
NEXT = "09:33"
STEP = timedelta(seconds=30)

#: Fewer than there are calls in that time, and more.
CALLS = range(12, 40)


class Faulty:
    """Passes calls on. Something happens at one of them, before or after it has done its work."""

    def __init__(self, inner: Any, trouble: Trouble) -> None:
        self._inner, self._trouble = inner, trouble

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if name == "obstacle":
            return method

        async def call(*arguments: Any, **named: Any) -> Any:
            return await self._trouble.meet(lambda: method(*arguments, **named))

        return call


class Trouble:
    def __init__(self, number: int, happens: Callable[[], Awaitable[None]], *, after: bool) -> None:
        self.called = 0
        self.always = False
        self._number = number
        self._happens, self._after = happens, after

    async def meet(self, work: Callable[[], Awaitable[Any]]) -> Any:
        self.called += 1
        hit = self.always or self.called == self._number
        if hit and not self._after:
            await self._happens()
        answer = await work()
        if hit and self._after:
            await self._happens()
        return answer

    @property
    def has_come(self) -> bool:
        return self.called >= self._number


async def fails() -> None:
    raise StoreFailed("database or disk is full")


async def dies() -> None:
    """The host does nothing any more."""
    await asyncio.Event().wait()


def faulty(world: World, trouble: Trouble) -> Schedules:
    triggers: Any = Faulty(world.store.triggers, trouble)
    runs: Any = Faulty(world.runs, trouble)
    return Schedules(triggers, runs, clock=world.clock)


@pytest.fixture
async def world(store: Store) -> World:
    clock = FakeClock()
    return World(store, clock, Runs(clock))


async def anew(world: World) -> None:
    """As if it was the first time."""
    for state in await world.store.triggers.list():
        await world.store._database.write(lambda connection: connection.exec_driver_sql("DELETE FROM triggers"))
        assert state.id == "t"
    world.clock = world.runs.clock = FakeClock()
    world.runs.executions.clear()
    world.runs.ticks.clear()


@pytest.mark.parametrize("policy", ["once", "all"])
@pytest.mark.parametrize("after", [False, True])
async def test_a_store_that_fails_anywhere_loses_nothing(world: World, policy: str, after: bool) -> None:
    number = 0
    while True:
        number += 1
        await anew(world)
        await world.declare(replace(EACH_MINUTE, options={"misfire": policy}))
        trouble = Trouble(number, fails, after=after)
        engine = faulty(world, trouble)
        world.engines.append(engine)
        await engine.start()
        await world.settled()
        await world.until(END, STEP)
        await engine.stop()
        world.engines.clear()

        assert world.runs.times == TICKS, number
        state = await world.state()
        assert (state.next_at, state.last_at) == (at(NEXT), at(TICKS[-1])), number
        # A write that was done and reported as failed is not counted twice.
        assert (state.fired, state.skipped, state.problem) == (2, 0, ""), number
        if not trouble.has_come:
            break
    assert number in CALLS


@pytest.mark.parametrize(("policy", "expected"), [("once", ["09:35", "09:45+1"]), ("all", ["09:35", "09:40", "09:45"])])
async def test_what_a_store_missed_that_failed_for_minutes_is_made_up_for(
    world: World, policy: str, expected: list[str]
) -> None:
    await world.declare(replace(FIVE, options={"misfire": policy}))
    trouble = Trouble(1_000_000, fails, after=False)
    engine = faulty(world, trouble)
    world.engines.append(engine)
    await engine.start()
    await world.until("09:39")
    trouble.always = True
    await world.until("09:48")
    trouble.always = False
    await world.until("09:49:30")
    await engine.stop()
    assert world.runs.times == expected
    assert (await world.state()).next_at == at("09:50")


@pytest.mark.parametrize("policy", ["once", "all"])
@pytest.mark.parametrize("after", [False, True])
async def test_a_host_that_dies_anywhere_leaves_each_tick_to_the_next_one(
    world: World, policy: str, after: bool
) -> None:
    number = 0
    while True:
        number += 1
        await anew(world)
        await world.declare(replace(EACH_MINUTE, options={"misfire": policy}))
        trouble = Trouble(number, dies, after=after)
        await _until_it_dies(world, faulty(world, trouble), trouble)
        async with world.host():
            await world.until(END, STEP)

        # It died at a moment and the next one started at the same: nothing was missed.
        assert world.runs.times == TICKS, number
        state = await world.state()
        assert (state.next_at, state.last_at, state.fired, state.skipped) == (at(NEXT), at(TICKS[-1]), 2, 0), number
        if not trouble.has_come:
            break
    assert number in CALLS


async def _until_it_dies(world: World, engine: Schedules, trouble: Trouble) -> None:
    await engine.start()
    world.engines.append(engine)
    while world.clock.now() < at(END) and not trouble.has_come:
        await _rested(world, trouble)
        if not trouble.has_come:
            world.clock.advance(seconds=STEP.total_seconds())
    await _rested(world, trouble)
    world.engines.clear()
    # Nothing is tidied up: its tasks end where they are.
    tasks = [task for task in asyncio.all_tasks() if task.get_name().startswith("schedule")]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _rested(world: World, trouble: Trouble) -> None:
    resting = asyncio.create_task(world.settled())
    while not resting.done() and not trouble.has_come:
        await asyncio.sleep(0)
    resting.cancel()
    await asyncio.gather(resting, return_exceptions=True)


async def test_a_host_that_died_long_ago_runs_no_tick_twice(world: World) -> None:
    """It submitted one, and died before it went on; the next one comes when the policy is asked."""
    policies = {"once": ["09:35", "09:45+2"], "skip": ["09:35"], "all": ["09:35", "09:40", "09:45"]}
    for policy, expected in policies.items():
        await anew(world)
        await world.declare(replace(FIVE, options={"misfire": policy}))
        async with world.host():
            await world.until("09:34")
        # One call in its look for what is new, one for what was passed over, one for what is due; then one to read the
        # row, one to submit, one to go on.
        trouble = Trouble(6, dies, after=False)
        engine = faulty(world, trouble)
        world.clock.advance(minutes=1)
        await engine.start()
        async with asyncio.timeout(5):
            while not trouble.has_come:
                await asyncio.sleep(0)
        await _rested(world, trouble)
        for task in [task for task in asyncio.all_tasks() if task.get_name().startswith("schedule")]:
            task.cancel()
        assert world.runs.times == ["09:35"]
        world.clock.advance(minutes=12)
        async with world.host():
            pass
        assert world.runs.times == expected
        assert (await world.state()).next_at == at("09:50")
