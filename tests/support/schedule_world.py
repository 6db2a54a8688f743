"""Hosts whose schedules fire on a fake clock, with a real store and an orchestrator that only writes down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from fake_clock import FakeClock

from moorage.models.execution import Execution, ExecutionState
from moorage.models.manifest import Trigger
from moorage.models.policy import Origin
from moorage.models.trigger import Declaration, TriggerState
from moorage.orchestrator.triggers.schedules import Schedules
from moorage.orchestrator.triggers.tick import Tick
from moorage.store.store import Store

#: The fake clock begins at 2026-11-20 09:30, a Friday.
FIVE = Trigger("cron", "*/5 * * * *", name="t")
HOURLY = Trigger("cron", "0 * * * *", name="t")
EVERY_TEN = Trigger("interval", "10 min", name="t")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text if "-" in text else f"2026-11-20T{text}").replace(tzinfo=UTC)


@dataclass
class Runs:
    """Makes executions as the orchestrator does: one for each key."""

    clock: FakeClock
    executions: dict[str, Execution] = field(default_factory=dict)
    ticks: list[Tick] = field(default_factory=list)
    obstacles: dict[str, str] = field(default_factory=dict)
    state: ExecutionState = ExecutionState.QUEUED
    refusals: list[Exception] = field(default_factory=list)
    gate: asyncio.Event | None = None
    #: A tick has come to the gate.
    waits: asyncio.Event = field(default_factory=asyncio.Event)

    def obstacle(self, state: TriggerState) -> str:
        return self.obstacles.get(state.id, "")

    async def fire(self, state: TriggerState, tick: Tick) -> Sequence[Execution]:
        if self.gate is not None:
            self.waits.set()
            await self.gate.wait()
        if self.refusals:
            raise self.refusals.pop(0)
        key = tick.key()
        if key not in self.executions:
            self.ticks.append(tick)
            self.executions[key] = Execution(
                id=f"e-{len(self.executions)}",
                installation="churn",
                plugin="churn",
                version="1",
                task=state.trigger.task,
                trigger=state.trigger.kind,
                state=self.state,
                queued_at=self.clock.now(),
                key=key,
            )
        return (self.executions[key],)

    @property
    def times(self) -> list[str]:
        """Of the ticks that made executions, with how many each stands for besides itself."""
        return [f"{tick.scheduled_at:%H:%M}" + (f"+{tick.missed}" if tick.missed else "") for tick in self.ticks]


@dataclass
class World:
    store: Store
    clock: FakeClock
    runs: Runs
    engines: list[Schedules] = field(default_factory=list)

    @asynccontextmanager
    async def host(self) -> AsyncIterator[Schedules]:
        engine = Schedules(self.store.triggers, self.runs, clock=self.clock)
        await engine.start()
        self.engines.append(engine)
        await self.settled()
        try:
            yield engine
        finally:
            self.engines.remove(engine)
            await engine.stop()

    async def settled(self) -> None:
        """Each engine rests: it waits for its alarm, and nothing is being fired."""
        calm = 0
        async with asyncio.timeout(5):
            while calm < 5:
                await asyncio.sleep(0)
                firing = any(engine._firings for engine in self.engines)
                calm = 0 if firing or self.clock.pending < len(self.engines) else calm + 1

    async def until(self, moment: str, step: timedelta = timedelta(minutes=1)) -> None:
        while self.clock.now() < at(moment):
            self.clock.advance(seconds=min(step, at(moment) - self.clock.now()).total_seconds())
            await self.settled()

    async def declare(self, trigger: Trigger, *names: str) -> None:
        for name in names or ("t",):
            await self.store.triggers.put(Declaration(name, replace(trigger, name=name), Origin.SETTINGS))

    async def change(self, engine: Schedules, **changes: Any) -> None:
        await self.store.triggers.change("t", changes, by="Ada", at=self.clock.now())
        await self.looked(engine)

    async def looked(self, engine: Schedules) -> None:
        engine.look()
        await self.settled()

    async def state(self, name: str = "t") -> TriggerState:
        return await self.store.triggers.get(name)
