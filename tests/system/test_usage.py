"""What workers use, as people see it; and a worker that uses more memory than it may."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from plugin_projects import write_plugin

from moorage.app import Host
from moorage.models.execution import ExecutionRequest, ExecutionState
from moorage.models.incarnation import VerdictKind
from moorage.models.usage import Usage

TIMEOUT_SECONDS = 30

PLUGIN = """
    import os, time
    from moorage_sdk import Plugin

    plugin = Plugin()

    @plugin.task
    def execute(input: float) -> int:
        until = time.monotonic() + input
        while time.monotonic() < until:
            pass
        with open("/data/written", "wb") as file:
            file.write(b"x" * 4_000_000)
            os.fsync(file.fileno())
        return os.getpid()

    @plugin.task
    def fill() -> None:
        block = b"x" * 1_048_576
        for name in ("/tmp/filled", "/dev/shm/filled"):
            with open(name, "wb") as file:
                for _ in range(60):
                    file.write(block)
"""


async def looked_at(host: Host, name: str) -> Usage:
    """A fresh look: one that is too soon after another shows the other."""
    (view,) = [view for view in await host.installations(look=True) if view.installation.id == name]
    assert view.usage is not None
    return view.usage


async def test_cpu_memory_and_calls_are_shown(host: Host, tmp_path: Path) -> None:
    await host.install(write_plugin(tmp_path, PLUGIN, name="burner"))
    assert (await host.installation("burner")).usage is None
    await host.start("burner")
    before = await looked_at(host, "burner")
    assert before.processes == 1
    assert 1 << 20 < before.memory_bytes < 256 << 20
    await host.call("burner", input=0.8)
    after = await looked_at(host, "burner")
    assert after.cpu_seconds - before.cpu_seconds > 0.2
    assert 10 < after.cpu_percent < 250
    assert after.peak_memory_bytes >= after.memory_bytes
    if os.geteuid() == 0:
        assert after.written_bytes - before.written_bytes >= 4_000_000
        assert after.descriptors >= 3
    await host.stop("burner")
    assert (await host.installation("burner")).usage is None


async def test_a_bound_without_effect_is_said(open_host, settings, tmp_path: Path) -> None:
    project = write_plugin(tmp_path, PLUGIN, name="burner", extra="[tool.moorage.limits]\ncpus = 0.5")
    sandbox = settings.sandbox.model_copy(update={"cgroup": "off"})
    async with open_host(sandbox=sandbox) as host:
        await host.install(project)
        await host.start("burner")
        view = await host.installation("burner")
        assert view.unenforced.startswith("limits.cpus (0.5) has no effect here: ")
        assert "sandbox.cgroup" in view.unenforced
        report = await host.sandbox_report()
        assert (report.layers["cgroup"], report.level) == ("missing", "full")
        assert "cgroup" in [missing.layer for missing in report.missing]
        # What cannot be bounded gives way to the host.
        assert os.getpriority(os.PRIO_PROCESS, view.incarnations[0].pid) == 10
    async with open_host() as host:
        bounded = "CPU" in (await host.sandbox_report()).layers["cgroup"]
        view = await host.start("burner")
        assert os.getpriority(os.PRIO_PROCESS, view.incarnations[0].pid) == (0 if bounded else 10)


async def test_too_much_memory_is_a_verdict(host: Host, tmp_path: Path) -> None:
    if "memory" not in (await host.sandbox_report()).layers["cgroup"]:
        pytest.skip("no control group bounds memory here")
    await host.install(write_plugin(tmp_path, PLUGIN, name="hog", extra="[tool.moorage.limits]\nmemory = '100 MiB'"))
    await host.install(write_plugin(tmp_path, PLUGIN, name="neighbour"))
    await host.start("neighbour")
    async with asyncio.timeout(TIMEOUT_SECONDS):
        execution = await host.run(ExecutionRequest("hog", "fill"))
    assert execution.state is ExecutionState.CRASHED, execution.error
    (verdict,) = [each.verdict for each in (await host.installation("hog")).incarnations if each.verdict]
    assert verdict.kind is VerdictKind.OUT_OF_MEMORY
    assert "more than its 100 MiB of memory" in verdict.sentence
    assert await host.call("neighbour", input=0.0)
