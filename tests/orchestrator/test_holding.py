"""Under a debugger time stands still for what waits for the developer, and for nothing else."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from moorage.models.execution import ExecutionState
from moorage.orchestrator.orchestrator import Orchestrator

from .conftest import FakeClock, Sessions, forever, request


async def test_the_timeout_of_a_held_execution_stands_still(
    orchestrator: Orchestrator, sessions: Sessions, clock: FakeClock
) -> None:
    sessions.run = forever
    running = await orchestrator.submit(request(timeout=timedelta(seconds=10)))
    await sessions.until(lambda: bool(sessions.running))
    clock.advance(seconds=9)
    with orchestrator.held("churn", running.id):
        clock.advance(hours=1)
        with orchestrator.held("churn", running.id):
            clock.advance(hours=1)
        clock.advance(hours=1)
    await asyncio.sleep(0)
    assert orchestrator.open_ones() != ()

    clock.advance(seconds=1)
    assert (await orchestrator.wait(running.id)).state is ExecutionState.TIMED_OUT


async def test_the_timeout_of_one_that_is_not_held_goes_on(
    orchestrator: Orchestrator, sessions: Sessions, clock: FakeClock
) -> None:
    sessions.run = forever
    running = await orchestrator.submit(request(timeout=timedelta(seconds=10)))
    await sessions.until(lambda: bool(sessions.running))
    with orchestrator.held("churn", "another"):
        clock.advance(seconds=10)
        assert (await orchestrator.wait(running.id)).state is ExecutionState.TIMED_OUT


async def test_all_of_an_installation_are_held_while_it_loads(
    orchestrator: Orchestrator, sessions: Sessions, clock: FakeClock
) -> None:
    sessions.run = forever
    running = await orchestrator.submit(request(timeout=timedelta(seconds=10)))
    await sessions.until(lambda: bool(sessions.running))
    with orchestrator.held("churn"):
        clock.advance(hours=1)
        await asyncio.sleep(0)
        assert [execution.id for execution in orchestrator.open_ones()] == [running.id]
    clock.advance(seconds=10)
    assert (await orchestrator.wait(running.id)).state is ExecutionState.TIMED_OUT
