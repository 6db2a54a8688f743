"""Attempts, keys and what executions use, with real workers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from plugin_projects import write_plugin

from moorage.app import Host
from moorage.models.execution import ExecutionRequest, ExecutionState

TIMEOUT_SECONDS = 30

CRASHES_ONCE = """
    import os
    import time

    from moorage_sdk import Context, Plugin
    from moorage_sdk.config import Config

    plugin = Plugin()

    @plugin.task
    def execute(ctx: Context, input: str) -> int:
        if input == "crash" and ctx.attempt == 1:
            os._exit(3)
        if input == "raise" and ctx.attempt < 3:
            raise LookupError(f"attempt {ctx.attempt}")
        return ctx.attempt

    @plugin.task
    def burn(config: Config) -> None:
        kept = bytearray(40_000_000)
        until = time.process_time() + 0.3
        while time.process_time() < until:
            kept[::4096] = bytes(len(kept[::4096]))
        for _ in range(5):
            config["greeting"]
"""


@pytest.fixture
async def probe(host: Host, tmp_path: Path) -> Host:
    extra = """
    [tool.moorage.config]
    properties.greeting = { type = "string", default = "hello" }
    """
    project = write_plugin(tmp_path, CRASHES_ONCE, required=("config.read:greeting",), extra=extra)
    await host.install(project, grant_required=True)
    return host


@pytest.mark.parametrize(("given", "attempts"), [("crash", 2), ("raise", 3), ("", 1)])
async def test_the_task_knows_which_attempt_it_is(probe: Host, given: str, attempts: int) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        ended = await probe.run(ExecutionRequest("probe", input=given, attempts=3))
    assert (ended.state, ended.result, ended.attempt) == (ExecutionState.SUCCEEDED, attempts, attempts)
    history = await probe.execution_history(ended.id)
    assert len(history.attempts) == (attempts if attempts > 1 else 0)
    if given == "crash":
        assert [each.state for each in history.attempts] == ["crashed", "succeeded"]
        assert history.attempts[0].error is not None
        assert "code 3" in history.attempts[0].error.message
        assert history.attempts[0].worker != history.attempts[1].worker


async def test_what_a_run_used_is_measured(probe: Host) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        ended = await probe.run(ExecutionRequest("probe", task="burn"))
    assert ended.state is ExecutionState.SUCCEEDED, ended.error
    use = ended.use
    assert use is not None
    assert use.cpu_seconds is not None
    assert 0.2 < use.cpu_seconds < 10
    assert use.peak_memory_bytes is not None
    assert use.peak_memory_bytes > 40_000_000
    assert (use.calls, use.denied) == (5, 0)
    assert use.bytes > 0


async def test_a_key_is_run_once_and_a_retry_is_another(probe: Host) -> None:
    first, second = await asyncio.gather(*(probe.run(ExecutionRequest("probe", input="", key="k")) for _ in range(2)))
    assert first == second
    retried = await probe.wait((await probe.retry(first.id, by="dana")).id)
    assert (retried.state, retried.retry_of, retried.by) == (ExecutionState.SUCCEEDED, first.id, "dana")
    listed = await probe.executions(since=first.queued_at - timedelta(seconds=1))
    assert [each.id for each in listed] == [retried.id, first.id]
    assert await probe.executions(since=datetime.now(UTC) + timedelta(hours=1)) == ()
