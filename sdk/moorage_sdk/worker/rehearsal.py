"""What each worker does first, done before the zygote forks: so its workers share what that leaves in memory.

A fork shares all memory until one side writes. Python writes where it only reads, too: code is specialised as it runs,
types remember what was looked up, dictionaries of instances agree on their keys, messages get their parsers. Whatever
of it has happened before the fork costs a worker neither time nor memory of its own.

Nothing of it reaches gRPC, whose threads no fork would survive, nor any host: both ends of the link are in here.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any, Set, Tuple

from google.protobuf.message import Message
from grpc import aio

from moorage_proto import PROTOCOL_VERSIONS, config_pb2, link_pb2, log_pb2, plugin_pb2, values
from moorage_proto.link import IncomingCall, Link, LinkLimits, Side, handshake
from moorage_proto.link.limits import to_wire
from moorage_proto.methods import service_methods
from moorage_sdk.host import facts_from_welcome
from moorage_sdk.services.log import HostHandler
from moorage_sdk.worker.channel import LinkChannel
from moorage_sdk.worker.link import ClientStream, LinkThread
from moorage_sdk.worker.runtime import Runtime

#: Code is specialised after some eight runs.
PLAYS = 10

#: Far more than a play takes on a machine that has much else to do.
_DEADLINE_SECONDS = 30.0

_PLUGIN = service_methods(plugin_pb2, "PluginService")
_GET = service_methods(config_pb2, "ConfigService")["get"]
_ANSWERED = {method.path: method for method in (_GET, service_methods(log_pb2, "LogService")["write"])}
_PLUGIN_MODULE = "moorage_sdk.worker.rehearsed"
_SCOPE = "rehearsal"


def rehearse() -> None:
    """Plays a short life of a worker, several times. Leaves one thread, no loop, and nothing that a plugin could see.

    Raises what goes wrong: then it would in each worker, too.
    """
    for _ in range(PLAYS):
        asyncio.run(_play())
        sys.modules.pop(_PLUGIN_MODULE)
        del sys.modules["moorage_sdk.worker"].rehearsed


async def _play() -> None:
    """The worker's part, as the bootstrap has it."""
    worker: Runtime

    def dispatch(call: IncomingCall) -> None:
        worker.dispatch(call)

    thread = LinkThread("", b"token", dispatch, dial=_Host().dial)
    channel = LinkChannel(thread)
    handler = HostHandler(channel)
    worker = Runtime(
        f"{_PLUGIN_MODULE}:plugin",
        channel=channel,
        flush=handler.flush_async,
        in_link_thread=thread.loop.call_soon_threadsafe,
    )
    worker.meet(facts_from_welcome(thread.start()))
    log = logging.Logger(_SCOPE)
    log.addHandler(handler)
    log.info("played")
    asked = config_pb2.GetSettingRequest(key="word")
    await channel.call_async(_GET, asked)
    aside = asyncio.get_running_loop().run_in_executor
    await aside(None, lambda: channel.call(_GET, asked))
    await aside(None, thread.wait_closed, _DEADLINE_SECONDS)
    thread.close("played")
    if not worker.unloaded.is_set():
        raise RuntimeError("the rehearsal broke off")
    handler.close()


class _Host:
    """The other end, on the loop of the link's thread."""

    def __init__(self) -> None:
        self._limits = LinkLimits()
        self._tasks: Set[asyncio.Task[None]] = set()
        self._lanes = 0

    def dial(self, _socket_path: str, _limits: LinkLimits) -> Tuple[ClientStream, Any]:
        there: asyncio.Queue[Any] = asyncio.Queue()
        back: asyncio.Queue[Any] = asyncio.Queue()
        ours = ClientStream(_Call(there, back))
        self._lanes += 1
        task = asyncio.get_running_loop().create_task(self._serve(ours) if self._lanes == 1 else self._attach(ours))
        self._tasks.add(task)
        return ClientStream(_Call(back, there)), _Channel()

    async def _serve(self, stream: ClientStream) -> None:
        handshake.first_frame(await stream.read() or b"", self._limits)
        welcome = link_pb2.Welcome(
            installation="moorage_sdk",
            incarnation_scope=_SCOPE,
            log_level="INFO",
            capabilities=["config.read:**"],
            protocol_version=max(PROTOCOL_VERSIONS),
            limits=to_wire(self._limits),
            lane_ticket=b"ticket",
        )
        await stream.write(handshake.welcome(welcome))
        self._link = Link(stream, Side.HOST, self._answer, limits=self._limits, name="rehearsal")
        try:
            await self._direct(self._link)
        finally:
            await self._link.close("played")

    async def _attach(self, stream: ClientStream) -> None:
        frame = handshake.first_frame(await stream.read() or b"", self._limits)
        self._link.add_lane(frame.attach.lane, stream)

    async def _direct(self, link: Link) -> None:
        """What a host asks of a worker, once."""
        load = plugin_pb2.LoadRequest(config=values.record_to_wire({"word": "played"}), version="1.0.0")
        await self._ask("load", load)
        await link.ping(_DEADLINE_SECONDS)
        await self._ask("health", plugin_pb2.HealthRequest())
        for task in ("from_coroutine", "from_thread"):
            run = plugin_pb2.RunRequest(
                task=task, execution="played", attempt=1, trigger="manual", input=values.to_wire({"number": 1})
            )
            await self._ask("run", run)
        await self._ask("unload", plugin_pb2.UnloadRequest(reason="played"))

    async def _ask(self, method: str, request: Message) -> None:
        await self._link.call(_PLUGIN[method], request, scope=_SCOPE, timeout=_DEADLINE_SECONDS)

    def _answer(self, call: IncomingCall) -> None:
        call.reply(_ANSWERED[call.method].reply().SerializeToString())


class _Call:
    """One end of a stream in memory, as gRPC's calls are."""

    def __init__(self, incoming: asyncio.Queue[Any], outgoing: asyncio.Queue[Any]) -> None:
        self._incoming = incoming
        self._outgoing = outgoing

    async def read(self) -> Any:
        return await self._incoming.get()

    async def write(self, data: bytes) -> None:
        self._outgoing.put_nowait(data)

    async def done_writing(self) -> None:
        self._outgoing.put_nowait(aio.EOF)


class _Channel:
    async def close(self) -> None:
        """There is none."""
