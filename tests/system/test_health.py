"""Real workers that answer no more, each in its own way: told apart, shown with their stacks, and ended in time."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from plugin_projects import write_plugin

from moorage.app import Host
from moorage.config.settings import Settings, SupervisionSettings
from moorage.events.events import ExecutionProgressed
from moorage.models.execution import ExecutionRequest, ExecutionState
from moorage.models.health import Condition, ConditionKind
from moorage.models.incarnation import VerdictKind
from moorage.supervisor.incarnation import Incarnation

TIMEOUT_SECONDS = 30

CODE = """
    import asyncio
    import re
    import time
    from moorage_sdk import Context, Plugin

    plugin = Plugin()
    sick = []

    @plugin.health
    def health() -> str:
        return "no disk" if sick else ""

    @plugin.task
    def execute(input: str = "") -> str:
        sick.append(1) if input == "sick" else sick.clear()
        return "done"

    @plugin.task
    async def stick(ctx: Context, input: str) -> None:
        ctx.progress(0.1)
        await asyncio.sleep(0.1)
        if input == "catastrophe":
            re.match("(a+)+b", "a" * 64)
        elif input == "spin":
            while True:
                pass
        else:
            time.sleep(float(input))
"""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Workers are looked at all the time, and may be silent for long."""
    quick = SupervisionSettings(health_interval=timedelta(seconds=0.1), health_timeout=timedelta(seconds=0.5))
    return settings.model_copy(update={"supervision": quick})


@pytest.fixture
def impatient(settings: Settings) -> Settings:
    changed = settings.supervision.model_copy(update={"silence_limit": timedelta(seconds=1)})
    return settings.model_copy(update={"supervision": changed})


async def begun(host: Host, request: ExecutionRequest) -> str:
    async with asyncio.timeout(TIMEOUT_SECONDS), host.events.subscribe(ExecutionProgressed) as progressed:
        execution = await host.submit(request)
        async for event in progressed:
            assert isinstance(event, ExecutionProgressed)
            if event.execution.id == execution.id:
                return execution.id
    raise AssertionError("the host has stopped")


def worker(host: Host) -> Incarnation:
    found = host._parts.supervisor.current("probe")
    assert found is not None
    return found


@asynccontextmanager
async def installed(settings: Settings, folder: Path, **options: Any) -> AsyncIterator[Host]:
    async with Host(settings) as host:
        await host.install(write_plugin(folder, CODE, **options))
        await host.start("probe")
        yield host


async def condition(host: Host, kind: ConditionKind, words: str = "") -> Condition:
    """Until the worker's own watch has found it so, and could take a stack where these words are expected.

    One look may be wrong on a machine that is busy with other things; the next is not.
    """
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while True:
            found = worker(host).condition
            if found.kind is kind and words in found.message and (found.where or not words):
                return found
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("how", "kind", "words", "line"),
    [
        ("catastrophe", ConditionKind.BUSY, "holds the interpreter's lock", 'a" * 64'),
        ("spin", ConditionKind.BUSY, "Its event loop does not turn", "pass"),
        ("600", ConditionKind.SILENT, "waits in a call that blocks", "time.sleep"),
    ],
)
async def test_what_stands_still_is_told_apart_and_its_line_is_named(
    settings: Settings, tmp_path: Path, how: str, kind: ConditionKind, words: str, line: str
) -> None:
    async with installed(settings, tmp_path) as host:
        execution = await begun(host, ExecutionRequest("probe", "stick", how))

        found = await condition(host, kind, words)

        file, _, rest = found.where.partition(":")
        number, _, function = rest.partition(" ")
        assert (file, function) == ("probe.py", "stick()")
        source = (tmp_path / "probe" / "probe.py").read_text().splitlines()
        assert line in "".join(source[int(number) - 2 : int(number) + 1])
        assert "bootstrap.py" in found.stack.split("\n\n")[0]
        view = await host.installation("probe")
        assert view.state == kind.value
        assert found.where in view.reason
        # The dump is no part of the log.
        lines = [each.message for each in await host.logs(installation="probe")]
        assert not [each for each in lines if "most recent call first" in each or "  File" in each]
        assert any("does not answer" in each and found.where in each for each in lines)
        await host.kill("probe")
        assert (await host.wait(execution)).state is ExecutionState.CANCELLED


async def test_a_stopped_process_is_silent_and_its_return_is_noticed(settings: Settings, tmp_path: Path) -> None:
    async with installed(settings, tmp_path) as host:
        pid = worker(host).status.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            found = await condition(host, ConditionKind.SILENT)
            assert "stands still" in found.message
        finally:
            os.kill(pid, signal.SIGCONT)

        await condition(host, ConditionKind.ANSWERING)

        assert (await host.installation("probe")).state == "ready"
        assert await host.call("probe") == "done"
        # The answer to the question that it could not answer comes late, and is no part of the log either.
        lines = [each.message for each in await host.logs(installation="probe")]
        assert not [each for each in lines if "most recent call first" in each]
        assert any("well again" in each for each in lines)


async def test_silence_beyond_the_limit_ends_the_worker_with_its_stack(impatient: Settings, tmp_path: Path) -> None:
    async with installed(impatient, tmp_path) as host:
        number = worker(host).status.number
        execution = await begun(host, ExecutionRequest("probe", "stick", "catastrophe"))

        async with asyncio.timeout(TIMEOUT_SECONDS):
            ended = await host.wait(execution)

        assert ended.state is ExecutionState.CRASHED
        assert ended.error is not None
        assert "did not answer for" in ended.error.message
        statuses = (await host.installation("probe")).incarnations
        (verdict,) = (each.verdict for each in statuses if each.number == number)
        assert verdict is not None
        assert (verdict.kind, verdict.planned) == (VerdictKind.SILENT, False)
        assert "It was at probe.py:" in verdict.sentence
        assert ", line " in verdict.stack
        assert "in stick" in verdict.stack
        # It comes back when it is needed.
        assert await host.call("probe") == "done"


async def test_without_a_limit_the_same_silence_is_shown_only(settings: Settings, tmp_path: Path) -> None:
    """The control of the test above."""
    async with installed(settings, tmp_path) as host:
        execution = await begun(host, ExecutionRequest("probe", "stick", "3"))
        await condition(host, ConditionKind.SILENT)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            ended = await host.wait(execution)
        assert ended.state is ExecutionState.SUCCEEDED
        await condition(host, ConditionKind.ANSWERING)


async def test_a_plugin_that_calls_itself_unwell_is_shown_and_goes_on(settings: Settings, tmp_path: Path) -> None:
    async with installed(settings, tmp_path) as host:
        await host.call("probe", input="sick")
        found = await condition(host, ConditionKind.UNHEALTHY)
        assert found.message == "no disk"
        view = await host.installation("probe")
        assert (view.state, view.reason) == ("unhealthy", "Its health hook says: no disk")
        await host.call("probe", input="")
        await condition(host, ConditionKind.ANSWERING)
        assert (await host.installation("probe")).state == "ready"


async def test_the_stack_of_a_worker_that_is_well(settings: Settings, tmp_path: Path) -> None:
    async with installed(settings, tmp_path) as host:
        (stack,) = await host.stack("probe")
        assert "bootstrap.py" in stack.text
        assert stack.where == ""
        assert "moorage_sdk/worker/link.py" in stack.text


async def test_a_look_at_a_worker_that_is_well_costs_the_host_little(host: Host, tmp_path: Path) -> None:
    """With the default interval of 10 s, a hundred workers cost the host ten looks a second."""
    await host.install(write_plugin(tmp_path, CODE))
    await host.start("probe")
    watch, looks = worker(host)._observer.watch, 200
    await watch.look()

    before = time.process_time()
    for _ in range(looks):
        assert await watch.look() is None
    each_seconds = (time.process_time() - before) / looks

    print(f"one look: {each_seconds * 1e3:.2f} ms of the host's CPU; 100 workers: {each_seconds * 10:.2%} of one core")
    assert each_seconds < 0.01
