"""The worker's end of its link: dials the host, shakes hands, and runs the link on a thread of its own.

The link's event loop is not the plugin's: pings are answered whatever plugin code does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import platform
import threading
from typing import Any, Callable, List, Optional, Tuple

import google.protobuf
import grpc
from grpc import aio

from moorage_proto import link_pb2
from moorage_proto.errors import CallError
from moorage_proto.link import Dispatcher, Link, LinkLimits, Side, Violation, handshake
from moorage_proto.link.failures import link_closed
from moorage_proto.link.limits import from_wire
from moorage_sdk import __version__
from moorage_sdk.errors import typed
from moorage_sdk.worker.handover import Handover

log = logging.getLogger(__name__)

_METHOD = f"/{handshake.SERVICE}/{handshake.RPC}"
_LOST = "the host's end of the link is gone"

#: Between the end of the link and the end of its thread.
_JOIN_TIMEOUT_SECONDS = 5.0


class ClientStream:
    """A Transport: the client's end of the RPC."""

    def __init__(self, call: Any) -> None:
        self._call = call

    async def read(self) -> Optional[bytes]:
        try:
            data = await self._call.read()
        except (asyncio.CancelledError, asyncio.InvalidStateError, aio.AioRpcError, aio.InternalError):
            # grpc.aio reports the end of an RPC to its readers by cancelling them, too.
            return None
        return None if data is aio.EOF else bytes(data)

    async def write(self, data: bytes) -> None:
        try:
            await self._call.write(data)
        except (asyncio.CancelledError, asyncio.InvalidStateError, aio.AioRpcError, aio.InternalError) as error:
            raise ConnectionError(_LOST) from error

    async def finish(self) -> None:
        with contextlib.suppress(asyncio.InvalidStateError, aio.AioRpcError, aio.InternalError):
            await self._call.done_writing()


def channel_options(limits: LinkLimits) -> List[Tuple[str, int]]:
    """Of one lane's gRPC channel: a connection of its own, nothing that dials elsewhere, no retries."""
    return [
        *handshake.carrier_options(limits),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_http_proxy", 0),
        ("grpc.enable_retries", 0),
        ("grpc.service_config_disable_resolution", 1),
    ]


def dial(socket_path: str, limits: LinkLimits) -> Tuple[ClientStream, Any]:
    """A stream on a connection of its own, and what must be closed after it."""
    channel = aio.insecure_channel(f"unix:{socket_path}", options=channel_options(limits))
    return ClientStream(channel.stream_stream(_METHOD)()), channel


#: ``dial``, or what takes its place where there is no socket.
Dial = Callable[[str, LinkLimits], Tuple[ClientStream, Any]]


class Connection:
    """A link that was made by ``connect``, and what must be closed after it."""

    def __init__(
        self, link: Link, welcome: link_pb2.Welcome, redial: Callable[[], Tuple[ClientStream, Any]], channel: Any
    ) -> None:
        """``redial`` opens a further connection to the same socket."""
        self.link = link
        self.welcome = welcome
        self._redial = redial
        self._channels: List[Any] = [channel]

    async def open_lanes(self) -> None:
        """The further lanes, each on a connection of its own, so that bulk does not hold up what is small."""
        for number in range(1, self.link.limits.max_lanes):
            stream, channel = self._redial()
            self._channels.append(channel)
            await stream.write(handshake.attach(self.welcome.lane_ticket, number))
            if self.link.closed.done():
                return
            self.link.add_lane(number, stream)

    async def closed(self) -> CallError:
        """Until the link has ended and everything is closed; why it ended."""
        reason = await asyncio.shield(self.link.closed)
        await self.link.wait_finished()
        for channel in self._channels:
            await channel.close()
        return reason


async def connect(socket_path: str, token: bytes, dispatcher: Dispatcher, dial: Dial = dial) -> Connection:
    """Dials and shakes hands in the running loop. Raises CallError with the host's refusal, or LINK_CLOSED."""
    limits = LinkLimits()
    stream, channel = dial(socket_path, limits)
    try:
        await stream.write(handshake.hello(token, _versions()))
        data = await asyncio.wait_for(stream.read(), handshake.TIMEOUT_SECONDS)
        if data is None:
            raise link_closed("the host ended the connection without a word; see the host's log")
        welcome = handshake.read_welcome(data, limits)
    except Violation as violation:
        await channel.close()
        raise violation.error from None
    except (ConnectionError, asyncio.TimeoutError):
        await channel.close()
        raise link_closed(
            f"no host answers on {socket_path}; it must be running and have started this worker"
        ) from None
    except BaseException:
        await channel.close()
        raise
    link = Link(stream, Side.WORKER, dispatcher, limits=from_wire(welcome.limits), name="host link")
    return Connection(link, welcome, lambda: dial(socket_path, link.limits), channel)


class LinkThread:
    """Owns the thread, the event loop and the link on it. ``start``, then use ``link`` from ``loop`` only."""

    def __init__(self, socket_path: str, token: bytes, dispatcher: Dispatcher, dial: Dial = dial) -> None:
        self._socket_path = socket_path
        self._dial = dial
        self._token = token
        self._dispatcher = dispatcher
        self._thread = threading.Thread(target=self._run, name="moorage-link", daemon=True)
        self._started = threading.Event()
        self._closed = threading.Event()
        self._connection: Optional[Connection] = None
        self._reason: Optional[CallError] = None
        self.loop = asyncio.new_event_loop()
        self._handover = Handover(self.loop)

    def start(self) -> link_pb2.Welcome:
        """Returns when the host has let the worker in. Raises a MoorageError when it has not."""
        self._thread.start()
        self._started.wait()
        if self._connection is None:
            assert self._reason is not None
            raise typed(self._reason)
        return self._connection.welcome

    @property
    def link(self) -> Link:
        if self._connection is None:
            raise typed(link_closed("there is no link to the host yet; it is made when the worker starts"))
        return self._connection.link

    @property
    def welcome(self) -> link_pb2.Welcome:
        assert self._connection is not None, "after start"
        return self._connection.welcome

    def post(self, callback: Callable[..., Any], *arguments: Any) -> None:
        """Runs something in the link's loop, in the order of posting; at once on its own thread.

        Raises RuntimeError when that has ended.
        """
        if self.is_current():
            callback(*arguments)
        else:
            self._handover.post(callback, *arguments)

    def is_current(self) -> bool:
        """Whether the caller runs on the link's thread, which must not block."""
        return threading.current_thread() is self._thread

    def wait_closed(self, timeout: Optional[float] = None) -> Optional[CallError]:
        """Why the link has ended; None when it has not within the timeout, in seconds."""
        return self._reason if self._closed.wait(timeout) else None

    def close(self, reason: str) -> None:
        """Ends the link and its thread; from any thread, idempotent."""
        connection = self._connection
        if connection is not None and not self._closed.is_set():
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                self.post(connection.link.end, link_closed(reason))
        if not self.is_current():
            self._thread.join(_JOIN_TIMEOUT_SECONDS)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self._reason = self.loop.run_until_complete(self._live())
        except CallError as error:
            self._reason = error
        except Exception:
            log.exception("the link's thread failed")
            self._reason = link_closed("the link's own thread failed; its log has the details")
        finally:
            # Whoever called in the last moment is answered: the link has ended.
            self._handover.end()
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()
            self._closed.set()
            self._started.set()

    async def _live(self) -> CallError:
        self._connection = connection = await connect(self._socket_path, self._token, self._dispatcher, self._dial)
        self._started.set()
        try:
            await connection.open_lanes()
        except ConnectionError:
            log.debug("the host went away while lanes were opened")
        return await connection.closed()


def _versions() -> Tuple[str, str, str, str]:
    """Of SDK, Python, protobuf and grpcio."""
    return __version__, platform.python_version(), google.protobuf.__version__, grpc.__version__
