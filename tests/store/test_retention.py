from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from moorage.models.execution import ExecutionState
from moorage.models.incarnation import IncarnationState, IncarnationStatus, Verdict, VerdictKind
from moorage.models.retention import Extent, History
from moorage.store import retention
from moorage.store.store import Store

from .conftest import NOW
from .test_executions import queued
from .test_history import ENTRY, LINE

DAY = timedelta(days=1)


async def ended(store: Store, number: int, installation: str = "churn") -> None:
    execution = replace(queued(f"e-{number}"), installation=installation)
    at = NOW + number * DAY
    await store.executions.create(replace(execution, state=ExecutionState.SUCCEEDED, ended_at=at, queued_at=at))


async def test_executions_go_by_age_and_open_ones_never(store: Store) -> None:
    await store.executions.create(replace(queued("e-open"), queued_at=NOW - 1000 * DAY))
    for number in range(5):
        await ended(store, number)

    assert await store.retention.executions_before(NOW + 3 * DAY, 2) == 2
    assert await store.retention.executions_before(NOW + 3 * DAY, 2) == 1
    assert await store.retention.executions_before(NOW + 3 * DAY, 2) == 0

    assert {each.id for each in await store.executions.list()} == {"e-open", "e-3", "e-4"}


async def test_executions_go_by_number_for_each_installation(store: Store) -> None:
    await store.executions.create(queued("e-0-open"))
    for number in range(10):
        await ended(store, number, "ab"[number % 2])

    gone = [await store.retention.executions_beyond(3, 2) for _ in range(3)]

    assert (sorted(gone), await store.retention.executions_beyond(3, 2)) == ([0, 2, 2], 0)
    assert {each.id for each in await store.executions.list(installation="a")} == {"e-4", "e-6", "e-8"}
    assert (await store.executions.get("e-0-open")).state is ExecutionState.QUEUED


async def test_lines_go_by_age(store: Store) -> None:
    await store.logs.append([replace(LINE, time=NOW + number * DAY) for number in (0, 1, 9, 2, 3, 4)])

    assert await store.retention.logs_before(NOW + 3 * DAY, 0, 3) == (2, 3)
    assert await store.retention.logs_before(NOW + 3 * DAY, 3, 2) == (1, 5)
    assert await store.retention.logs_before(NOW + 3 * DAY, 5, 2) == (0, 6)
    assert await store.retention.logs_before(NOW + 3 * DAY, 6, 2) == (0, 0)
    assert [(line.time - NOW).days for line in await store.logs.read()] == [9, 3, 4]


async def test_lines_go_by_size_the_oldest_first(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_PAGE", 4)
    lines = [replace(LINE, message="x" * 100, fields={}, logger="", exception="") for _ in range(10)]
    await store.logs.append(lines)
    assert await store.retention.logs_beyond(1000) == 0

    last = await store.retention.logs_beyond(450)

    assert (last, await store.retention.logs_up_to(last, 4), await store.retention.logs_up_to(last, 4)) == (6, 4, 2)
    assert len(await store.logs.read()) == 4
    assert (await store.retention.extent(History.LOGS)).size == 400


async def test_of_workers_the_newest_stays(store: Store) -> None:
    verdict = Verdict(VerdictKind.EXITED, "No.")
    for number in range(1, 5):
        state = IncarnationState.READY if number == 2 else IncarnationState.STOPPED
        worker = IncarnationStatus(f"i-{number}", number, "churn", state, 0, "zygote", "full", NOW)
        stopped = replace(worker, verdict=verdict, stopped_at=NOW) if number != 2 else worker
        await store.incarnations.record(stopped)

    assert await store.retention.incarnations_before(NOW + DAY, 10) == 2
    assert [each.number for each in await store.incarnations.list("churn")] == [4, 2]


async def test_how_much_there_is(store: Store) -> None:
    assert await store.retention.extent(History.AUDIT) == Extent(0, None)
    assert await store.retention.extent(History.LOGS) == Extent(0, None, 0)
    await store.audit.append([replace(ENTRY, time=NOW + DAY), ENTRY])
    assert await store.retention.extent(History.AUDIT) == Extent(2, NOW)
    assert await store.retention.extent(History.EXECUTIONS) == Extent(0, None)
