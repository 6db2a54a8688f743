from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fake_clock import FakeClock

from moorage.models.execution import Execution, ExecutionError, ExecutionRequest, ExecutionState
from moorage.models.installation import DesiredState, Installation
from moorage.models.manifest import Manifest, RequestedCapability, Trigger
from moorage.models.policy import Origin, RunPolicy
from moorage.models.trigger import TriggerState
from moorage.orchestrator.triggers.door import DoorParts
from moorage_proto.capability import parse

DEADLINE_SECONDS = 5


def installation(
    name: str = "churn",
    *triggers: Trigger,
    requests: Collection[str] = (),
    requires: Collection[str] = (),
    desired: DesiredState | None = None,
    **manifest: Any,
) -> Installation:
    capabilities = tuple(
        RequestedCapability(parse(each), "needs it", required=each in requires) for each in (*requests, *requires)
    )
    return Installation(
        id=name,
        manifest=Manifest(
            "churn", "1.0", "churn.plugin:plugin", triggers=triggers, capabilities=capabilities, **manifest
        ),
        source_path=Path("plugins/churn"),
        code_path=Path("code/churn"),
        code_hash="ab" * 32,
        code_roots=("",),
        venv_key="",
        desired=desired or DesiredState(),
    )


def state(kind: str = "kafka", source: str = "orders", name: str = "orders", **values: Any) -> TriggerState:
    options = values.pop("options", {})
    trigger = Trigger(kind, source, options=options, name=name, input=values.pop("input", None))
    owner = values.pop("installation", "churn")
    ident = f"{owner}/{name}" if owner else name
    return TriggerState(ident, trigger, values.pop("origin", Origin.SETTINGS), owner, **values)


@dataclass
class Runs:
    """An orchestrator whose executions end as a test says."""

    clock: FakeClock
    executions: dict[str, Execution] = field(default_factory=dict)
    requests: list[ExecutionRequest] = field(default_factory=list)
    refusals: list[Exception] = field(default_factory=list)
    #: How the next ones end, at once; None: when ``end`` says.
    outcome: ExecutionState | None = ExecutionState.SUCCEEDED
    fired: list[str] = field(default_factory=list)
    dropped: int = 0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    async def submit(self, request: ExecutionRequest) -> Execution:
        await asyncio.sleep(0)
        self.requests.append(request)
        if self.refusals:
            raise self.refusals.pop(0)
        for each in self.executions.values():
            if request.key and each.key == request.key:
                return each
        state = self.outcome or ExecutionState.QUEUED
        execution = Execution(
            f"e-{next(self._numbers)}",
            request.installation,
            "churn",
            "1.0",
            request.task,
            request.trigger,
            state,
            self.clock.now(),
            key=request.key,
            input=request.input,
        )
        self.executions[execution.id] = execution
        async with self.changed:
            self.changed.notify_all()
        return execution

    async def room(self, installation: str) -> None:
        await asyncio.sleep(0)

    async def wait(self, execution_id: str) -> Execution:
        async with self.changed:
            await self.changed.wait_for(lambda: self.executions[execution_id].state.is_outcome)
        return self.executions[execution_id]

    async def end(self, execution_id: str, outcome: ExecutionState, error: str = "") -> None:
        found = ExecutionError(error, error) if error else None
        self.executions[execution_id] = replace(self.executions[execution_id], state=outcome, error=found)
        async with self.changed:
            self.changed.notify_all()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS), self.changed:
            await self.changed.wait_for(condition)

    # -- what is counted

    async def fired_one(self, trigger: str, execution: str, *, at: datetime) -> None:
        self.fired.append(execution)

    async def skipped(self, trigger: str, count: int = 1) -> None:
        self.dropped += count


class _Counts:
    def __init__(self, runs: Runs) -> None:
        self.fired = runs.fired_one
        self.skipped = runs.skipped


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def runs(clock: FakeClock) -> Runs:
    return Runs(clock)


def door_parts(runs: Runs, *installations: Installation, policy: RunPolicy | None = None) -> DoorParts:
    known = {each.id: each for each in installations}

    async def targets(found: TriggerState) -> tuple[Installation, ...]:
        return tuple(each for each in installations if found.installation in ("", each.id))

    return DoorParts(runs, _Counts(runs), runs.clock, lambda _: policy or RunPolicy(), targets, known.get)


async def advanced(clock: FakeClock, until: Callable[[], bool], step: float = 0.5) -> None:
    """Moves the clock until something has happened."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not until():
            clock.advance(seconds=step)
            for _ in range(5):
                await asyncio.sleep(0)
            await asyncio.sleep(0.001 if not until() else 0)


PAUSE = timedelta(seconds=1)
