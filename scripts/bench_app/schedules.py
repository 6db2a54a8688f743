"""Ten thousand schedules: what it takes to start with them, to compute when each is due next, and to list them.

Baselines of the same run: cronsim alone in the schedule's zone, for what is computed; the same rows read with SQL
alone, for what is read.
"""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from cronsim import CronSim

from moorage.clock import SystemClock
from moorage.models.execution import Execution, ExecutionState
from moorage.models.manifest import Trigger
from moorage.models.policy import Origin
from moorage.models.trigger import Declaration, TriggerState
from moorage.orchestrator.triggers.schedule import Schedule, next_runs
from moorage.orchestrator.triggers.schedules import Schedules
from moorage.orchestrator.triggers.tick import Tick
from moorage.store.store import Store

COUNT = 10_000
PAGE = 50
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo", "Australia/Lord_Howe")


class Nothing:
    """Accepts every tick at once: what is measured is the engine and its store."""

    def __init__(self, count: int) -> None:
        self.fired = 0
        self.done = asyncio.Event()
        self._count = count

    def obstacle(self, _state: TriggerState) -> str:
        return ""

    async def fire(self, _state: TriggerState, tick: Tick) -> Sequence[Execution]:
        self.fired += 1
        if self.fired == self._count:
            self.done.set()
        return (Execution(f"e-{self.fired}", "", "", "", "execute", "cron", ExecutionState.QUEUED, tick.fired_at),)


@dataclass(frozen=True)
class Measured:
    #: Milliseconds, and those of the baseline; by what was done.
    times: dict[str, tuple[float, float | None]]
    ticks_a_second: float


def trigger(number: int) -> Trigger:
    """Each of them another expression, as far as there are so many."""
    source = f"{number % 60} {number // 60 % 24} * * {number % 7}"
    return Trigger(
        "cron", source, name=f"t-{number}", options={"timezone": ZONES[number % len(ZONES)], "jitter": "1 min"}
    )


async def measure(folder: Path, *, rounds: int) -> Measured:
    path = folder / "schedules.db"
    async with Store(path) as store:
        declarations = [Declaration(f"t-{number}", trigger(number), Origin.SETTINGS) for number in range(COUNT)]
        origins = (Origin.SETTINGS,)
        declared = await _once(lambda: store.triggers.declare(declarations, origins=origins))
        again = await _once(lambda: store.triggers.declare(declarations, origins=origins))
        first_start = await _once(lambda: _computed(store))
        start = statistics.median([await _fired(store, 1) for _ in range(rounds)])
        everything = await _median(store.triggers.list, rounds)
        page = await _median(lambda: _page(store), rounds * 5)
        states = await store.triggers.list()
        read_all, read_page = _by_sql(path, "", rounds), _by_sql(path, f"ORDER BY next_at LIMIT {PAGE}", rounds * 5)
        alone, computed = _computing(states, rounds)
        rate = COUNT / await _fired(store, COUNT) * 1e3
    return Measured(
        {
            "declare all": (declared, None),
            "declare all again, nothing new": (again, read_all),
            "first start: compute and store all first ticks": (first_start, alone),
            "start with all stored, until what is due fires": (start, read_all),
            "read all": (everything, read_all),
            f"the page of the next {PAGE}, five runs each": (page, read_page),
            "next tick of all": (computed, alone),
        },
        rate,
    )


async def _computed(store: Store) -> None:
    """Until all of them have their next tick: they get it in one transaction."""
    engine = Schedules(store.triggers, Nothing(0), clock=SystemClock())
    await engine.start()
    while not await store.triggers.upcoming(1):  # noqa: ASYNC110 - the engine tells nobody
        await asyncio.sleep(0.005)
    await engine.stop()


async def _fired(store: Store, count: int) -> float:
    """Milliseconds from the start until so many have fired that were due before."""
    due = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
    states = await store.triggers.upcoming(count)
    await store.triggers.schedule({state.id: (state.next_at, due) for state in states})
    firing = Nothing(count)
    engine = Schedules(store.triggers, firing, clock=SystemClock())
    began = time.perf_counter()
    await engine.start()
    await firing.done.wait()
    taken = time.perf_counter() - began
    await engine.stop()
    return taken * 1e3


async def _page(store: Store) -> None:
    now = datetime.now(UTC)
    for state in await store.triggers.upcoming(PAGE):
        next_runs(state, now, 5)


def _computing(states: Sequence[TriggerState], rounds: int) -> tuple[float, float]:
    """By cronsim alone and by the schedules, in turns."""
    alone, own = [], []
    now = datetime.now(UTC)
    for _ in range(rounds):
        began = time.perf_counter()
        for state in states:
            next(CronSim(state.trigger.source, now.astimezone(ZoneInfo(state.trigger.options["timezone"]))))
        alone.append(time.perf_counter() - began)
        began = time.perf_counter()
        for state in states:
            Schedule.of(state, now).after(now)
        own.append(time.perf_counter() - began)
    return statistics.median(alone) * 1e3, statistics.median(own) * 1e3


def _by_sql(path: Path, clause: str, rounds: int) -> float:
    samples = []
    connection = sqlite3.connect(path)
    for _ in range(rounds):
        began = time.perf_counter()
        connection.execute(f"SELECT * FROM triggers {clause}").fetchall()
        samples.append(time.perf_counter() - began)
    connection.close()
    return statistics.median(samples) * 1e3


async def _once(work: Callable[[], Awaitable[object]]) -> float:
    return await _median(work, 1)


async def _median(work: Callable[[], Awaitable[object]], rounds: int) -> float:
    samples = []
    for _ in range(rounds):
        began = time.perf_counter()
        await work()
        samples.append(time.perf_counter() - began)
    return statistics.median(samples) * 1e3


def show(measured: Measured) -> None:
    print(f"\n{f'milliseconds, {COUNT:,} schedules':<52}{'measured':>10}{'baseline':>10}{'ratio':>8}")
    for name, (milliseconds, baseline) in measured.times.items():
        against = "" if baseline is None else f"{baseline:>10.2f}{milliseconds / baseline:>8.2f}"
        print(f"{name:<52}{milliseconds:>10.2f}{against}")
    print(f"{'ticks a second, all due at the same moment':<52}{measured.ticks_a_second:>10.0f}")
    print("\nbaseline: cronsim alone for what is computed, SQL alone for what is read.")
