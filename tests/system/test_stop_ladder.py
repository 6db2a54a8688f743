"""Every way to stop a plugin ends it within its bounds, with a true verdict and one outcome for what it ran."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from plugin_projects import write_plugin

from moorage.app import Host
from moorage.errors import MoorageError
from moorage.events.events import Event, ExecutionEnded, ExecutionProgressed, Unloaded
from moorage.models.execution import ExecutionRequest, ExecutionState
from moorage.models.incarnation import IncarnationState, IncarnationStatus, VerdictKind
from moorage.supervisor import incarnation
from moorage.supervisor.errors import NotRunnable

TIMEOUT_SECONDS = 30

#: The ladder's own times, shortened; what is left is what the machine needs.
STEP = timedelta(seconds=0.3)
#: Draining, the link's own good-bye, on_unload, leaving by itself, leaving by SIGTERM; and the machine's share.
LADDER_SECONDS = 1 + 2 + 3 * STEP.total_seconds() + 2
#: Measured: a tenth of it. Draining alone would take ten seconds.
KILL_SECONDS = 2

QUICK_DRAIN = '[tool.moorage.limits]\ndrain_timeout = "1 s"'


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """For plugins that use up every step."""
    monkeypatch.setattr(incarnation, "UNLOAD_TIMEOUT", STEP)
    monkeypatch.setattr(incarnation, "LEAVE_TIMEOUT", STEP)


async def last(host: Host, name: str = "probe") -> IncarnationStatus:
    return (await host.installation(name)).incarnations[0]


async def half_way(host: Host, request: ExecutionRequest) -> str:
    """Submits, and returns the execution's id when the plugin has said that it runs."""
    async with asyncio.timeout(TIMEOUT_SECONDS), host.events.subscribe(ExecutionProgressed) as progressed:
        execution = await host.submit(request)
        async for event in progressed:
            assert isinstance(event, ExecutionProgressed)
            if event.execution.id == execution.id:
                return execution.id
    raise AssertionError("the host has stopped")


@asynccontextmanager
async def recorded(host: Host, kind: type[Event]) -> AsyncIterator[list[Event]]:
    """What is announced of one kind meanwhile."""
    seen: list[Event] = []
    async with host.events.subscribe(kind) as events:

        async def collect() -> None:
            async for event in events:
                seen.append(event)  # noqa: PERF401 - it is read while events still come

        collecting = asyncio.create_task(collect())
        yield seen
        collecting.cancel()
        await asyncio.wait((collecting,))


async def messages(host: Host, name: str = "probe") -> list[str]:
    return [line.message for line in await host.logs(installation=name)]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


# -- a plugin that behaves -----------------------------------------------------------------------------------------

POLITE = """
    import logging
    from moorage_sdk import Context, Plugin

    plugin = Plugin()

    @plugin.task
    def execute(ctx: Context, input: str = "") -> str:
        if input:
            ctx.progress(0.5)
            ctx.wait_cancelled(60)
            ctx.raise_if_cancelled()
        return "done"

    @plugin.on_unload
    def unload(log: logging.Logger) -> None:
        log.info("good-bye")
"""


async def test_a_planned_stop_runs_on_unload_and_is_no_error(host: Host, tmp_path: Path) -> None:
    await host.install(write_plugin(tmp_path, POLITE))
    pid = (await host.start("probe")).incarnations[0].pid

    async with recorded(host, Unloaded) as unloaded:
        report = await host.stop("probe")

    ended = await last(host)
    assert ended.state is IncarnationState.STOPPED
    assert ended.verdict is not None
    assert (ended.verdict.kind, ended.verdict.planned) == (VerdictKind.PLANNED_STOP, True)
    assert ended.verdict.sentence == "Stopped: a person asked for it."
    assert (report.executions, report.processes) == ((), 1)
    assert "good-bye" in await messages(host)
    assert not alive(pid)
    assert len(unloaded) == 1
    assert (await host.installation("probe")).state == "stopped"


async def test_what_runs_may_finish_while_it_drains(host: Host, tmp_path: Path) -> None:
    code = POLITE.replace("ctx.wait_cancelled(60)", "ctx.wait_cancelled(0.5)")
    await host.install(write_plugin(tmp_path, code))
    execution = await half_way(host, ExecutionRequest("probe", input="x"))

    report = await host.stop("probe")

    assert report.executions == ()
    assert (await host.wait(execution)).state is ExecutionState.SUCCEEDED


async def test_what_does_not_finish_in_time_is_cancelled_and_recorded_once(host: Host, tmp_path: Path) -> None:
    await host.install(write_plugin(tmp_path, POLITE, extra=QUICK_DRAIN))
    execution = await half_way(host, ExecutionRequest("probe", input="x"))

    async with recorded(host, ExecutionEnded) as ends:
        report = await host.stop("probe")
        ended = await host.wait(execution)

    assert report.executions == (execution,)
    assert ended.state is ExecutionState.CANCELLED
    assert ended.error is not None
    assert ended.error.message == "Stopped: a person asked for it."
    assert len(ends) == 1
    assert "good-bye" in await messages(host)
    assert await host.call("probe") == "done"


async def test_stopping_twice_is_stopping_once(host: Host, tmp_path: Path) -> None:
    await host.install(write_plugin(tmp_path, POLITE))
    await host.start("probe")

    async with asyncio.timeout(TIMEOUT_SECONDS):
        first, second = await asyncio.gather(host.stop("probe"), host.stop("probe"))
    third = await host.stop("probe")

    assert sorted([first.processes, second.processes]) == [0, 1]
    assert third.processes == 0
    assert (await messages(host)).count("good-bye") == 1
    assert len((await host.installation("probe")).incarnations) == 1


async def test_unload_all_stops_every_plugin(host: Host, tmp_path: Path) -> None:
    names = [f"probe-{number}" for number in range(3)]
    for name in names:
        await host.install(write_plugin(tmp_path, POLITE, name=name))
        await host.start(name)
    await host.install(write_plugin(tmp_path, POLITE, name="idle"))

    reports = await host.unload_all()

    assert [report.installation for report in reports] == names
    for name in names:
        verdict = (await last(host, name)).verdict
        assert verdict is not None
        assert verdict.kind is VerdictKind.PLANNED_STOP
        assert "good-bye" in await messages(host, name)
    assert await host.call(names[0]) == "done"


# -- kill ----------------------------------------------------------------------------------------------------------


async def test_kill_ends_at_once(host: Host, tmp_path: Path) -> None:
    await host.install(write_plugin(tmp_path, POLITE))
    execution = await half_way(host, ExecutionRequest("probe", input="x"))

    started = time.monotonic()
    report = await host.kill("probe", by="Ada")
    took = time.monotonic() - started

    assert took < KILL_SECONDS
    assert report.executions == (execution,)
    verdict = (await last(host)).verdict
    assert verdict is not None
    assert (verdict.kind, verdict.planned) == (VerdictKind.KILLED_BY_OPERATOR, True)
    ended = await host.wait(execution)
    assert (ended.state, ended.error and ended.error.message) == (ExecutionState.CANCELLED, verdict.sentence)
    assert "good-bye" not in await messages(host)


async def test_kill_does_not_wait_for_a_stop_that_drains(host: Host, tmp_path: Path) -> None:
    await host.install(write_plugin(tmp_path, POLITE))
    execution = await half_way(host, ExecutionRequest("probe", input="x"))
    stopping = asyncio.create_task(host.stop("probe"))
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while (await last(host)).state is not IncarnationState.DRAINING:
            await asyncio.sleep(0)

    started = time.monotonic()
    await host.kill("probe")
    took = time.monotonic() - started

    assert took < KILL_SECONDS
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await stopping
    assert (await host.wait(execution)).state is ExecutionState.CANCELLED


# -- plugins that do not want to go --------------------------------------------------------------------------------

STUBBORN = {
    "on_unload hangs in a thread": """
        import threading
        from moorage_sdk import Plugin
        plugin = Plugin()

        @plugin.on_unload
        def unload() -> None:
            threading.Event().wait()
        """,
    "on_unload hangs on the loop": """
        import asyncio
        from moorage_sdk import Plugin
        plugin = Plugin()

        @plugin.on_unload
        async def unload() -> None:
            await asyncio.Event().wait()
        """,
    "on_unload blocks the loop": """
        import threading
        from moorage_sdk import Plugin
        plugin = Plugin()

        @plugin.on_unload
        async def unload() -> None:
            threading.Event().wait()
        """,
    "on_unload raises": """
        from moorage_sdk import Plugin
        plugin = Plugin()

        @plugin.on_unload
        def unload() -> None:
            raise RuntimeError("I stay")
        """,
    "on_unload exits": """
        import os
        from moorage_sdk import Plugin
        plugin = Plugin()

        @plugin.on_unload
        def unload() -> None:
            os._exit(7)
        """,
    "it will not exit": """
        import os, signal, threading
        from moorage_sdk import Plugin
        plugin = Plugin()

        @plugin.on_load
        async def load() -> None:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os._exit = lambda code: threading.Event().wait()
        """,
    "a thread holds the interpreter": """
        import re
        from moorage_sdk import Plugin
        plugin = Plugin()

        @plugin.on_unload
        def unload() -> None:
            # One call into C that takes for ever and gives nobody else a turn.
            re.match("(a|aa)+$", "a" * 200 + "b")
        """,
}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("way", STUBBORN)
async def test_a_plugin_that_does_not_go_is_stopped_all_the_same(host: Host, tmp_path: Path, way: str) -> None:
    await host.install(write_plugin(tmp_path, STUBBORN[way], extra=QUICK_DRAIN))
    pid = (await host.start("probe")).incarnations[0].pid

    started = time.monotonic()
    await host.stop("probe")
    took = time.monotonic() - started

    assert took < LADDER_SECONDS
    verdict = (await last(host)).verdict
    assert verdict is not None
    assert verdict.kind is VerdictKind.PLANNED_STOP
    assert not alive(pid)


DEAF = {
    "in a thread": """
        import threading
        from moorage_sdk import Context, Plugin
        plugin = Plugin()

        @plugin.task
        def execute(ctx: Context) -> None:
            ctx.progress(0.5)
            threading.Event().wait()
        """,
    "on the loop": """
        import asyncio
        from moorage_sdk import Context, Plugin
        plugin = Plugin()

        @plugin.task
        async def execute(ctx: Context) -> None:
            ctx.progress(0.5)
            while True:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    continue
        """,
    "blocking the loop": """
        import threading
        from moorage_sdk import Context, Plugin
        plugin = Plugin()

        @plugin.task
        async def execute(ctx: Context) -> None:
            ctx.progress(0.5)
            threading.Event().wait()
        """,
}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("way", DEAF)
async def test_a_task_that_ignores_its_cancellation_is_recorded_once(host: Host, tmp_path: Path, way: str) -> None:
    await host.install(write_plugin(tmp_path, DEAF[way], extra=QUICK_DRAIN))
    execution = await half_way(host, ExecutionRequest("probe"))

    async with recorded(host, ExecutionEnded) as ends:
        started = time.monotonic()
        report = await host.stop("probe")
        took = time.monotonic() - started
        ended = await host.wait(execution)

    assert took < LADDER_SECONDS
    assert report.executions == (execution,)
    assert ended.state is ExecutionState.CANCELLED
    assert len(ends) == 1
    verdict = (await last(host)).verdict
    assert verdict is not None
    assert verdict.kind is VerdictKind.PLANNED_STOP


# -- before it is ready --------------------------------------------------------------------------------------------

NEVER_READY = """
    import threading
    print("importing", flush=True)
    threading.Event().wait()
"""


async def importing(host: Host) -> None:
    """Until the plugin has begun to import."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        async for line in host.follow_logs(installation="probe"):
            if line.message == "importing":
                return


@pytest.mark.parametrize("ways", [("stop",), ("kill",), ("stop", "stop"), ("stop", "kill", "stop")])
async def test_a_start_may_be_given_up(host: Host, tmp_path: Path, ways: tuple[str, ...]) -> None:
    await host.install(write_plugin(tmp_path, NEVER_READY))
    following = asyncio.create_task(importing(host))
    execution = await host.submit(ExecutionRequest("probe"))
    starting = asyncio.create_task(host.start("probe"))
    await following
    pid = (await last(host)).pid

    async with asyncio.timeout(TIMEOUT_SECONDS):
        await asyncio.gather(*(getattr(host, way)("probe") for way in ways))

    with pytest.raises(NotRunnable, match="it was stopped while it started"):
        await starting
    ended = await last(host)
    assert ended.state is IncarnationState.STOPPED
    assert ended.verdict is not None
    assert ended.verdict.planned, ended.verdict
    assert not alive(pid)
    # It never began.
    outcome = await host.wait(execution.id)
    assert outcome.state is ExecutionState.REJECTED
    assert outcome.error is not None
    assert "stopped while it started" in outcome.error.message


# -- hold and reload -----------------------------------------------------------------------------------------------


async def test_what_is_held_stays_stopped_until_it_is_released(host: Host, tmp_path: Path) -> None:
    await host.install(write_plugin(tmp_path, POLITE))
    await host.start("probe")

    report = await host.stop("probe", hold="it sends mail", by="Ada")

    assert "moorage release probe" in report.sentence
    with pytest.raises(NotRunnable, match=r"Ada holds it: it sends mail. moorage release probe"):
        await host.start("probe")
    execution = await host.run(ExecutionRequest("probe"))
    assert execution.state is ExecutionState.REJECTED
    assert execution.error is not None
    assert "it sends mail" in execution.error.message
    assert execution.error.remedy == "moorage release probe"
    view = await host.installation("probe")
    assert view.state == "held"
    assert len(view.incarnations) == 1

    await host.release("probe", by="Ada")

    assert await host.call("probe") == "done"


async def test_a_hold_outlives_the_host(open_host, tmp_path: Path) -> None:
    async with open_host() as host:
        await host.install(write_plugin(tmp_path, POLITE))
        await host.stop("probe", hold="it sends mail")

    async with open_host() as host:
        with pytest.raises(NotRunnable, match="it sends mail"):
            await host.start("probe")
        await host.release("probe")
        assert await host.call("probe") == "done"


async def test_reload_brings_new_code_into_use(host: Host, tmp_path: Path) -> None:
    await host.install(write_plugin(tmp_path, POLITE))
    assert await host.call("probe") == "done"
    write_plugin(tmp_path, POLITE.replace('"done"', '"done anew"'))
    # What runs is a copy.
    assert await host.call("probe") == "done"

    await host.reload("probe")

    assert await host.call("probe") == "done anew"
    view = await host.installation("probe")
    assert [one.number for one in view.incarnations] == [2, 1]
    assert view.incarnations[1].verdict is not None
    assert view.incarnations[1].verdict.sentence == "Stopped: replaced by #2."
    assert "good-bye" in await messages(host)


async def test_a_reload_that_cannot_be_leaves_the_old_code_running(host: Host, tmp_path: Path) -> None:
    project = write_plugin(tmp_path, POLITE)
    await host.install(project)
    pid = (await host.start("probe")).incarnations[0].pid
    (project / "pyproject.toml").write_text("[project\n")

    with pytest.raises(MoorageError, match=r"pyproject\.toml:1"):
        await host.reload("probe")

    assert await host.call("probe") == "done"
    assert (await last(host)).pid == pid
