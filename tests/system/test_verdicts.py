"""Real deaths, and what an operator reads about them."""

from __future__ import annotations

import asyncio
import textwrap
from pathlib import Path

import pytest
from plugin_projects import write_plugin

from moorage.app import Host
from moorage.events.events import Crashed, Event, Unloaded
from moorage.events.subscription import Subscription
from moorage.models.execution import ExecutionRequest, ExecutionState
from moorage.models.incarnation import Verdict, VerdictKind
from moorage.supervisor.errors import StartFailed

TIMEOUT_SECONDS = 30

CODE = """
    import ctypes
    import logging
    import os
    import sys
    import time
    from moorage_sdk import Context, Plugin

    plugin = Plugin()

    @plugin.task
    def execute(input: str = "") -> str:
        print("last words", flush=True)
        if input == "segfault":
            ctypes.string_at(0)
        elif input == "exit":
            os._exit(137)
        elif input == "close":
            os.closerange(0, 256)
        elif input == "raise":
            raise LookupError("no users")
        return "done"

    @plugin.task
    async def linger(ctx: Context) -> None:
        ctx.progress(0.1)
        while True:
            try:
                time.sleep(600)
            except BaseException:
                pass
"""

SLOW = "import time\ntime.sleep(600)\n"
QUICK_START = '[tool.moorage.limits]\nstart_timeout = "2 s"'


def place(words: str) -> str:
    """Where the plugin has these words: "probe.py:15"."""
    lines = textwrap.dedent(CODE).splitlines()
    return f"probe.py:{next(number for number, line in enumerate(lines, 1) if words in line)}"


async def first(events: Subscription[Event], count: int) -> list[Event]:
    found = []
    async for event in events:
        found.append(event)
        if len(found) == count:
            return found
    raise AssertionError("the host has stopped")


async def death(host: Host, given: str) -> Verdict:
    """Of the worker that ran the task. The start after it may be under way already."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        execution = await host.run(ExecutionRequest("probe", input=given))
    assert execution.state is ExecutionState.CRASHED
    assert execution.worker is not None
    incarnations = (await host.installation("probe")).incarnations
    (status,) = (each for each in incarnations if each.id == execution.worker.incarnation)
    assert status.verdict is not None
    assert execution.error is not None
    assert execution.error.message == status.verdict.sentence
    assert execution.error.traceback == (status.verdict.traceback or status.verdict.stack)
    return status.verdict


async def test_a_crash_in_native_code_comes_with_its_stack_and_last_words(host: Host, tmp_path: Path) -> None:
    await host.install(write_plugin(tmp_path, CODE))

    verdict = await death(host, "segfault")

    assert verdict.kind is VerdictKind.SIGNALLED
    assert verdict.sentence.startswith("A memory error in native code ended the worker")
    assert verdict.sentence.endswith(f"It was at {place('ctypes.string_at(0)')} execute().")
    assert "string_at" in verdict.stack
    assert "last words" in verdict.lines
    assert any("Segmentation fault" in line for line in verdict.lines)


async def test_an_exit_code_is_put_into_words(host: Host, tmp_path: Path) -> None:
    await host.install(write_plugin(tmp_path, CODE))
    verdict = await death(host, "exit")
    assert (verdict.kind, verdict.exit_code) == (VerdictKind.EXITED, 137)
    assert verdict.sentence == "The worker ended itself with the code by which shells report SIGKILL (exit code 137)."
    assert verdict.lines == ("last words",)


async def test_a_plugin_that_closes_all_descriptors_is_told_of_its_link(host: Host, tmp_path: Path) -> None:
    await host.install(write_plugin(tmp_path, CODE))
    verdict = await death(host, "close")
    assert verdict.kind in (VerdictKind.EXITED, VerdictKind.LINK_LOST)
    assert "link" in verdict.sentence
    assert verdict.lines[0] == "last words"


async def test_a_failed_execution_is_one_line_in_the_plugins_log(host: Host, tmp_path: Path) -> None:
    await host.install(write_plugin(tmp_path, CODE))
    failed = await host.run(ExecutionRequest("probe", input="raise"))
    done = await host.run(ExecutionRequest("probe"))

    told = [line for line in await host.logs(installation="probe") if line.logger == "moorage"]

    assert [line.execution for line in told] == [failed.id]
    assert done.id not in {line.execution for line in told}
    assert told[0].message.startswith("execute failed after ")
    assert told[0].message.endswith("LookupError: no users")


@pytest.mark.parametrize("sub", [False, True])
async def test_a_start_that_takes_too_long_names_the_import(host: Host, tmp_path: Path, sub: bool) -> None:
    code = "import slow\nfrom moorage_sdk import Plugin\nplugin = Plugin()\n" if sub else SLOW
    project = write_plugin(tmp_path, code, extra=QUICK_START)
    (project / "slow.py").write_text(SLOW)
    await host.install(project)

    with pytest.raises(StartFailed) as failure:
        await host.start("probe")

    verdict = failure.value.verdict
    where = "slow.py:2" if sub else "probe.py:2"
    assert verdict.kind is VerdictKind.START_DEADLINE
    assert verdict.sentence == f"It was not ready within 2 s: at {where}, at the top level of its module."
    assert f'/plugin/{where.partition(":")[0]}", line 2 in <module>' in verdict.stack


async def test_a_task_that_taints_its_worker_is_named_by_its_line(host: Host, tmp_path: Path) -> None:
    await host.install(
        write_plugin(tmp_path, CODE, extra='[tool.moorage.limits]\ntimeout = "1 s"\ndrain_timeout = "1 s"')
    )
    async with asyncio.timeout(TIMEOUT_SECONDS * 2):
        async with host.events.subscribe(Crashed) as crashes:
            execution = await host.run(ExecutionRequest("probe", "linger"))
            (crash,) = await first(crashes, 1)
    assert execution.state is ExecutionState.TIMED_OUT
    assert isinstance(crash, Crashed)
    verdict = crash.incarnation.verdict
    assert verdict is not None
    assert verdict.kind is VerdictKind.TAINTED
    assert verdict.sentence.endswith(f"It was at {place('time.sleep(600)')} linger().")
    assert "in linger" in verdict.stack


async def test_a_planned_stop_is_nowhere_an_error(host: Host, tmp_path: Path) -> None:
    await host.install(write_plugin(tmp_path, CODE))
    async with host.events.subscribe(Crashed, Unloaded) as ends:
        for end in (host.stop, host.kill, host.reload, host.stop):
            await host.start("probe")
            await end("probe")
        async with asyncio.timeout(TIMEOUT_SECONDS):
            seen = [type(event).__name__ for event in await first(ends, 4)]
    assert seen == ["Unloaded"] * 4
    view = await host.installation("probe")
    assert (view.state, view.reason) == ("stopped", "")
    assert all(each.verdict is not None and each.verdict.planned for each in view.incarnations)
    assert all(not each.verdict.lines and not each.verdict.stack for each in view.incarnations if each.verdict)
    why = await host.why("probe")
    assert (why.verdict, why.restart_in) == (None, None)
    assert "Start it when you want it" in why.next_step
    assert not [line for line in await host.logs(installation="probe") if line.level > 20]


async def test_why_tells_what_it_does_and_what_changed_before(host: Host, tmp_path: Path) -> None:
    code = """
        import threading
        from moorage_sdk import Context, Plugin
        from moorage_sdk.sql import Connection

        plugin = Plugin()

        @plugin.task
        def execute(ctx: Context, db: Connection) -> None:
            db.cursor().execute("INSERT INTO users (name) VALUES ('x')")
            ctx.progress(0.5)
            ctx.wait_cancelled(60)
    """
    rights = ["sql.read:users", "sql.write:users"]
    await host.install(write_plugin(tmp_path, code, required=rights), grant_required=True, by="dana")
    await host.reload("probe", by="dana")
    execution = await host.submit(ExecutionRequest("probe"))
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not (why := await host.why("probe")).holdings:
            await asyncio.sleep(0.01)

    assert (why.state, why.condition.kind.value if why.condition else "") == ("ready", "answering")
    assert why.number == (await host.installation("probe")).incarnations[0].number
    assert [each.id for each in why.executions] == [execution.id]
    (holding,) = why.holdings
    assert (holding.execution, holding.what) == (execution.id, "transaction on sql main")
    assert why.changed is not None
    assert (why.changed.action, why.changed.by) in (("reload", "dana"), ("install", "dana"))
    await host.cancel(execution.id)
    assert (await host.why("probe")).holdings == ()

    await host.stop("probe", hold="INC-4711", by="dana")
    held = await host.why("probe")
    assert held.state == "held"
    assert "moorage release probe" in held.reason
    assert held.changed is not None
    assert held.changed.by == "dana"
