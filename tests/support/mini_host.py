"""A host of a few lines for one worker process: the real listener, and the testing kit's gate and fakes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import subprocess
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from moorage.broker.listener import Listener
from moorage_proto import (
    capability,
    config_pb2,
    execution_pb2,
    kafka_pb2,
    link_pb2,
    log_pb2,
    plugin_pb2,
    start_pb2,
    values,
)
from moorage_proto.capability import Grants
from moorage_proto.errors import CallError
from moorage_proto.methods import service_methods
from moorage_sdk.testing.base import FakeScope
from moorage_sdk.testing.config import FakeConfig
from moorage_sdk.testing.execution import FakeExecution
from moorage_sdk.testing.gate import Gate
from moorage_sdk.testing.kafka import FakeKafka
from moorage_sdk.testing.log import FakeLog

PLUGIN = service_methods(plugin_pb2, "PluginService")
SERVICES = (
    (config_pb2, "ConfigService"),
    (execution_pb2, "ExecutionService"),
    (kafka_pb2, "KafkaService"),
    (log_pb2, "LogService"),
)
METHODS = {method.path: method for services in SERVICES for method in service_methods(*services).values()}

RIGHT = "kafka.produce:plugin-topic"
WAIT_SECONDS = 30.0


class MiniHost:
    """One worker process and the host's end of its link. The plugin may produce to plugin-topic."""

    link: Any
    process: subprocess.Popen[bytes]
    hello: link_pb2.Hello

    def __init__(self) -> None:
        self.kafka, self.log, self.execution = FakeKafka(), FakeLog(), FakeExecution()
        self.gate = Gate("churn", (self.kafka, self.log, self.execution, FakeConfig()))
        self.gate.grants = Grants((capability.parse(RIGHT),))
        self.open_scope("i-1")

    def open_scope(self, name: str, execution: str = "") -> None:
        self.gate.scopes[name] = FakeScope(name, execution)

    def dispatch(self, call: Any) -> None:
        method = METHODS[call.method]
        try:
            passage = self.gate.enter(method, call.scope)
            request = method.request.FromString(call.request)
            passage.examine(request)
            call.reply(passage.handle(request).SerializeToString())
        except CallError as error:
            call.fail(error)

    def welcome(self, hello: link_pb2.Hello) -> link_pb2.Welcome:
        self.hello = hello
        return link_pb2.Welcome(installation="churn", incarnation_scope="i-1", log_level="INFO", capabilities=[RIGHT])

    async def call(self, name: str, request: Any, scope: str = "i-1") -> Any:
        return await self.link.call(PLUGIN[name], request, scope=scope, timeout=WAIT_SECONDS)

    async def load(self) -> plugin_pb2.LoadReply:
        reply: plugin_pb2.LoadReply = await self.call("load", plugin_pb2.LoadRequest())
        return reply

    async def run(self, task: str, given: Any = None, scope: str = "e-1") -> Any:
        self.open_scope(scope, scope)
        request = plugin_pb2.RunRequest(
            task=task, execution=scope, attempt=1, trigger="manual", input=values.to_wire(given)
        )
        return values.from_wire((await self.call("run", request, scope)).result)

    async def exit_code(self) -> int:
        return await asyncio.to_thread(self.process.wait, WAIT_SECONDS)


@contextlib.asynccontextmanager
async def mini_host(
    folder: Path,
    python: str,
    source: str,
    *,
    path: tuple[str, ...] = (),
    token: bytes | None = None,
) -> AsyncIterator[MiniHost]:
    """Starts the bootstrap in an interpreter with a plugin; ``token`` is what the worker shows instead of its own."""
    (folder / "churn_plugin.py").write_text(textwrap.dedent(source))
    host = MiniHost()
    own = secrets.token_bytes(16)
    socket = folder / "h"
    listener = Listener(socket, own, host.welcome, host.dispatch, lambda error: None)
    await listener.start()
    record = start_pb2.StartRecord(token=token or own, socket=str(socket), entry_point="churn_plugin:plugin")
    host.process = subprocess.Popen(
        [python, "-c", "from moorage_sdk.worker.bootstrap import main; main()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(folder), *path))},
    )
    try:
        host.process.stdin.write(record.SerializeToString())
        host.process.stdin.close()
        if token is None:
            host.link = await listener.connected(WAIT_SECONDS)
        yield host
    finally:
        host.process.kill()
        host.process.wait(WAIT_SECONDS)
        host.process.stdout.close()
        host.process.stderr.close()
        await listener.close()
