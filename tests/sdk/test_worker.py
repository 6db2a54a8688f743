"""The bootstrap in a real process, linked to a small host."""

import asyncio
import signal
import subprocess
import sys
import time

import pytest
from mini_host import mini_host

from moorage_proto import plugin_pb2, values
from moorage_proto.errors import CallError, Reason
from moorage_sdk.worker import bootstrap

#: Each test starts a Python process.
pytestmark = pytest.mark.system

SOURCE = """
    from __future__ import annotations

    import asyncio
    import atexit
    import logging
    import sys
    import threading
    import time
    from dataclasses import dataclass
    from typing import Optional

    from moorage_sdk import Context, Plugin
    from moorage_sdk.kafka import Producer

    plugin = Plugin()


    @dataclass
    class Wish:
        name: str
        times: int = 1


    @dataclass
    class Report:
        said: str
        thread: str


    @plugin.on_load
    def load(log: logging.Logger):
        atexit.register(print, "atexit ran")
        log.info("loaded")


    @plugin.on_unload
    async def unload(log: logging.Logger):
        log.info("unloaded")


    @plugin.task
    def execute(ctx: Context, wish: Wish, log: logging.Logger, kafka: Producer) -> Report:
        kafka.send("plugin-topic", wish.name)
        log.info("said", extra={"execution": ctx.execution})
        ctx.progress(0.5, "half")
        return Report(wish.name * wish.times, threading.current_thread().name)


    @plugin.task
    async def forever(ctx: Context) -> None:
        ctx.progress(0.1)
        await asyncio.sleep(3600)


    @plugin.task
    def stubborn(ctx: Context) -> str:
        ctx.progress(0.1)
        assert ctx.wait_cancelled(30)
        return "done all the same"


    @plugin.task
    def burn() -> None:
        while True:
            time.sleep(0.01)


    @plugin.task
    def fail() -> None:
        raise LookupError("no users")


    @plugin.task
    def leave() -> None:
        sys.exit(3)
"""


@pytest.fixture
def start(tmp_path):
    def start(source=SOURCE, **options):
        return mini_host(tmp_path, sys.executable, source, **options)

    return start


async def test_a_whole_life(start):
    async with start() as host:
        reply = await host.load()
        assert [task.name for task in reply.tasks] == ["execute", "forever", "stubborn", "burn", "fail", "leave"]
        assert reply.hooks == ["on_load", "on_unload"]
        schema = values.record_from_wire(reply.tasks[0].input_schema)
        assert schema["required"] == ["name"]
        result = await host.run("execute", {"name": "Ada", "times": 2})
        assert result["said"] == "AdaAda"
        assert result["thread"].startswith("moorage-sync")
        assert host.kafka.values("plugin-topic") == [b"Ada"]
        assert host.execution.reports == [("e-1", 0.5, "half")]
        health = await host.call("health", plugin_pb2.HealthRequest())
        assert health.healthy
        await host.call("unload", plugin_pb2.UnloadRequest(reason="stop"))
        assert [(line.message, line.execution) for line in host.log.lines] == [
            ("loaded", ""),
            ("said", "e-1"),
            ("unloaded", ""),
        ]
        await host.link.close("stop")
        assert await host.exit_code() == 0
        assert host.process.stdout.read() == b"atexit ran\n"


async def test_failures_are_told_with_the_plugins_frames_only(start):
    async with start() as host:
        await host.load()
        with pytest.raises(CallError, match="task 'fail' raised LookupError: no users") as caught:
            await host.run("fail")
        assert caught.value.reason == Reason.TASK_FAILED
        assert caught.value.task.type == "LookupError"
        assert "churn_plugin.py" in caught.value.task.traceback
        assert "moorage_sdk" not in caught.value.task.traceback
        with pytest.raises(CallError, match=r"SystemExit\(3\) would end more than this"):
            await host.run("leave", scope="e-2")
        with pytest.raises(CallError, match="there is no task 'dance'; the plugin's tasks are: execute") as caught:
            await host.run("dance", scope="e-3")
        assert caught.value.reason == Reason.TASK_UNKNOWN
        with pytest.raises(CallError, match=r"input: there is no field 'nam'; did you mean 'name'\?"):
            await host.run("execute", {"nam": "Ada"}, scope="e-4")
        assert (await host.run("execute", {"name": "Ada"}, scope="e-5"))["said"] == "Ada"


@pytest.mark.parametrize("task", ["forever", "stubborn"])
async def test_cancelling(start, task):
    async with start() as host:
        await host.load()
        running = asyncio.ensure_future(host.run(task))
        async with asyncio.timeout(20):
            while not host.execution.reports:
                await asyncio.sleep(0.005)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        # The worker goes on.
        assert (await host.run("execute", {"name": "Ada"}, scope="e-2"))["said"] == "Ada"


async def test_the_end_of_the_link_ends_a_busy_worker_at_once(start):
    async with start() as host:
        await host.load()
        running = asyncio.ensure_future(host.run("burn"))
        await host.call("health", plugin_pb2.HealthRequest())
        before = time.monotonic()
        await host.link.close("the host goes")
        assert await host.exit_code() == bootstrap.EXIT_LINK_LOST
        assert time.monotonic() - before < 2
        with pytest.raises(CallError):
            await running


async def test_sigterm_ends_it(start):
    async with start() as host:
        await host.load()
        host.process.send_signal(signal.SIGTERM)
        assert await host.exit_code() == bootstrap.EXIT_TERMINATED


async def test_a_wrong_token_is_told_on_stderr(start):
    async with start(token=b"wrong") as host:
        assert await host.exit_code() == bootstrap.EXIT_LINK_LOST
        assert b"no link to the host" in host.process.stderr.read()


async def test_a_plugin_that_cannot_be_loaded(start):
    async with start("import nothing_like_it") as host:
        with pytest.raises(CallError, match="importing 'churn_plugin' raised ModuleNotFoundError") as caught:
            await host.load()
        assert caught.value.reason == Reason.LOAD_FAILED
        assert "moorage_sdk" not in caught.value.task.traceback
        assert "churn_plugin.py" in caught.value.task.traceback


async def test_calls_before_load_are_refused(start):
    async with start() as host:
        with pytest.raises(CallError, match="the plugin is not loaded; Load comes first"):
            await host.run("execute")
        await host.load()
        with pytest.raises(CallError, match="loaded already"):
            await host.load()


def test_importing_the_bootstrap_starts_nothing():
    code = (
        "import moorage_sdk.worker.bootstrap, threading, os;"
        "assert threading.active_count() == 1; print(len(os.listdir('/proc/self/task')))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout == "1\n"
