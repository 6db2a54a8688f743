"""Levels of loggers as people set them: stored, told, and taken back in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from moorage.app.log_levels import LogLevels
from moorage.models.installation import Installation
from moorage.models.levels import LevelSetting, WorkerLevels, level_name
from moorage.models.manifest import Manifest
from moorage.store.errors import InstallationUnknown
from moorage.store.store import Store

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


class World:
    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = NOON
        self.told: asyncio.Queue[WorkerLevels] = asyncio.Queue()

    async def open(self) -> LogLevels:
        levels = LogLevels(self.store.log_levels, self._tell, now=lambda: self.now)
        self.levels = levels
        await levels.open()
        return levels

    async def _tell(self, name: str) -> None:
        self.told.put_nowait(self.levels.for_worker(name))

    async def next_told(self) -> WorkerLevels:
        return await asyncio.wait_for(self.told.get(), 10)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with Store(tmp_path / "moorage.db") as store:
        manifest = Manifest(name="churn", version="1.0.0", entry_point="churn:plugin")
        await store.installations.add(Installation("churn", manifest, Path("/s"), Path("/c"), "c0de", ("",), "venv"))
        made = World(store)
        yield made
        await made.levels.close()


def setting(level: int, logger: str = "", until: datetime | None = None) -> LevelSetting:
    return LevelSetting(logger, level, until, "dana", NOON)


async def test_what_is_set_is_told_and_is_there_for_the_next_host(world: World) -> None:
    levels = await world.open()
    assert levels.for_worker("churn") == WorkerLevels()
    assert not levels.touched("churn")
    await levels.set("churn", setting(10))
    await levels.set("churn", setting(40, "churn.noisy"))
    assert [await world.next_told(), await world.next_told()][-1] == WorkerLevels(10, {"churn.noisy": 40})
    await levels.close()

    levels = await world.open()
    assert levels.for_worker("churn") == WorkerLevels(10, {"churn.noisy": 40})
    assert [each.set_by for each in levels.of("churn")] == ["dana", "dana"]
    await levels.reset("churn", ["churn.noisy"])
    assert levels.for_worker("churn") == WorkerLevels(10)
    assert levels.touched("churn")
    assert [each.logger for each in (await world.store.log_levels.all())["churn"]] == [""]


async def test_one_that_was_set_for_a_while_is_taken_back(world: World) -> None:
    levels = await world.open()
    await levels.set("churn", setting(10, until=NOON + timedelta(seconds=0.05)))
    assert (await world.next_told()).level == 10
    world.now = NOON + timedelta(seconds=1)
    assert await world.next_told() == WorkerLevels()
    assert await world.store.log_levels.all() == {}


async def test_the_hosts_clock_decides_when_it_is_over(world: World) -> None:
    """The timer rings, and the clock was set back meanwhile."""
    levels = await world.open()
    await levels.set("churn", setting(10, until=NOON + timedelta(seconds=0.01)))
    world.now = NOON - timedelta(hours=1)
    levels._due("churn", levels.of("churn")[0])
    assert levels.for_worker("churn").level == 10


async def test_what_was_over_before_the_host_started_does_not_count(world: World) -> None:
    await world.store.log_levels.put("churn", setting(10, until=NOON - timedelta(hours=1)))
    await world.open()
    assert await world.next_told() == WorkerLevels()


async def test_another_setting_is_not_taken_back_by_the_end_of_the_one_before(world: World) -> None:
    levels = await world.open()
    await levels.set("churn", setting(10, until=NOON + timedelta(seconds=60)))
    old = levels.of("churn")[0]
    await levels.set("churn", setting(30))
    world.now = NOON + timedelta(hours=1)
    await levels._end("churn", old)
    assert levels.for_worker("churn").level == 30


async def test_of_an_installation_that_is_not_there_or_is_removed_nothing_is_kept(world: World) -> None:
    levels = await world.open()
    with pytest.raises(InstallationUnknown):
        await levels.set("nobody", setting(10))
    assert levels.of("nobody") == ()
    await levels.set("churn", setting(10, until=NOON + timedelta(hours=1)))
    await world.store.installations.remove("churn")
    levels.forget("churn")
    assert levels.of("churn") == ()
    assert await world.store.log_levels.all() == {}


def test_levels_are_named() -> None:
    assert [level_name(level) for level in (10, 20, 15)] == ["DEBUG", "INFO", "15"]
