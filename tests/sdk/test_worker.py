"""The bootstrap in a real process, linked to a small host: a listener, and the testing kit's gate and fakes."""

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from moorage.broker.listener import Listener
from moorage_proto import capability, link_pb2, plugin_pb2, start_pb2, values
from moorage_proto.capability import Grants
from moorage_proto.errors import CallError, Reason
from moorage_proto.methods import service_methods
from moorage_sdk.testing.base import FakeScope
from moorage_sdk.testing.config import FakeConfig
from moorage_sdk.testing.execution import FakeExecution
from moorage_sdk.testing.gate import Gate
from moorage_sdk.testing.kafka import FakeKafka
from moorage_sdk.testing.log import FakeLog
from moorage_sdk.worker import bootstrap

#: Each test starts a Python process.
pytestmark = pytest.mark.system

PLUGIN = service_methods(plugin_pb2, "PluginService")
METHODS = {
    method.path: method
    for module, service in (
        ("config", "ConfigService"),
        ("execution", "ExecutionService"),
        ("kafka", "KafkaService"),
        ("log", "LogService"),
    )
    for method in service_methods(__import__(f"moorage_proto.{module}_pb2", fromlist=["DESCRIPTOR"]), service).values()
}

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


class MiniHost:
    """One worker process and the host's end of its link."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.kafka, self.log, self.execution = FakeKafka(), FakeLog(), FakeExecution()
        self.gate = Gate("churn", (self.kafka, self.log, self.execution, FakeConfig()))
        self.gate.grants = Grants((capability.parse("kafka.produce:plugin-topic"),))
        self.open_scope("i-1")

    def open_scope(self, name, execution=""):
        self.gate.scopes[name] = FakeScope(name, execution)

    def dispatch(self, call):
        method = METHODS[call.method]
        try:
            passage = self.gate.enter(method, call.scope)
            request = method.request.FromString(call.request)
            passage.examine(request)
            call.reply(passage.handle(request).SerializeToString())
        except CallError as error:
            call.fail(error)

    def welcome(self, hello):
        return link_pb2.Welcome(
            protocol_version=1,
            installation="churn",
            incarnation_scope="i-1",
            log_level="INFO",
            capabilities=["kafka.produce:plugin-topic"],
        )

    async def call(self, name, request, scope="i-1", **options):
        return await self.link.call(PLUGIN[name], request, scope=scope, timeout=20, **options)

    async def run(self, task, given=None, scope="e-1"):
        self.open_scope(scope, scope)
        request = plugin_pb2.RunRequest(
            task=task, execution=scope, attempt=1, trigger="manual", input=values.to_wire(given)
        )
        return values.from_wire((await self.call("run", request, scope)).result)

    async def exit_code(self):
        return await asyncio.get_running_loop().run_in_executor(None, lambda: self.process.wait(20))


@pytest.fixture
def start(tmp_path, monkeypatch):
    @asynccontextmanager
    async def start(source=SOURCE, entry_point="churn_plugin:plugin", token=None):
        folder = Path(tmp_path)
        (folder / "churn_plugin.py").write_text(textwrap.dedent(source))
        host = MiniHost(folder)
        good = secrets.token_bytes(16)
        socket = folder / "h"
        listener = Listener(socket, good, host.welcome, host.dispatch, lambda error: None)
        await listener.start()
        record = start_pb2.StartRecord(token=token or good, socket=str(socket), entry_point=entry_point)
        host.process = subprocess.Popen(
            [sys.executable, "-c", "from moorage_sdk.worker.bootstrap import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=False,
            env={**os.environ, "PYTHONPATH": str(folder)},
        )
        host.process.stdin.write(record.SerializeToString())
        host.process.stdin.close()
        try:
            if token is None:
                host.link = await listener.connected(20)
            yield host
        finally:
            host.process.kill()
            host.process.wait(20)
            host.process.stdout.close()
            host.process.stderr.close()
            await listener.close()

    return start


async def loaded(host):
    return await host.call("load", plugin_pb2.LoadRequest())


async def test_a_whole_life(start):
    async with start() as host:
        reply = await loaded(host)
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
        await loaded(host)
        with pytest.raises(CallError, match="task 'fail' raised LookupError: no users") as caught:
            await host.run("fail")
        assert caught.value.reason == Reason.TASK_FAILED
        assert caught.value.task.type == "LookupError"
        assert "churn_plugin.py" in caught.value.task.traceback
        assert "moorage_sdk" not in caught.value.task.traceback
        with pytest.raises(CallError, match="raised SystemExit: 3"):
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
        await loaded(host)
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
        await loaded(host)
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
        await loaded(host)
        host.process.send_signal(signal.SIGTERM)
        assert await host.exit_code() == bootstrap.EXIT_TERMINATED


async def test_a_wrong_token_is_told_on_stderr(start):
    async with start(token=b"wrong") as host:
        assert await host.exit_code() == bootstrap.EXIT_LINK_LOST
        assert b"no link to the host" in host.process.stderr.read()


async def test_a_plugin_that_cannot_be_loaded(start):
    async with start("import nothing_like_it") as host:
        with pytest.raises(CallError, match="importing 'churn_plugin' raised ModuleNotFoundError") as caught:
            await loaded(host)
        assert caught.value.reason == Reason.LOAD_FAILED
        assert "moorage_sdk" not in caught.value.task.traceback
        assert "churn_plugin.py" in caught.value.task.traceback


async def test_calls_before_load_are_refused(start):
    async with start() as host:
        with pytest.raises(CallError, match="the plugin is not loaded; Load comes first"):
            await host.run("execute")
        await loaded(host)
        with pytest.raises(CallError, match="loaded already"):
            await loaded(host)


def test_importing_the_bootstrap_starts_nothing():
    code = (
        "import moorage_sdk.worker.bootstrap, threading, os;"
        "assert threading.active_count() == 1; print(len(os.listdir('/proc/self/task')))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout == "1\n"
