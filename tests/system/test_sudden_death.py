"""Workers and hosts that are killed at the worst moment."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from plugin_projects import write_plugin

from moorage.app import Host
from moorage.config.settings import Settings
from moorage.events.events import ExecutionProgressed
from moorage.models.execution import ExecutionRequest, ExecutionState
from moorage.models.incarnation import VerdictKind

WRITER = """
    import threading
    from moorage_sdk import Context, Plugin
    from moorage_sdk.sql import Connection

    plugin = Plugin()

    @plugin.task
    def execute(ctx: Context, db: Connection, input: str) -> str:
        db.cursor().execute("INSERT INTO users (name) VALUES (?)", (input,))
        ctx.progress(0.5, "written, not committed")
        if input == "doomed":
            threading.Event().wait()
        return input
"""

RIGHTS = ["sql.read:users", "sql.write:users"]
TIMEOUT_SECONDS = 20


def names(database: Path) -> list[str]:
    connection = sqlite3.connect(database)
    try:
        return [name for (name,) in connection.execute("SELECT name FROM users ORDER BY id")]
    finally:
        connection.close()


async def half_way(host: Host, request: ExecutionRequest) -> str:
    """Submits, and returns the execution's id when the plugin has said that it is half way."""
    async with asyncio.timeout(TIMEOUT_SECONDS), host.events.subscribe(ExecutionProgressed) as progressed:
        execution = await host.submit(request)
        async for event in progressed:
            assert isinstance(event, ExecutionProgressed)
            if event.execution.id == execution.id:
                return execution.id
    raise AssertionError("the host has stopped")


async def test_a_killed_worker_is_rolled_back_and_recorded(host: Host, tmp_path: Path, database: Path) -> None:
    await host.install(write_plugin(tmp_path, WRITER, name="victim", required=RIGHTS), grant_required=True)
    await host.install(write_plugin(tmp_path, WRITER, name="bystander", required=RIGHTS), grant_required=True)
    assert await host.call("bystander", input="first") == "first"
    bystander = (await host.installation("bystander")).incarnations[0].pid
    execution_id = await half_way(host, ExecutionRequest("victim", input="doomed"))

    os.kill((await host.installation("victim")).incarnations[0].pid, signal.SIGKILL)

    async with asyncio.timeout(TIMEOUT_SECONDS):
        ended = await host.wait(execution_id)
    assert ended.state is ExecutionState.CRASHED
    assert "SIGKILL" in ended.error.message
    assert names(database) == ["Ada", "Grace", "first"]
    # The writer lock is free again, and the other worker never noticed.
    assert await host.call("bystander", input="second") == "second"
    assert (await host.installation("bystander")).incarnations[0].pid == bystander
    assert names(database)[-1] == "second"
    # The victim comes back when it is needed.
    assert await host.call("victim", input="third") == "third"
    verdicts = [one.verdict for one in (await host.installation("victim")).incarnations if one.verdict]
    assert verdicts[0].kind is VerdictKind.SIGNALLED


HOST = """
import asyncio, sys
from pathlib import Path
from moorage.app import Host
from moorage.config.settings import Settings

async def main() -> None:
    settings = Settings.model_validate_json(sys.argv[1])
    async with Host(settings) as host:
        for path in sys.argv[2:]:
            installation = await host.install(Path(path), grant_required=True)
            await host.start(installation.id)
            view = await host.installation(installation.id)
            print(view.incarnations[0].pid, flush=True)
        print("ready", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_no_worker_outlives_a_killed_host(settings: Settings, tmp_path: Path) -> None:
    projects = [write_plugin(tmp_path, WRITER, name=f"orphan-{number}", required=RIGHTS) for number in range(3)]
    host = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOST, settings.model_dump_json(), *map(str, projects), stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        lines = [line async for line in first_lines(host.stdout, 4)]
    assert lines[-1] == "ready"
    workers = [os.pidfd_open(int(pid)) for pid in lines[:3]]

    host.kill()

    try:
        async with asyncio.timeout(1):
            await asyncio.gather(*(gone(worker) for worker in workers))
    finally:
        for worker in workers:
            os.close(worker)
        await host.wait()


async def first_lines(output: asyncio.StreamReader, count: int) -> AsyncIterator[str]:
    for _ in range(count):
        line = await output.readline()
        assert line, "the host ended early; its standard error says why"
        yield line.decode().strip()


async def gone(pidfd: int) -> None:
    """A pidfd becomes readable when its process has ended."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(pidfd, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(pidfd)


async def test_what_a_killed_host_was_running_is_abandoned(settings: Settings, tmp_path: Path, database: Path) -> None:
    project = write_plugin(tmp_path, WRITER, name="victim", required=RIGHTS)
    code = HOST.replace("await asyncio.Event().wait()", "await host.call('victim', input='doomed')")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, settings.model_dump_json(), str(project), stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        assert [line async for line in first_lines(process.stdout, 2)][-1] == "ready"
        await written(settings, "SELECT count(*) FROM executions WHERE progress IS NOT NULL")
    process.kill()
    await process.wait()

    async with Host(settings) as host:
        (execution,) = await host.executions(installation="victim")
        assert execution.state is ExecutionState.ABANDONED
        assert names(database) == ["Ada", "Grace"]
        assert await host.call("victim", input="again") == "again"


async def test_a_worker_that_started_when_its_host_was_killed_has_a_verdict(settings: Settings, tmp_path: Path) -> None:
    code = "import time\nfrom moorage_sdk import Plugin\nplugin = Plugin()\ntime.sleep(3600)\n"
    project = write_plugin(tmp_path, code, name="slow")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOST, settings.model_dump_json(), str(project), stdout=asyncio.subprocess.DEVNULL
    )
    async with asyncio.timeout(60):
        await written(settings, "SELECT count(*) FROM incarnations WHERE state = 'starting' AND pid > 0")
    process.kill()
    await process.wait()

    async with Host(settings) as host:
        (found,) = (await host.installation("slow")).incarnations
        assert found.verdict is not None
        assert found.verdict.kind is VerdictKind.HOST_DIED


async def written(settings: Settings, question: str) -> None:
    """Until the store's answer is not 0. The other process has no way to tell us."""
    store = f"file:{settings.store_path}?mode=ro"
    while True:
        if not settings.store_path.exists():
            await asyncio.sleep(0.01)
            continue
        connection = sqlite3.connect(store, uri=True)
        try:
            if connection.execute(question).fetchone()[0]:
                return
        except sqlite3.OperationalError:
            pass  # it is being made
        finally:
            connection.close()
        await asyncio.sleep(0.01)
