"""``moorage dev``: reload on save, live logs, and a breakpoint that waits for its developer."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from plugin_projects import write_plugin

from moorage.app import Host
from moorage.cli.development import DevelopmentSession, Work, watch_folder
from moorage.config.settings import Settings
from moorage.models.execution import ExecutionRequest, ExecutionState

WAIT_SECONDS = 30

STOPS = """
    import time
    from moorage_sdk import Plugin

    plugin = Plugin()

    @plugin.task
    def execute() -> int:
        answer = 41
        breakpoint()
        return answer

    @plugin.task
    async def waits_in_async() -> int:
        answer = 42
        breakpoint()
        return answer

    @plugin.task
    def sleeps() -> None:
        time.sleep(30)
"""
SHORT = """
    [tool.moorage.limits]
    timeout = "1 s"
    start_timeout = "10 s"
"""
GREETS = """
    import logging
    from moorage_sdk import Plugin

    plugin = Plugin()

    @plugin.task
    def execute(log: logging.Logger) -> str:
        log.info("says {greeting}")
        return "{greeting}"
"""


FAILS = """
    from moorage_sdk import Plugin

    plugin = Plugin()

    @plugin.task
    def execute() -> None:
        raise LookupError("nobody there")
"""


class Developer:
    """Types what a test says, when the debugger asks."""

    def __init__(self) -> None:
        self.written = ""
        self.asked: asyncio.Queue[str] = asyncio.Queue()
        self.answers: asyncio.Queue[str | None] = asyncio.Queue()

    def write(self, installation: str, text: str) -> None:
        self.written += text

    async def read_line(self, installation: str, prompt: str) -> str | None:
        self.asked.put_nowait(prompt)
        return await self.answers.get()


@pytest.fixture
def developer() -> Developer:
    return Developer()


@pytest.fixture
async def host(settings: Settings, developer: Developer, tmp_path: Path) -> AsyncIterator[Host]:
    async with Host(settings, console=developer) as opened:
        await opened.install(write_plugin(tmp_path, STOPS, extra=SHORT))
        yield opened


@pytest.mark.parametrize(("task", "expected"), [("execute", 41), ("waits_in_async", 42)])
async def test_a_breakpoint_asks_the_developer_and_time_stands_still(
    host: Host, developer: Developer, task: str, expected: int
) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        running = asyncio.create_task(host.run(ExecutionRequest("probe", task=task)))
        assert await developer.asked.get() == "(Pdb) "
        # Longer than the execution may take: the developer thinks.
        await asyncio.sleep(1.5)
        developer.answers.put_nowait("p answer")
        await developer.asked.get()
        developer.answers.put_nowait("continue")
        execution = await running
    assert (execution.state, execution.result) == (ExecutionState.SUCCEEDED, expected)
    assert f"{expected}\n" in developer.written
    assert "probe.py" in developer.written


async def test_without_a_breakpoint_the_same_timeout_holds(host: Host) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        execution = await host.run(ExecutionRequest("probe", task="sleeps"))
    assert execution.state is ExecutionState.TIMED_OUT


async def test_a_terminal_that_ends_lets_the_plugin_go(host: Host, developer: Developer) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        developer.answers.put_nowait(None)
        execution = await host.run(ExecutionRequest("probe"))
    assert execution.state is ExecutionState.FAILED
    assert execution.error is not None
    assert execution.error.type == "bdb.BdbQuit"


async def test_a_host_without_a_developer_has_no_debugger(settings: Settings, tmp_path: Path) -> None:
    async with Host(settings) as host, asyncio.timeout(WAIT_SECONDS):
        await host.install(write_plugin(tmp_path, STOPS, extra=SHORT))
        execution = await host.run(ExecutionRequest("probe"))
    # Python's own, on a standard input that has nothing.
    assert execution.state is ExecutionState.FAILED


async def test_each_save_brings_the_plugin_up_anew_and_what_is_broken_changes_nothing(
    settings: Settings, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = write_plugin(tmp_path, GREETS.format(greeting="hello"))
    saves: asyncio.Queue[Path] = asyncio.Queue()
    seen = ""

    async def watch(_folder: Path) -> AsyncIterator[Sequence[Path]]:
        while True:
            yield [await saves.get()]

    async def printed(text: str) -> None:
        nonlocal seen
        while text not in seen:
            out, err = capfd.readouterr()
            seen += out + err
            await asyncio.sleep(0.02)

    async with Host(settings) as host, asyncio.timeout(WAIT_SECONDS * 2):
        session = asyncio.create_task(DevelopmentSession(host, folder, Work("execute")).follow(watch))
        try:
            await printed("says hello")
            assert "#1 ready" in seen
            (folder / "probe.py").write_text("def broken(:")
            saves.put_nowait(Path("probe.py"))
            await printed("Waiting for the next change.")
            assert "SyntaxError" in seen
            assert await host.call("probe") == "hello"
            write_plugin(tmp_path, GREETS.format(greeting="good evening"))
            saves.put_nowait(Path("probe.py"))
            await printed("says good evening")
            assert await host.call("probe") == "good evening"
        finally:
            session.cancel()
            await asyncio.wait((session,))


async def test_what_a_trigger_starts_in_vain_is_shown(
    settings: Settings, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = write_plugin(tmp_path, FAILS, extra="tags = ['AutoRun']")

    async def watch(_folder: Path) -> AsyncIterator[Sequence[Path]]:
        await asyncio.Event().wait()
        yield []

    seen = ""
    async with Host(settings) as host, asyncio.timeout(WAIT_SECONDS):
        session = asyncio.create_task(DevelopmentSession(host, folder).follow(watch))
        try:
            while "LookupError: nobody there" not in seen or "probe execute: failed" not in seen:
                seen += capfd.readouterr().out
                await asyncio.sleep(0.02)
        finally:
            session.cancel()
            await asyncio.wait((session,))


async def test_the_watch_tells_of_files_of_the_plugin_alone(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    (folder / "__pycache__").mkdir(parents=True)
    changes = watch_folder(folder)
    async with asyncio.timeout(WAIT_SECONDS):
        first = asyncio.ensure_future(changes.__anext__())
        number = 0
        while not first.done():
            # Until the watch stands, changes go by unseen.
            number += 1
            (folder / "__pycache__" / "plugin.pyc").write_text(str(number))
            (folder / "plugin.py").write_text(str(number))
            await asyncio.wait((first,), timeout=0.2)
        assert first.result() == [Path("plugin.py")]
    await changes.aclose()


@pytest.mark.parametrize("task", ["execute", "waits_in_async", "sleeps"])
async def test_ctrl_c_does_not_wait_for_what_runs(tmp_path: Path, state_dir: Path, run_dir: Path, task: str) -> None:
    """Whoever stands at a breakpoint lets nothing finish, and a developer's work is not worth a wait."""
    folder = write_plugin(tmp_path, STOPS.replace("time.sleep(30)", 'print("sleeps", flush=True); time.sleep(60)'))
    began = b"sleeps" if task == "sleeps" else b"(Pdb) "
    process, output = await developing(tmp_path, folder, state_dir, run_dir, task, until=began)
    assert process.stdout is not None
    async with asyncio.timeout(WAIT_SECONDS * 0.8):
        process.send_signal(signal.SIGINT)
        output += await process.stdout.read()
        assert await process.wait() == 0
    assert b"a second Ctrl-C" in output
    assert output.rstrip().endswith(b"Stopped.")


async def test_the_command_stops_cleanly(tmp_path: Path, state_dir: Path, run_dir: Path) -> None:
    folder = write_plugin(tmp_path, GREETS.format(greeting="hello"))
    process, output = await developing(tmp_path, folder, state_dir, run_dir, "execute", until=b"says hello")
    assert process.stdout is not None
    async with asyncio.timeout(WAIT_SECONDS):
        process.send_signal(signal.SIGINT)
        output += await process.stdout.read()
        assert await process.wait() == 0
    assert b"Stopped." in output
    assert b"Traceback" not in output


async def developing(
    tmp_path: Path, folder: Path, state_dir: Path, run_dir: Path, task: str, *, until: bytes
) -> tuple[asyncio.subprocess.Process, bytes]:
    """The command, and what it has printed by the time that this was in it. Nobody types anything."""
    config = tmp_path / "moorage.toml"
    config.write_text(f'state_dir = "{state_dir}"\n')
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "moorage", "dev", str(folder), "--run", task, "--config", str(config)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "XDG_RUNTIME_DIR": str(run_dir)},
    )
    assert process.stdout is not None
    output = b""
    async with asyncio.timeout(WAIT_SECONDS * 2):
        while until not in output:
            part = await process.stdout.read(2**16)
            assert part, output.decode()
            output += part
    return process, output
