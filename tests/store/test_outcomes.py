"""Outcomes in their order, and how far triggers have followed them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from moorage.models.execution import Execution, ExecutionState
from moorage.models.installation import Installation
from moorage.models.manifest import Trigger
from moorage.models.policy import Origin
from moorage.models.trigger import Declaration
from moorage.store.outcomes import Followed, Outcome
from moorage.store.store import Store

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture
async def store(store: Store, installation: Installation) -> Store:
    await store.installations.add(installation)
    trigger = Trigger("outcome", "etl/*", name="outcome")
    await store.triggers.put(Declaration("churn/outcome", trigger, Origin.MANIFEST, "churn"))
    return store


async def ended(store: Store, name: str, at: datetime | None) -> None:
    state = ExecutionState.QUEUED if at is None else ExecutionState.SUCCEEDED
    await store.executions.create(
        Execution(name, "etl", "etl", "1.0", "load", "cron", state, NOW, ended_at=at, trigger_id="etl/cron")
    )


async def names(store: Store, after: datetime, execution: str = "", limit: int = 10) -> list[str]:
    return [each.execution for each in await store.outcomes.ended(after, execution, limit=limit)]


async def test_they_come_in_the_order_of_their_ends(store: Store) -> None:
    for name, at in (("e-3", NOW), ("e-1", NOW + SECOND), ("e-2", NOW), ("e-0", NOW - SECOND), ("e-4", None)):
        await ended(store, name, at)
    assert await names(store, NOW) == ["e-2", "e-3", "e-1"]
    assert await names(store, NOW, limit=1) == ["e-2"]
    assert await names(store, NOW, "e-2") == ["e-3", "e-1"]
    assert await names(store, NOW, "e-3") == ["e-1"]
    assert await names(store, NOW + SECOND, "e-1") == []
    (first, *_) = await store.outcomes.ended(NOW, limit=10)
    assert first == Outcome("e-2", "etl", "load", ExecutionState.SUCCEEDED, "etl/cron", NOW)


async def test_how_far_it_is_grows_and_is_forgotten_with_the_trigger(store: Store) -> None:
    outcomes = store.outcomes
    assert await outcomes.follow("churn/outcome", NOW) == Followed(NOW, NOW)
    await outcomes.reached("churn/outcome", NOW + SECOND)
    await outcomes.reached("churn/outcome", NOW - SECOND)
    assert await outcomes.follow("churn/outcome", NOW + 5 * SECOND) == Followed(NOW, NOW + SECOND)
    await store.triggers.declare([], origins=[Origin.MANIFEST])
    trigger = Trigger("outcome", "etl/*", name="outcome")
    await store.triggers.put(Declaration("churn/outcome", trigger, Origin.MANIFEST, "churn"))
    assert await outcomes.follow("churn/outcome", NOW + 9 * SECOND) == Followed(NOW + 9 * SECOND, NOW + 9 * SECOND)
