"""Reloads of real workers: nothing is lost, and what fails is taken back."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from plugin_projects import write_plugin

from moorage.app import Host
from moorage.app.reloading import GrantsMissing
from moorage.events.events import ExecutionProgressed
from moorage.models.execution import ExecutionRequest, ExecutionState
from moorage.models.incarnation import VerdictKind
from moorage.supervisor.errors import ReloadFailed, ReloadUnderway

TIMEOUT_SECONDS = 30

VERSIONED = """
    import os, threading
    from pathlib import Path
    from typing import Optional
    from moorage_sdk import Context, Handover, Plugin

    VERSION = "1.0.0"
    plugin = Plugin()
    kept = {"count": 0, "from": ""}
    go_on = threading.Event()

    @plugin.on_upgrade
    def upgrade(from_version: str) -> None:
        kept["from"] = from_version

    @plugin.on_load
    def load(handover: Optional[Handover]) -> None:
        if handover is not None and handover.state is not None:
            kept["count"] = handover.state["count"]

    @plugin.export_state
    def export() -> dict:
        return {"count": kept["count"]}

    @plugin.task
    def execute() -> str:
        return VERSION

    @plugin.task
    def count() -> dict:
        kept["count"] += 1
        return dict(kept)

    @plugin.task
    def wait(ctx: Context) -> str:
        ctx.progress(0.5)
        ctx.wait_cancelled(2)
        return VERSION

    @plugin.task
    def write(input: str) -> list:
        with open("/data/lines", "a") as file:
            file.write(input + "\\n")
        return Path("/data/lines").read_text().split()
"""


def project(folder: Path, version: str = "1.0.0", *, code: str = "", extra: str = "", **options: object) -> Path:
    source = VERSIONED.replace('"1.0.0"', f'"{version}"').replace(
        "    plugin = Plugin()", f"    plugin = Plugin()\n{code}"
    )
    path = write_plugin(folder, source, extra=extra, **options)  # type: ignore[arg-type]
    manifest = path / "pyproject.toml"
    manifest.write_text(manifest.read_text().replace('version = "1.0.0"', f'version = "{version}"'))
    return path


async def numbers(host: Host) -> list[int]:
    """Of all workers, newest first."""
    return [each.number for each in (await host.installation("probe")).incarnations]


async def begun(host: Host, task: str) -> str:
    """An execution that runs: it has told of its progress."""
    async with asyncio.timeout(TIMEOUT_SECONDS), host.events.subscribe(ExecutionProgressed) as progressed:
        execution = await host.submit(ExecutionRequest("probe", task))
        async for event in progressed:
            if isinstance(event, ExecutionProgressed) and event.execution.id == execution.id:
                return execution.id
    raise AssertionError("the host has stopped")


CONCURRENT = "[tool.moorage.limits]\nconcurrency = 4"
PRIVATE = f"private_data = true\n{CONCURRENT}"


async def test_beside_the_old_one_finishes_what_it_has(host: Host, tmp_path: Path) -> None:
    await host.install(project(tmp_path, extra=CONCURRENT))
    assert await host.call("probe") == "1.0.0"
    running = await begun(host, "wait")
    project(tmp_path, "2.0.0", extra=CONCURRENT)
    steps: list[str] = []

    reload = asyncio.create_task(host.reload("probe", by="dana", progress=steps.append))
    while not any("takes over" in step for step in steps):
        assert await host.call("probe") in ("1.0.0", "2.0.0")
    while await host.call("probe") != "2.0.0":
        pass
    assert (await host.execution(running)).state is ExecutionState.RUNNING
    report = await reload

    assert (report.mode, report.from_version, report.to_version) == ("beside", "1.0.0", "2.0.0")
    assert (report.old, report.new) == ((1,), (2,))
    # One of the calls above may have been on its way in that moment.
    assert running in report.drained
    assert report.gap.total_seconds() == 0
    ended = await host.execution(running)
    assert (ended.state, ended.result) == (ExecutionState.SUCCEEDED, "1.0.0")
    view = await host.installation("probe")
    assert view.installation.manifest.version == "2.0.0"
    assert [(each.number, each.state.value) for each in view.incarnations] == [(2, "ready"), (1, "stopped")]
    assert view.incarnations[1].verdict is not None
    assert view.incarnations[1].verdict.kind is VerdictKind.PLANNED_STOP
    assert "#2 serves" in report.sentence


async def test_state_and_version_are_handed_over(host: Host, tmp_path: Path) -> None:
    await host.install(project(tmp_path))
    assert await host.call("probe", "count") == {"count": 1, "from": ""}
    await host.reload("probe")
    assert await host.call("probe", "count") == {"count": 2, "from": ""}
    project(tmp_path, "2.0.0")
    await host.reload("probe")
    assert await host.call("probe", "count") == {"count": 3, "from": "1.0.0"}
    # After a planned stop nothing is handed over; an upgrade that came meanwhile is told all the same.
    await host.stop("probe")
    assert await host.call("probe", "count") == {"count": 1, "from": ""}
    await host.stop("probe")
    project(tmp_path, "3.0.0")
    report = await host.reload("probe")
    assert (report.new, report.sentence) == ((), "probe 2.0.0 -> 3.0.0: installed; it does not run.")
    assert await host.call("probe", "count") == {"count": 1, "from": "2.0.0"}


async def test_in_turn_waits_and_loses_nothing(host: Host, tmp_path: Path) -> None:
    await host.install(project(tmp_path, extra=PRIVATE))
    assert await host.call("probe", "write", "one") == ["one"]
    running = await begun(host, "wait")
    project(tmp_path, "2.0.0", extra=PRIVATE)

    steps: list[str] = []
    reload = asyncio.create_task(host.reload("probe", progress=steps.append))
    while not any("new executions wait" in step for step in steps):
        await asyncio.sleep(0)
    meanwhile = [await host.submit(ExecutionRequest("probe", "write", f"line-{number}")) for number in range(3)]
    report = await reload

    assert (report.mode, report.old, report.new, report.drained) == ("in_turn", (1,), (2,), (running,))
    assert report.gap.total_seconds() > 0
    assert (await host.execution(running)).result == "1.0.0"
    assert [(await host.wait(each.id)).state for each in meanwhile] == [ExecutionState.SUCCEEDED] * 3
    assert set(await host.call("probe", "write", "last")) == {"one", "line-0", "line-1", "line-2", "last"}
    assert await host.call("probe") == "2.0.0"


SPOIL = """
    import sys
    with open("/data/lines", "w") as file:
        file.write("spoiled")
"""

FAILURES: dict[str, tuple[str, str]] = {
    "import": ("raise LookupError('no such table')", "LookupError: no such table"),
    "on_load": (
        "@plugin.provide(lifetime='plugin')\ndef made() -> int:\n    raise OSError('disk is odd')",
        "disk is odd",
    ),
    "health": ("@plugin.health\ndef health() -> str:\n    return 'the queue is gone'", "the queue is gone"),
    "exit": ("import os; os._exit(3)", "code 3"),
    "deadline": ("import time; time.sleep(60)", "was not ready within"),
    "dies when asked": ("@plugin.health\ndef health() -> None:\n    import os; os.abort()", "abort()"),
}


def _indented(code: str) -> str:
    return "".join(f"    {line}\n" for line in code.splitlines())


@pytest.mark.parametrize("mode", ["beside", "in_turn"])
@pytest.mark.parametrize("failure", FAILURES)
async def test_a_new_version_that_fails_leaves_everything_as_it_was(
    host: Host, tmp_path: Path, mode: str, failure: str
) -> None:
    limits = "private_data = true\n[tool.moorage.limits]\nstart_timeout = '5 s'"
    extra = f"reload = '{mode}'\n{limits}"
    await host.install(project(tmp_path, extra=extra))
    assert (await host.call("probe", "count"))["count"] == 1
    assert await host.call("probe", "write", "one") == ["one"]
    before = await host.installation("probe")
    code, words = FAILURES[failure]
    spoil = SPOIL if mode == "in_turn" else ""
    project(tmp_path, "2.0.0", code=f"{spoil}{_indented(code)}", extra=extra)

    with pytest.raises(ReloadFailed, match=r"probe was not reloaded to 2\.0\.0") as failed:
        await host.reload("probe")

    assert words in str(failed.value)
    after = await host.installation("probe")
    assert after.installation == before.installation
    assert await host.call("probe") == "1.0.0"
    assert (await host.call("probe", "count"))["count"] == 2
    assert await host.call("probe", "write", "two") == ["one", "two"]
    ready = [each.number for each in (await host.installation("probe")).incarnations if each.stopped_at is None]
    assert ready == ([1] if mode == "beside" else [3])
    # What is mended is taken.
    project(tmp_path, "2.0.1", extra=extra)
    assert (await host.reload("probe")).to_version == "2.0.1"
    assert await host.call("probe") == "2.0.1"
    assert await host.call("probe", "write", "three") == ["one", "two", "three"]


async def test_a_version_that_requires_more_is_refused_before_anything_stops(host: Host, tmp_path: Path) -> None:
    await host.install(project(tmp_path))
    await host.start("probe")
    project(tmp_path, "2.0.0", required=["sql.read:users"])

    with pytest.raises(GrantsMissing, match=r"sql\.read:users\. .*a test needs it\n.*--grant 'sql.read:users'"):
        await host.reload("probe")

    assert await numbers(host) == [1]
    assert (await host.installation("probe")).installation.manifest.version == "1.0.0"
    report = await host.reload("probe", grant=["sql.read:users"], by="dana")
    assert (report.new, report.to_version) == ((2,), "2.0.0")
    assert await host.call("probe") == "2.0.0"


async def test_an_export_that_raises_stops_nothing(host: Host, tmp_path: Path) -> None:
    code = VERSIONED.replace('return {"count": kept["count"]}', 'raise LookupError("lost count")')
    await host.install(write_plugin(tmp_path, code))
    await host.start("probe")
    with pytest.raises(ReloadFailed, match=r"lost count.*stop it first: moorage stop probe.*What ran before goes on"):
        await host.reload("probe")
    assert await numbers(host) == [1]
    await host.stop("probe")
    assert (await host.reload("probe", start=True)).new == (2,)


async def test_several_workers_are_replaced_together(host: Host, tmp_path: Path) -> None:
    await host.install(project(tmp_path))
    await host.scale("probe", 3)
    await host.start("probe")
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while len([each for each in (await host.installation("probe")).incarnations if each.ready_at]) < 3:
            await asyncio.sleep(0.01)
    project(tmp_path, "2.0.0")
    report = await host.reload("probe")
    assert (report.old, report.new) == ((1, 2, 3), (4, 5, 6))
    assert {await host.call("probe") for _ in range(6)} == {"2.0.0"}


async def test_one_reload_at_a_time(host: Host, tmp_path: Path) -> None:
    await host.install(project(tmp_path, extra=CONCURRENT))
    await begun(host, "wait")
    both = await asyncio.gather(host.reload("probe"), host.reload("probe"), return_exceptions=True)
    refused = [each for each in both if isinstance(each, ReloadUnderway)]
    assert len(refused) == 1, both
    assert "is being reloaded already" in str(refused[0])
    assert await numbers(host) == [2, 1]
    assert (await host.reload("probe")).new == (3,)


async def test_a_stop_during_a_reload_counts(host: Host, tmp_path: Path) -> None:
    await host.install(project(tmp_path, extra=PRIVATE))
    await host.call("probe", "write", "one")
    await begun(host, "wait")
    steps: list[str] = []
    reload = asyncio.create_task(host.reload("probe", progress=steps.append))
    while not any("new executions wait" in step for step in steps):
        await asyncio.sleep(0)
    await host.stop("probe")
    with pytest.raises(ReloadFailed, match="It stays stopped"):
        await reload
    assert all(each.stopped_at for each in (await host.installation("probe")).incarnations)
    assert await host.call("probe", "write", "two") == ["one", "two"]


async def test_a_plain_stop_cuts_a_long_drain_short(host: Host, tmp_path: Path) -> None:
    extra = f"{CONCURRENT}\ndrain_timeout = '1 s'"
    await host.install(project(tmp_path, extra=extra))
    slow = VERSIONED.replace("wait_cancelled(2)", "wait_cancelled(60)")
    write_plugin(tmp_path, slow, extra=extra)
    await host.reload("probe", start=True)
    running = await begun(host, "wait")
    reload = asyncio.create_task(host.reload("probe"))
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while (await numbers(host))[0] < 2 or not (await host.installation("probe")).incarnations[0].ready_at:
            await asyncio.sleep(0.01)
        await host.stop("probe")
        await asyncio.wait((reload,))
    assert (await host.wait(running)).state is ExecutionState.CANCELLED


async def test_the_host_stops_in_the_middle_of_a_reload(
    open_host: Callable[..., object], settings: object, tmp_path: Path
) -> None:
    extra = "private_data = true"
    async with open_host() as host:  # type: ignore[attr-defined]
        await host.install(project(tmp_path, extra=extra))
        assert await host.call("probe", "write", "one") == ["one"]
        project(tmp_path, "2.0.0", code=f"{SPOIL}    import time; time.sleep(60)\n", extra=extra)
        reload = asyncio.create_task(host.reload("probe"))
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while (await numbers(host))[0] < 2:
                await asyncio.sleep(0.01)
    assert isinstance(reload.exception(), ReloadFailed)
    async with open_host() as host:  # type: ignore[attr-defined]
        assert await host.call("probe") == "1.0.0"
        assert await host.call("probe", "write", "two") == ["one", "two"]


def stored_version(settings: object) -> str:
    with sqlite3.connect(settings.store_path) as connection:  # type: ignore[attr-defined]
        return str(connection.execute("SELECT version FROM installations").fetchone()[0])


async def test_a_restart_brings_new_workers_of_the_same_version_and_loses_nothing(host: Host, tmp_path: Path) -> None:
    await host.install(project(tmp_path))
    started = await host.restart("probe")
    assert (started.old, started.new) == ((), (1,))
    await host.call("probe", "count")
    async with asyncio.timeout(TIMEOUT_SECONDS):
        async with host.events.subscribe(ExecutionProgressed) as progressed:
            waiting = asyncio.create_task(host.call("probe", "wait"))
            async for _ in progressed:
                break
        # What lies in the folder meanwhile is not what runs.
        project(tmp_path, "2.0.0")
        report = await host.restart("probe", mode="beside")
        assert await waiting == "1.0.0"
    assert (report.old, report.new, report.from_version, report.to_version) == ((1,), (2,), "1.0.0", "1.0.0")
    assert await host.call("probe") == "1.0.0"
    assert (await host.call("probe", "count"))["count"] == 2
