"""What is let go of, when, and who is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from fake_clock import FakeClock

from moorage.app.retention import Retention
from moorage.config.retention import RetentionSettings
from moorage.models.audit import AuditEntry, AuditKind
from moorage.models.execution import Execution, ExecutionState
from moorage.models.log import LogLine
from moorage.models.retention import History
from moorage.store.store import Store

DAY = timedelta(days=1)
NOTHING = timedelta(0)


class World:
    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock = FakeClock()
        self.told: list[tuple[str, str, str, str]] = []

    def retention(self, **settings: object) -> Retention:
        given = dict.fromkeys(("executions_age", "logs_age", "audit_age", "incarnations_age"), NOTHING)
        given |= {"executions_each": 0, "logs_bytes": 0, **settings}
        return Retention(self.store, RetentionSettings.model_validate(given), self.clock, self._act, batch=3)

    async def run(self, **settings: object) -> dict[History, int]:
        running = asyncio.ensure_future(self.retention(**settings).run(by="dana"))
        async with asyncio.timeout(10):
            while not running.done():
                if self.clock.pending:
                    self.clock.advance(seconds=1)
                await asyncio.sleep(0)
        return {kind: count for kind, count in running.result().deleted.items() if count}

    async def fill(self) -> None:
        """Ten of each, the oldest nearly ten days old."""
        for age in range(10, 0, -1):
            at = self.clock.now() - age * DAY + timedelta(hours=1)
            await self.store.executions.create(_execution(age, at))
            await self.store.logs.append([LogLine("churn", "churn-1", at, 20, "churn", "x" * 95)])
            await self.store.audit.append([AuditEntry(at, AuditKind.ACTION, "churn", "dana", "stop")])

    async def _act(self, *told: str) -> None:
        self.told.append((told[0], told[1], told[2], told[3]))


def _execution(age: int, at: datetime) -> Execution:
    made = Execution(f"e-{99 - age}", "churn", "churn", "1", "execute", "manual", ExecutionState.SUCCEEDED, at)
    return replace(made, ended_at=at)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with Store(tmp_path / "moorage.db") as store:
        made = World(store)
        await made.fill()
        yield made


async def test_each_kind_goes_by_its_own_age(world: World) -> None:
    ages = {"executions_age": 4 * DAY, "logs_age": 2 * DAY, "audit_age": 8 * DAY}
    assert await world.run(**ages) == {History.EXECUTIONS: 6, History.LOGS: 8, History.AUDIT: 2}
    sentence = "Deleted for their age or number: 6 executions, 8 log lines, 2 entries of the audit."
    assert world.told == [("retention", "", "dana", sentence)]
    assert (await world.store.audit.verify()).broken_at is None
    assert await world.run(**ages) == {}
    assert len(world.told) == 1


async def test_number_and_size_count_too(world: World) -> None:
    assert await world.run(executions_each=4, logs_bytes=550) == {History.EXECUTIONS: 6, History.LOGS: 5}


async def test_without_bounds_all_is_kept(world: World) -> None:
    assert await world.run() == {}
    assert len(await world.store.executions.list()) == 10


async def test_it_runs_by_itself(world: World) -> None:
    retention = world.retention(executions_age=4 * DAY, interval=60)
    async with retention.kept_up(), asyncio.timeout(10):
        while not world.told:
            world.clock.advance(seconds=10)
            await asyncio.sleep(0)
    assert world.told[0][2] == ""


async def test_what_is_kept_is_shown(world: World) -> None:
    executions, logs, *_ = await world.retention(executions_age=4 * DAY).show()
    assert (executions.extent.count, executions.bounds.age, executions.bounds.each) == (10, 4 * DAY, None)
    assert (logs.extent.size, logs.bounds.age) == (1000, None)
