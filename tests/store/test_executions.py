from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from moorage.models.execution import Execution, ExecutionError, ExecutionState, WorkerFacts
from moorage.store.errors import ExecutionUnknown, NotStorable
from moorage.store.store import Store

from .conftest import NOW

FACTS = WorkerFacts("churn-1-ab", 1, 4711, "3.9.18", "3.20.3", "1.49.1", "full")


def queued(identity: str = "e-1", **values: Any) -> Execution:
    return Execution(identity, "churn", "churn", "1.2.0", "execute", "manual", ExecutionState.QUEUED, NOW, **values)


async def test_its_life_is_recorded(store: Store) -> None:
    execution = queued(input={"since": NOW, "price": Decimal("1.50")})
    await store.executions.create(execution)
    assert await store.executions.get("e-1") == execution
    assert await store.executions.open_ones() == (execution,)

    assert await store.executions.started("e-1", at=NOW, worker=FACTS)
    assert await store.executions.progressed("e-1", progress=0.5, message="half")
    running = await store.executions.get("e-1")
    assert running == replace(
        execution,
        state=ExecutionState.RUNNING,
        started_at=NOW,
        worker=FACTS,
        progress=0.5,
        progress_message="half",
    )

    ended = replace(
        running, state=ExecutionState.SUCCEEDED, ended_at=NOW + timedelta(seconds=2), result=[1, b"x"], progress=1.0
    )
    assert await store.executions.finished(ended)
    assert await store.executions.get("e-1") == ended
    assert await store.executions.open_ones() == ()


async def test_an_error_is_kept_whole(store: Store) -> None:
    error = ExecutionError("churn.NoUsers", "There are no users.", "Traceback...", "add one")
    await store.executions.create(replace(queued(), state=ExecutionState.REJECTED, ended_at=NOW, error=error))

    assert (await store.executions.get("e-1")).error == error


async def test_the_first_outcome_stays(store: Store) -> None:
    await store.executions.create(queued())
    outcomes = [state for state in ExecutionState if state.is_outcome]

    won = await asyncio.gather(
        *(store.executions.finished(replace(queued(), state=state, ended_at=NOW)) for state in outcomes)
    )

    assert won.count(True) == 1
    assert (await store.executions.get("e-1")).state is outcomes[won.index(True)]


async def test_what_has_an_outcome_neither_starts_nor_progresses(store: Store) -> None:
    await store.executions.create(queued())
    assert not await store.executions.progressed("e-1", progress=0.1, message="")
    await store.executions.finished(replace(queued(), state=ExecutionState.CANCELLED, ended_at=NOW))

    assert not await store.executions.started("e-1", at=NOW, worker=FACTS)
    assert not await store.executions.progressed("e-1", progress=0.1, message="")
    assert (await store.executions.get("e-1")).state is ExecutionState.CANCELLED


async def test_an_open_state_is_no_outcome(store: Store) -> None:
    await store.executions.create(queued())
    with pytest.raises(ValueError, match="no outcome"):
        await store.executions.finished(replace(queued(), state=ExecutionState.RUNNING))


async def test_lists_are_newest_first(store: Store) -> None:
    for number in range(5):
        await store.executions.create(replace(queued(f"e-{number}"), installation="ab"[number % 2]))

    assert [found.id for found in await store.executions.list(limit=3)] == ["e-4", "e-3", "e-2"]
    assert [found.id for found in await store.executions.list(installation="b")] == ["e-3", "e-1"]


async def test_a_value_of_no_kind_is_refused_with_a_sentence(store: Store) -> None:
    with pytest.raises(NotStorable, match="holds a object"):
        await store.executions.create(queued(input=object()))
    with pytest.raises(ExecutionUnknown, match="e-1"):
        await store.executions.get("e-1")
