"""The host's end of one worker's link: a private socket, a handshake, then a Link.

There is one gRPC server for each worker, so which server was dialled says who dials; the one-time token comes second.

The socket's path goes as soon as the worker has opened its lanes. Tried without: a plugin that dials and hangs up in a
loop, 34,000 times a second, kept gRPC's threads busy for everyone; another worker's calls took up to 1.5 s.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
from grpc import aio

from moorage.broker import sockets
from moorage_proto import link_pb2
from moorage_proto.errors import CallError, Reason, Status
from moorage_proto.link import Dispatcher, Link, LinkLimits, Side, Violation, frames, handshake
from moorage_proto.link.failures import link_closed
from moorage_proto.link.limits import to_wire

log = logging.getLogger(__name__)

#: `sun_path` of unix(7) has 108 bytes, the last of them zero.
MAX_SOCKET_PATH_BYTES = 107

#: Streams, and connections, beside the lanes' that may stand in their handshake at one time.
SPARE_STREAMS = 4

#: A worker opens its lanes at once. Then, or this long after it was let in, nobody can dial any more.
DOOR_SECONDS = 5.0

#: Refused streams after which the worker itself is refused.
MAX_REFUSALS = 16

#: Longest that a refusal may take to leave.
REFUSAL_TIMEOUT_SECONDS = 1.0

#: Streams have ended by then; a grace makes gRPC say good-bye without an error.
STOP_TIMEOUT_SECONDS = 0.5

_LOST = "the worker's connection is lost"
_INTERNAL = CallError(
    Status.INTERNAL, Reason.INTERNAL, "the host could not answer Hello, by a bug of its own; see its log"
)


class Listener:
    """Waits for one worker; owns its link. ``start`` and ``close`` it; there is no reconnect."""

    def __init__(
        self,
        socket_path: Path,
        token: bytes,
        make_welcome: Callable[[link_pb2.Hello], link_pb2.Welcome],
        dispatcher: Dispatcher,
        on_refused: Callable[[CallError], None],
        socket_uid: int | None = None,
        *,
        limits: LinkLimits | None = None,
        name: str = "link",
        pace: Callable[[float], float] = lambda _: 0.0,
    ) -> None:
        """``make_welcome`` may raise CallError to refuse; version, limits and lane ticket are filled in here.

        ``on_refused`` is told of every refused stream, and of a link that ended because the worker broke a rule.
        ``socket_uid`` owns the socket; None: the host's own user. ``pace`` is asked how long to pause in reading.
        """
        self._path = socket_path
        self._token = token
        self._ticket = secrets.token_bytes(32)
        self._make_welcome = make_welcome
        self._dispatcher = dispatcher
        self._on_refused = on_refused
        self._socket_uid = socket_uid
        self._limits = limits or LinkLimits()
        self._name = name
        self._pace = pace
        self._server: Any = None
        self._hello: link_pb2.Hello | None = None
        self._link: Link | None = None
        self._connected: asyncio.Future[Link] = asyncio.get_running_loop().create_future()
        self._closed = False
        self._refusals = 0
        self._closing_door: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Listens. Raises OSError or ValueError when the socket cannot be made."""
        length = len(os.fsencode(self._path))
        if length > MAX_SOCKET_PATH_BYTES:
            raise ValueError(
                f"the path of the socket has {length} bytes, and Unix allows {MAX_SOCKET_PATH_BYTES}: "
                "choose a shorter state directory"
            )
        self._server = aio.server(
            options=server_options(self._limits), maximum_concurrent_rpcs=self._limits.max_lanes + SPARE_STREAMS
        )
        self._server.add_generic_rpc_handlers((self._handlers(),))
        self._server.add_insecure_port(f"unix:{self._path}")
        # Until these two lines nobody but the host's user can write to the socket, which connecting needs.
        self._path.chmod(0o600)
        if self._socket_uid is not None and self._socket_uid != os.geteuid():
            os.chown(self._path, self._socket_uid, -1)
        await self._server.start()

    async def connected(self, timeout: float) -> Link:
        """The link, once the worker has shaken hands. Raises TimeoutError; CallError when closed meanwhile."""
        async with asyncio.timeout(timeout):
            return await asyncio.shield(self._connected)

    @property
    def hello(self) -> link_pb2.Hello:
        """What the worker said of itself; after ``connected``."""
        if self._hello is None:
            raise RuntimeError("no worker has connected yet; wait for `connected` first")
        return self._hello

    async def close(self, reason: str = "the host has closed the link") -> None:
        """Ends the link, forgets the token, removes the socket. Idempotent."""
        self._closed = True
        if self._link is not None:
            await self._link.close(reason)
        if not self._connected.done():
            self._connected.set_exception(link_closed(reason))
            self._connected.exception()  # nobody may be waiting for it
        if self._server is not None:
            await self._server.stop(STOP_TIMEOUT_SECONDS)
        self._close_door()

    def _close_door(self) -> None:
        """Nobody connects any more; connections that stand are not touched. Idempotent."""
        if self._closing_door is not None:
            self._closing_door.cancel()
        self._path.unlink(missing_ok=True)

    def _handlers(self) -> Any:
        # Neither serialiser nor deserialiser: what does not parse must reach the engine, which says so in a sentence.
        handler = grpc.stream_stream_rpc_method_handler(self._serve)
        return grpc.method_handlers_generic_handler(handshake.SERVICE, {handshake.RPC: handler})

    async def _serve(self, _requests: Any, context: Any) -> None:
        """One stream from its first frame to its end."""
        stream = ServerStream(context)
        try:
            await self._shake_hands(stream, await self._first_frame(stream))
        except Violation as violation:
            await self._refuse(stream, violation.error)
        except CallError as error:
            await self._refuse(stream, error)
        except ConnectionError:
            log.debug("%s: a stream ended in its handshake", self._name)
        except Exception:
            log.exception("%s: a handshake failed", self._name)
            await self._refuse(stream, _INTERNAL)
        else:
            await stream.finished.wait()

    async def _first_frame(self, stream: ServerStream) -> link_pb2.Frame:
        # Not a timeout around the read: cancelling it would cancel the RPC, and the sentence could not be sent.
        reading = asyncio.create_task(stream.read(), name=f"{self._name} handshake")
        await asyncio.wait([reading], timeout=handshake.TIMEOUT_SECONDS)
        if not reading.done():
            raise CallError(
                Status.DEADLINE_EXCEEDED,
                Reason.DEADLINE_EXCEEDED,
                f"no first frame came within {handshake.TIMEOUT_SECONDS:g} s; send Hello or Attach at once",
            )
        data = reading.result()
        if data is None:
            raise ConnectionError(_LOST)
        return handshake.first_frame(data, self._limits)

    async def _shake_hands(self, stream: ServerStream, frame: link_pb2.Frame) -> None:
        kind = frame.WhichOneof("body")
        if kind == "hello":
            await self._admit(stream, frame.hello)
        elif kind == "attach":
            self._attach(stream, frame.attach)
        else:
            raise Violation(f"a stream began with a frame of kind {kind}, and must begin with Hello or Attach")

    async def _admit(self, stream: ServerStream, hello: link_pb2.Hello) -> None:
        if not hmac.compare_digest(hello.token, self._token):
            raise handshake.token_invalid("the token is not this worker's")
        if self._closed or self._hello is not None:
            raise handshake.token_invalid("the token was used before")
        version = handshake.common_version(hello.protocol_versions)
        welcome = self._welcome(hello, version)
        self._hello = hello
        await stream.write(handshake.welcome(welcome))
        link = Link(
            stream,
            Side.HOST,
            self._dispatcher,
            limits=self._limits,
            name=self._name,
            stands=self._connections_stand,
            pace=self._pace,
        )
        link.closed.add_done_callback(self._audit_end)
        self._link = link
        self._closing_door = asyncio.get_running_loop().call_later(DOOR_SECONDS, self._close_door)
        self._close_door_behind(link)
        self._connected.set_result(link)

    def _welcome(self, hello: link_pb2.Hello, version: int) -> link_pb2.Welcome:
        welcome = self._make_welcome(hello)
        welcome.protocol_version = version
        welcome.limits.CopyFrom(to_wire(self._limits))
        welcome.lane_ticket = self._ticket
        return welcome

    def _attach(self, stream: ServerStream, attach: link_pb2.Attach) -> None:
        link = self._link
        if link is None or link.closed.done() or not hmac.compare_digest(attach.ticket, self._ticket):
            raise handshake.token_invalid("the lane ticket is not one of this link")
        if not 1 <= attach.lane < self._limits.max_lanes or link.has_lane(attach.lane):
            raise Violation(
                f"lane {attach.lane} cannot be opened: this link has lanes 1 to {self._limits.max_lanes - 1}, each once"
            )
        link.add_lane(attach.lane, stream)
        self._close_door_behind(link)

    def _close_door_behind(self, link: Link) -> None:
        if all(link.has_lane(number) for number in range(self._limits.max_lanes)):
            self._close_door()

    def _connections_stand(self) -> bool:
        """Whether as many connections live as lanes were opened, so that none was closed by the worker or its end."""
        link = self._link
        lanes = sum(link.has_lane(number) for number in range(self._limits.max_lanes)) if link is not None else 0
        return 0 < lanes <= sockets.living(self._path)

    def _audit_end(self, closed: asyncio.Future[CallError]) -> None:
        """A worker that breaks the protocol once it is let in is refused as well; so is a second Hello."""
        error = closed.result()
        if error.reason in (Reason.PROTOCOL_VIOLATION, Reason.TOKEN_INVALID):
            self._on_refused(error)

    async def _refuse(self, stream: ServerStream, error: CallError) -> None:
        if self._refusals >= MAX_REFUSALS:
            return  # more of the same would fill log and audit
        log.warning("%s: a stream was refused: %s", self._name, error)
        self._on_refused(error)
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(REFUSAL_TIMEOUT_SECONDS):
                await stream.write(frames.error(0, error))
        self._refusals += 1
        if self._refusals >= MAX_REFUSALS:
            self._close_door()
            if self._link is not None:
                self._link.end(Violation(f"{self._refusals} streams beside the link's own were refused").error)


class ServerStream:
    """A Transport: the server's end of one RPC, whose handler returns when ``finished`` is set."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self.finished = asyncio.Event()

    async def read(self) -> bytes | None:
        try:
            data = await self._context.read()
        except (asyncio.CancelledError, grpc.RpcError, aio.InternalError, aio.UsageError):
            # grpc.aio reports the end of an RPC to its readers by cancelling them, too.
            data = aio.EOF
        if data is aio.EOF:
            self.finished.set()
            return None
        return bytes(data)

    async def write(self, data: bytes) -> None:
        try:
            await self._context.write(data)
        except (asyncio.CancelledError, grpc.RpcError, aio.InternalError, aio.UsageError) as error:
            raise ConnectionError(_LOST) from error

    async def finish(self) -> None:
        self.finished.set()


def server_options(limits: LinkLimits) -> list[tuple[str, int]]:
    """Of one worker's gRPC server."""
    return [
        *handshake.carrier_options(limits),
        ("grpc.max_concurrent_streams", limits.max_lanes + SPARE_STREAMS),
        ("grpc.max_allowed_incoming_connections", limits.max_lanes + SPARE_STREAMS),
        ("grpc.max_metadata_size", 4096),
        ("grpc.server_handshake_timeout_ms", int(handshake.TIMEOUT_SECONDS * 1000)),
        ("grpc.max_connection_idle_ms", 60_000),  # a connection without a stream is no use to an honest worker
        ("grpc.so_reuseport", 0),
    ]
