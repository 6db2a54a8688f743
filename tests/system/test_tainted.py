"""Work that goes on after its end does not take the installation with it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from plugin_projects import write_plugin

from moorage.app import Host
from moorage.broker import attached
from moorage.events.events import Crashed
from moorage.models.execution import ExecutionRequest, ExecutionState
from moorage.models.incarnation import VerdictKind
from moorage.supervisor import incarnation

DEAF = """
    import asyncio
    import threading
    from moorage_sdk import Plugin

    plugin = Plugin()

    @plugin.task
    async def loop_blocked() -> None:
        threading.Event().wait()

    @plugin.task
    def thread_blocked() -> None:
        threading.Event().wait()

    @plugin.task
    async def patient() -> None:
        await asyncio.Event().wait()

    @plugin.task
    def execute() -> str:
        return "done"
"""


@pytest.fixture
async def deaf(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr(attached, "GRACE", timedelta(seconds=0.3))
    monkeypatch.setattr(incarnation, "LEAVE_TIMEOUT", timedelta(seconds=0.2))
    monkeypatch.setattr(incarnation, "UNLOAD_TIMEOUT", timedelta(seconds=0.2))
    await host.install(write_plugin(tmp_path, DEAF))
    assert await host.call("probe") == "done"
    return host


@pytest.mark.parametrize("task", ["loop_blocked", "thread_blocked"])
async def test_a_worker_in_which_work_goes_on_past_its_end_is_replaced(deaf: Host, task: str) -> None:
    first = (await deaf.installation("probe")).incarnations[0]
    async with asyncio.timeout(30), deaf.events.subscribe(Crashed) as crashes:
        execution = await deaf.run(ExecutionRequest("probe", task, timeout=timedelta(seconds=0.2)))
        crash = await crashes.__anext__()

    assert execution.state is ExecutionState.TIMED_OUT
    assert crash.incarnation.id == first.id
    assert crash.incarnation.verdict.kind is VerdictKind.TAINTED
    assert execution.id in crash.incarnation.verdict.sentence
    assert await deaf.call("probe") == "done"
    assert (await deaf.installation("probe")).incarnations[0].number == first.number + 1


async def test_a_worker_whose_task_stops_when_it_is_told_stays(deaf: Host) -> None:
    first = (await deaf.installation("probe")).incarnations[0]

    execution = await deaf.run(ExecutionRequest("probe", "patient", timeout=timedelta(seconds=0.2)))

    assert execution.state is ExecutionState.TIMED_OUT
    assert await deaf.call("probe") == "done"
    assert (await deaf.installation("probe")).incarnations[0].id == first.id
