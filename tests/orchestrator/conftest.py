from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fake_clock import FakeClock

from moorage.events.bus import EventBus
from moorage.models.execution import (
    Execution,
    ExecutionRequest,
    ExecutionState,
    ResourceUse,
    TaskOutcome,
    WorkerFacts,
)
from moorage.models.installation import DesiredState, Installation
from moorage.models.manifest import Limits, Manifest
from moorage.models.policy import RunPolicy
from moorage.orchestrator.orchestrator import Orchestrator
from moorage.orchestrator.policies import declared_policy
from moorage.store.store import Store

FACTS = WorkerFacts("churn-1-ab", 1, 4711, "3.9.18", "3.20.3", "1.49.1", "full")
SUCCEEDED = TaskOutcome(ExecutionState.SUCCEEDED, result={"users": 3})

Run = Callable[[Execution, timedelta], Awaitable[TaskOutcome]]


class Sessions:
    """Workers that do what a test says."""

    def __init__(self) -> None:
        self.run: Run = self.succeed
        self.refusal: Exception | None = None
        self.use: ResourceUse | None = None
        self.at_exit: Callable[[], Awaitable[None]] | None = None
        self.running: list[str] = []
        self.most_at_once = 0
        self.ran: list[str] = []
        self.changed = asyncio.Condition()

    @contextlib.asynccontextmanager
    async def session(self, installation: str) -> AsyncIterator[Session]:
        await asyncio.sleep(0)
        if self.refusal is not None:
            raise self.refusal
        yield Session(self)
        if self.at_exit is not None:
            await self.at_exit()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5), self.changed:
            await self.changed.wait_for(condition)

    async def succeed(self, execution: Execution, timeout: timedelta) -> TaskOutcome:
        await asyncio.sleep(0)
        return SUCCEEDED


@dataclass
class Session:
    sessions: Sessions
    facts: WorkerFacts = field(default=FACTS)

    async def run_task(self, execution: Execution, timeout: timedelta) -> TaskOutcome:
        sessions = self.sessions
        sessions.running.append(execution.id)
        sessions.ran.append(execution.id)
        sessions.most_at_once = max(sessions.most_at_once, len(sessions.running))
        async with sessions.changed:
            sessions.changed.notify_all()
        try:
            return await sessions.run(execution, timeout)
        finally:
            sessions.running.remove(execution.id)

    def use_of(self, execution: str) -> ResourceUse | None:
        return self.sessions.use


def short_queue(found: Installation) -> RunPolicy:
    return replace(declared_policy(found), queue=3)


async def forever(execution: Execution, timeout: timedelta) -> TaskOutcome:
    await asyncio.Event().wait()
    raise AssertionError


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def ended_with(orchestrator: Orchestrator, clock: FakeClock) -> None:
    """Stops it at once, while the clock runs."""
    async with asyncio.timeout(10):
        stopping = asyncio.ensure_future(orchestrator.stop(timedelta(0)))
        while not stopping.done():
            clock.advance(seconds=1)
            await asyncio.sleep(0.001)
        await stopping


def request(**values: Any) -> ExecutionRequest:
    return ExecutionRequest("churn", **values)


@pytest.fixture(scope="session")
def installed_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("installed") / "moorage.db"

    async def make() -> None:
        async with Store(path) as store:
            await store.installations.add(installation())

    asyncio.run(make())
    return path


def installation(name: str = "churn", *, desired: DesiredState | None = None, concurrency: int = 1) -> Installation:
    limits = Limits(timeout=timedelta(seconds=60), concurrency=concurrency)
    return Installation(
        id=name,
        manifest=Manifest("churn", "1.2.0", "churn.plugin:plugin", limits=limits),
        source_path=Path("plugins/churn"),
        code_path=Path("code/churn"),
        code_hash="",
        code_roots=("",),
        venv_key="",
        desired=desired or DesiredState(),
    )


@pytest.fixture
async def store(tmp_path: Path, installed_store: Path) -> AsyncIterator[Store]:
    async with Store(shutil.copy(installed_store, tmp_path / "moorage.db")) as opened:
        yield opened


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def sessions() -> Sessions:
    return Sessions()


@pytest.fixture
def events() -> EventBus:
    return EventBus()


@pytest.fixture
async def orchestrator(
    store: Store, sessions: Sessions, events: EventBus, clock: FakeClock
) -> AsyncIterator[Orchestrator]:
    made = Orchestrator(store, sessions, events, clock=clock, policy_of=short_queue)
    yield made
    await ended_with(made, clock)
