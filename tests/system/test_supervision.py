"""What people want of an installation, and what its real workers do: restarts, quarantine, replicas, idle stop."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from plugin_projects import write_plugin

from moorage.app import Host
from moorage.config.settings import InstallationSettings, Settings, SupervisionSettings
from moorage.events.events import DesiredChanged, Event, StateChanged
from moorage.models.execution import ExecutionRequest, ExecutionState
from moorage.models.incarnation import IncarnationStatus, VerdictKind
from moorage.supervisor.errors import NotRunnable, StartFailed

TIMEOUT_SECONDS = 30

CODE = """
    import os
    from moorage_sdk import Context, Plugin

    plugin = Plugin()

    @plugin.task
    def execute() -> int:
        return os.getpid()

    @plugin.task
    def die() -> None:
        os._exit(3)

    @plugin.task
    def wait(ctx: Context) -> str:
        ctx.progress(0.5)
        ctx.wait_cancelled(0.5)
        return "done"
"""

QUICK = SupervisionSettings(backoff_first=timedelta(milliseconds=50))


async def living(host: Host) -> list[IncarnationStatus]:
    return [each for each in (await host.installation("probe")).incarnations if each.state == "ready"]


async def has(host: Host, count: int) -> list[IncarnationStatus]:
    """Waits for so many ready workers."""
    async with asyncio.timeout(TIMEOUT_SECONDS), host.events.subscribe(StateChanged) as changes:
        while len(found := await living(host)) != count:
            await changes.__anext__()
        return found


@asynccontextmanager
async def next_event(host: Host, kind: type[Event]) -> AsyncIterator[asyncio.Task[Event]]:
    async with asyncio.timeout(TIMEOUT_SECONDS), host.events.subscribe(kind) as events:
        yield asyncio.ensure_future(events.__anext__())


async def test_a_worker_that_was_killed_is_replaced_though_nobody_asks(open_host, tmp_path: Path) -> None:
    async with open_host(supervision=QUICK) as host:
        await host.install(write_plugin(tmp_path, CODE))
        first = (await host.start("probe")).incarnations[0]

        os.kill(first.pid, signal.SIGKILL)
        async with asyncio.timeout(TIMEOUT_SECONDS), host.events.subscribe(StateChanged) as changes:
            while (await living(host)) in ([], [first]):
                await changes.__anext__()

        second, before = (await host.installation("probe")).incarnations[:2]
        assert (before.number, before.state, second.number) == (1, "stopped", 2)
        assert await host.call("probe") > 0


async def test_work_that_waits_is_done_by_the_next_worker(open_host, tmp_path: Path) -> None:
    async with open_host(supervision=QUICK) as host:
        await host.install(write_plugin(tmp_path, CODE))
        async with asyncio.timeout(TIMEOUT_SECONDS):
            died = await host.run(ExecutionRequest("probe", "die"))
            done = await host.run(ExecutionRequest("probe"))
        assert (died.state, done.state) == (ExecutionState.CRASHED, ExecutionState.SUCCEEDED)
        assert done.worker is not None
        assert done.worker.number == 2


async def test_one_that_dies_too_often_is_quarantined_until_it_is_released(open_host, tmp_path: Path) -> None:
    supervision = QUICK.model_copy(update={"restarts": 1})
    async with open_host(supervision=supervision) as host, next_event(host, DesiredChanged) as changed:
        await host.install(write_plugin(tmp_path, CODE))
        for _ in range(2):
            assert (await host.run(ExecutionRequest("probe", "die"))).state is ExecutionState.CRASHED
        change = await changed
        assert isinstance(change, DesiredChanged)
        assert "died 2 times in 300 s" in change.after.quarantined
        assert "exit code 3" in change.after.quarantined
        assert change.by == "host"

        refused = await host.run(ExecutionRequest("probe"))
        assert refused.state is ExecutionState.REJECTED
        assert refused.error is not None
        assert refused.error.remedy == "moorage release probe"
        with pytest.raises(NotRunnable, match="moorage release probe"):
            await host.start("probe")
        view = await host.installation("probe")
        assert view.state == "quarantined"
        assert "exit code 3" in view.reason

    async with open_host(supervision=supervision) as host:
        assert (await host.installation("probe")).state == "quarantined"
        await host.release("probe", by="Ada", reason="it was mended")
        assert await host.call("probe") > 0


async def test_other_code_ends_a_quarantine(open_host, tmp_path: Path) -> None:
    async with open_host(supervision=QUICK.model_copy(update={"restarts": 0})) as host:
        async with next_event(host, DesiredChanged) as changed:
            await host.install(write_plugin(tmp_path, CODE))
            await host.run(ExecutionRequest("probe", "die"))
            await changed
        write_plugin(tmp_path, CODE.replace("os.getpid()", "7"))
        await host.reload("probe", by="Ada")
        assert await host.call("probe") == 7


async def test_a_plugin_that_cannot_load_is_started_no_more_often_than_somebody_asks(
    host: Host, tmp_path: Path
) -> None:
    await host.install(write_plugin(tmp_path, "import nothing_of_that_name\n"))
    for number in (1, 2):
        with pytest.raises(StartFailed, match="nothing_of_that_name"):
            await host.start("probe")
        assert len((await host.installation("probe")).incarnations) == number


async def test_replicas_share_the_work_and_one_that_dies_is_replaced(open_host, tmp_path: Path) -> None:
    extra = "[tool.moorage.limits]\nconcurrency = 6"
    installations = {"probe": InstallationSettings(replicas=3)}
    async with open_host(supervision=QUICK, installations=installations) as host:
        await host.install(write_plugin(tmp_path, CODE, extra=extra))
        await host.start("probe")
        workers = {each.id for each in await has(host, 3)}

        runs = await asyncio.gather(*(host.run(ExecutionRequest("probe", "wait")) for _ in range(6)))
        served = [run.worker.incarnation for run in runs if run.worker is not None]
        assert sorted(served.count(each) for each in workers) == [2, 2, 2]

        victim = (await living(host))[0]
        os.kill(victim.pid, signal.SIGKILL)
        async with asyncio.timeout(TIMEOUT_SECONDS), host.events.subscribe(StateChanged) as changes:
            while victim.id in [each.id for each in await living(host)]:
                await changes.__anext__()
        assert (await host.run(ExecutionRequest("probe"))).state is ExecutionState.SUCCEEDED
        assert {each.number for each in await has(host, 3)} == {1, 2, 3, 4} - {victim.number}

        await host.scale("probe", 1, by="Ada")
        await has(host, 1)
        stopped = await host.stop("probe")
        assert stopped.processes == 1


async def test_without_work_for_long_it_is_stopped_and_work_starts_it_again(open_host, tmp_path: Path) -> None:
    installations = {"probe": InstallationSettings(idle_stop=timedelta(seconds=0.3))}
    async with open_host(installations=installations) as host, host.events.subscribe(StateChanged) as changes:
        await host.install(write_plugin(tmp_path, CODE))
        assert await host.call("probe") > 0
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while (change := await changes.__anext__()).incarnation.state != "stopped":
                continue
        assert change.incarnation.verdict.kind is VerdictKind.PLANNED_STOP
        assert change.reason == "Stopped: idle."
        assert (await host.installation("probe")).state == "stopped"
        assert await host.call("probe") > 0


async def test_disabled_it_takes_no_work_and_enabled_it_is_up_again(host: Host, tmp_path: Path) -> None:
    await host.install(write_plugin(tmp_path, CODE))
    await host.start("probe")

    report = await host.disable("probe", by="Ada", reason="it is noisy")

    assert report.processes == 1
    assert "moorage enable probe" in report.sentence
    assert (await host.installation("probe")).state == "disabled"
    refused = await host.run(ExecutionRequest("probe"))
    assert refused.state is ExecutionState.REJECTED
    assert (await host.enable("probe", by="Ada")).state == "ready"
    assert await host.call("probe") > 0


async def test_what_was_up_before_a_hold_is_up_after_its_release(host: Host, tmp_path: Path) -> None:
    await host.install(write_plugin(tmp_path, CODE))
    await host.start("probe")
    await host.stop("probe", hold="INC-4711", by="Ada")
    assert (await host.release("probe", by="Ada")).state == "ready"

    await host.stop("probe")
    await host.stop("probe", hold="INC-4712", by="Ada")
    assert (await host.release("probe", by="Ada")).state == "stopped"


def test_settings_name_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="replicas"):
        Settings.model_validate({"installations": {"probe": {"replicas": 0}}})


async def test_what_a_plugin_brings_is_known_while_it_does_not_run(open_host, tmp_path: Path) -> None:
    code = (
        CODE + '\n    @plugin.on_event("track.*")\n    def playing(input: dict) -> None: ...\n\n    @plugin.on_load\n'
    )
    code += "    def load() -> None: ...\n"
    async with open_host() as host:
        await host.install(write_plugin(tmp_path, code))
        assert (await host.installation("probe")).contributions is None
        await host.start("probe")
        running = await host.installation("probe")
        await host.stop("probe")
        stopped = await host.installation("probe")
    async with open_host() as host:
        later = await host.installation("probe")
        for view in (running, stopped, later):
            assert view.contributions is not None
            assert [task.name for task in view.tasks] == ["execute", "die", "wait"]
            assert [(each.name, each.topic) for each in view.contributions.handlers] == [("track.* playing", "track.*")]
            assert view.contributions.hooks == ("on_load",)
            assert (view.loaded_at, view.installation.source_path) == (running.loaded_at, tmp_path / "probe")
        # Of other code nobody has told anything yet.
        await host.install(write_plugin(tmp_path, CODE))
        assert (await host.installation("probe")).contributions is None
