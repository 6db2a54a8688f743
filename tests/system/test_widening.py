"""Grants that widen the sandbox, and the bounds of a data folder, through a whole host."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from plugin_projects import write_plugin

from moorage.app import Host
from moorage.errors import Conflict
from moorage.models.execution import Execution, ExecutionRequest, ExecutionState
from moorage.models.incarnation import VerdictKind

SPAWN = """
    import subprocess
    import sys

    from moorage_sdk import Plugin

    plugin = Plugin()

    @plugin.task
    def execute() -> str:
        done = subprocess.run([sys.executable, "-c", "print(6 * 7)"], capture_output=True, text=True, check=True)
        return done.stdout.strip()
"""

FILL = """
    import time

    from moorage_sdk import Plugin

    plugin = Plugin()

    @plugin.task
    def execute(input: int) -> None:
        with open("/data/much", "wb") as file:
            for _ in range(input):
                file.write(bytes(1 << 20))
        time.sleep(30)
"""

FORBIDDEN = """
    import ctypes

    from moorage_sdk import Plugin

    plugin = Plugin()

    @plugin.task
    def execute() -> int:
        return ctypes.CDLL(None).ptrace(0, 0, 0, 0)
"""


async def run(host: Host, name: str, **more: Any) -> Execution:
    return await host.run(ExecutionRequest(name, **more))


async def test_processes_come_and_go_with_their_grant(host: Host, tmp_path: Path) -> None:
    project = write_plugin(tmp_path, SPAWN, name="spawner", optional=["sandbox.subprocess"])
    told: list[str] = []
    await host.install(project, progress=told.append)
    assert not any("no service" in line for line in told)
    assert (await run(host, "spawner")).state is ExecutionState.FAILED
    (view,) = (await host.grant("spawner", ["sandbox.subprocess"], by="ada")).grants
    assert "processes of its own" in view.meaning
    assert (await run(host, "spawner")).result == "42"
    await host.revoke("spawner", ["sandbox.subprocess"], by="ada")
    assert (await run(host, "spawner")).state is ExecutionState.FAILED


async def test_a_full_data_folder_ends_the_worker_and_keeps_it_from_starting(
    host: Host, tmp_path: Path, state_dir: Path
) -> None:
    project = write_plugin(tmp_path, FILL, name="filler", extra='[tool.moorage.limits]\ndata = "4 MiB"')
    await host.install(project)
    failed = await run(host, "filler", input=8)
    assert failed.state is ExecutionState.CRASHED
    assert failed.error is not None
    assert failed.error.type == VerdictKind.DISK_FULL
    with pytest.raises(Conflict, match="data folder is full"):
        await host.start("filler")
    (state_dir / "data" / "filler" / "much").unlink()
    await host.start("filler")


async def test_a_forbidden_call_is_named_to_people(host: Host, tmp_path: Path) -> None:
    await host.install(write_plugin(tmp_path, FORBIDDEN, name="tracer"))
    failed = await run(host, "tracer")
    assert failed.error is not None
    assert failed.error.type == VerdictKind.FORBIDDEN_SYSTEM_CALL
    assert "called ptrace" in failed.error.message
    async with asyncio.timeout(10):
        while (await host.installation("tracer")).state != "quarantined":
            await asyncio.sleep(0.01)
