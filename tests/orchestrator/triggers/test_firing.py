"""What a tick starts."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from moorage.models.installation import DesiredState
from moorage.orchestrator.triggers.base import NotNow
from moorage.orchestrator.triggers.firing import Firing
from moorage.orchestrator.triggers.tick import Tick

from .conftest import Runs, door_parts, installation, state

AT = datetime(2026, 11, 20, 6, 0, tzinfo=UTC)
NIGHTLY = state("cron", "0 6 * * *", "nightly", options={"attempts": 2})
TICK = Tick("churn/nightly", AT, AT, missed=3)


async def test_one_execution_under_the_key_of_the_tick(runs: Runs) -> None:
    (execution,) = await Firing(door_parts(runs, installation()), lambda _: "").fire(NIGHTLY, TICK)
    (request,) = runs.requests
    assert (request.key, request.trigger_id, request.trigger) == (
        "churn/nightly@2026-11-20T06:00:00Z",
        "churn/nightly",
        "cron",
    )
    assert (request.patient, request.attempts) == (True, 2)
    assert request.input["missed"] == 3
    assert execution.key == request.key


async def test_a_triggers_own_input_counts(runs: Runs) -> None:
    await Firing(door_parts(runs, installation()), lambda _: "").fire(state("cron", input={"full": True}), TICK)
    assert runs.requests[0].input == {"full": True}


async def test_one_that_may_not_run_leaves_the_tick_due(runs: Runs) -> None:
    firing = Firing(door_parts(runs), lambda _: "It is held.")
    with pytest.raises(NotNow, match="It is held"):
        await firing.fire(NIGHTLY, TICK)


async def test_one_that_selects_fires_for_each_and_for_none(runs: Runs) -> None:
    everywhere = state("cron", "0 6 * * *", "all", installation="")
    parts = door_parts(runs, installation("a"), installation("b", desired=DesiredState(replicas=2)))
    assert len(await Firing(parts, lambda _: "").fire(everywhere, Tick("all", AT, AT))) == 2
    assert [each.key for each in runs.requests] == ["all@2026-11-20T06:00:00Z@a", "all@2026-11-20T06:00:00Z@b"]
    assert await Firing(door_parts(runs), lambda _: "").fire(everywhere, Tick("all", AT, AT)) == []
