"""The Redis server in the host: fakeredis, which forgets at exit. It knows ACLs and does not enforce them.

It runs on the host's event loop and in the host's memory, so what it holds is bounded, and scripts are refused: its Lua
reaches Python, and so the host itself.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
from typing import Any

from moorage.broker.services.redis import patterns
from moorage.broker.services.redis.connections import common_options
from moorage.broker.services.redis.library import client, fakeredis
from moorage.broker.services.redis.room import OBJECT_BYTES, Room
from moorage.broker.services.redis.wire import MAX_REPLY_BYTES, ReplyTooLarge, ServerError, reply_bytes

#: What it says of itself. Its commands are those of the committed table, as far as it has them.
VERSION = (7, 0)


#: Of SCAN and its kind, that are remembered.
MAX_CURSORS = 16

#: Of all transactions that are open, together.
MAX_QUEUED_BYTES = 64 * 1024 * 1024

FULL = ServerError("OOM The embedded Redis server is full. Delete keys, or let the operator set a real server's URL.")


class Unread(asyncio.Queue[Any]):
    """Answers that were not read yet: memory of the host, so that who reads too slowly is ended."""

    def __init__(self) -> None:
        super().__init__()
        self.size_bytes = 0

    def clear(self) -> None:
        while not self.empty():
            self.get_nowait()

    def _put(self, item: Any) -> None:
        super()._put(item)
        self.size_bytes += reply_bytes(item)

    def _get(self) -> Any:
        item = super()._get()
        self.size_bytes -= reply_bytes(item)
        return item


class EmbeddedConnections:
    """To one server, which lives as long as this."""

    def __init__(self) -> None:
        client()
        self.server = fakeredis.FakeServer(version=VERSION)
        # Each keeps a list of all keys; one that is forgotten is a position among those that are there then.
        self.server.SCAN_CURSORS_LIMIT = MAX_CURSORS
        databases = self.server.dbs
        self.server.room = Room(lambda: (database._dict for database in databases.values()))  # noqa: SLF001 - to weigh

    def new(self, **_: Any) -> Any:
        options = {name: value for name, value in common_options().items() if name != "parser_class"}
        return _connection_class()(server=self.server, version=VERSION, **options)


@functools.cache
def _socket_class() -> Any:
    """Made when it is first needed, as its base is of an extra."""
    base: Any = importlib.import_module("fakeredis.aioredis").AsyncFakeSocket

    class Socket(base):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.responses = Unread()
            self._overrun = False
            #: Bytes of what waits for EXEC.
            self.queued = 0

        def put_response(self, msg: Any) -> None:
            if self._overrun or self.responses is None:
                return
            super().put_response(msg)
            if self.responses.size_bytes > MAX_REPLY_BYTES:
                self._overrun = True
                self.responses.clear()
                super().put_response(client().ConnectionError("read too slowly") if self._pubsub else ReplyTooLarge())

        def _process_command(self, fields: list[bytes]) -> None:
            if self._overrun:
                # Nobody would hear of it: the connection is given up as soon as that is read.
                return
            if fields and not (_may_queue(self, fields) and self._server.room.admits(fields)):
                # A transaction that could not be queued as a whole is not run.
                if self._queueing:
                    self._transaction_failed = True
                self.put_response(FULL)
            else:
                super()._process_command(fields)

        def _decode_error(self, error: Any) -> ServerError:
            return ServerError(error.value)

    return Socket


def _may_queue(socket: Any, fields: list[bytes]) -> bool:
    """What is queued in all transactions together has an end; it is counted then."""
    if not socket._queueing or fields[0].lower() in (b"exec", b"discard"):  # noqa: SLF001 - nothing public tells
        socket.queued = 0
        return True
    socket.queued += sum(len(field) + OBJECT_BYTES for field in fields)
    return bool(sum(each.queued for each in socket._server.sockets) <= MAX_QUEUED_BYTES)  # noqa: SLF001 - its own server


@functools.cache
def _connection_class() -> Any:
    """As ``_socket_class``."""
    patterns.tame()
    aioredis: Any = importlib.import_module("fakeredis.aioredis")
    base: Any = aioredis.FakeAsyncRedisConnection

    class Connection(base):  # type: ignore[misc]
        async def _connect(self) -> None:
            self._sock = _socket_class()(
                self._server, self.db, client_class=self._client_class, lua_modules=None, client_info=self._client_info
            )
            self._reader, self._writer = aioredis.FakeReader(self._sock), aioredis.FakeWriter(self._sock)

        async def read_response(self, **options: Any) -> Any:
            response = await super().read_response(**options)
            if isinstance(response, (ReplyTooLarge, client().ConnectionError)):
                raise response
            return response

        async def disconnect(self, nowait: bool = False, **options: Any) -> None:
            """As a real server sees it: a pop that waits ends, and takes nothing any more; so do watches."""
            sock = self._sock
            await super().disconnect(nowait, **options)
            if sock is not None:
                with self._server.lock:
                    if sock._blocked:  # noqa: SLF001 - what its CLIENT UNBLOCK does
                        sock._unblock_reason = b"timeout"  # noqa: SLF001 - the same
                        sock._db.wake_all()  # noqa: SLF001 - the same
                    sock.kill()

    return Connection
