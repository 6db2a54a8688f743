"""An HTTP server on loopback that notes what comes, byte by byte, and does what a test says."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Handler = Callable[["Received", asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Received:
    method: str
    target: str
    version: str
    #: As they came, names in lower case.
    headers: list[tuple[str, str]]
    body: bytes = b""
    #: The rest of the connection, for handlers that read the body themselves.
    reader: asyncio.StreamReader | None = field(default=None, repr=False)

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


class WebServer:
    """On the event loop that entered it. Answers with what ``on`` set for the path, otherwise with what it received."""

    def __init__(self) -> None:
        self.port = 0
        self.received: list[Received] = []
        self.accepted = 0
        #: Connections that are open now.
        self.open = 0
        self.closed = asyncio.Event()
        self._handlers: dict[str, Handler] = {}
        self._unread: set[str] = set()
        self._connections: set[asyncio.Task[None]] = set()

    def on(self, path: str, handler: Handler, *, unread: bool = False) -> None:
        """``unread``: the handler reads the body itself, or does not."""
        self._handlers[path] = handler
        if unread:
            self._unread.add(path)

    def answer(self, path: str, status: int = 200, body: bytes = b"", **headers: str) -> None:
        """Header names with underscores for hyphens."""

        async def handler(received: Received, writer: asyncio.StreamWriter) -> None:
            named = {key.replace("_", "-"): value for key, value in headers.items()}
            await reply(writer, status, body, named)

        self.on(path, handler)

    @property
    def origin(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        self.accepted += 1
        self.open += 1
        try:
            while True:
                received = await self._read_head(reader)
                if received is None:
                    return
                self.received.append(received)
                if received.path not in self._unread:
                    received.body = await _read_body(received, reader)
                await self._handlers.get(received.path, _mirror)(received, writer)
                await writer.drain()
                if writer.is_closing():
                    return
        except (ConnectionError, asyncio.CancelledError, asyncio.IncompleteReadError, ssl.SSLError):
            return  # the client has gone, or the server is stopped
        finally:
            self._connections.discard(task)
            self.open -= 1
            if not self.open:
                self.closed.set()
            writer.close()

    async def stop(self) -> None:
        for task in tuple(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _read_head(self, reader: asyncio.StreamReader) -> Received | None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        lines = head.decode("latin-1").split("\r\n")
        method, target, version = lines[0].split(" ")
        headers = [
            (key.lower(), value.strip()) for key, _, value in (line.partition(":") for line in lines[1:] if line)
        ]
        return Received(method, target, version, headers, reader=reader)


async def reply(writer: asyncio.StreamWriter, status: int, body: bytes, headers: dict[str, str]) -> None:
    lines = [f"HTTP/1.1 {status} Status", f"content-length: {len(body)}"]
    lines += [f"{key}: {value}" for key, value in headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
    await writer.drain()


async def hang(received: Received, writer: asyncio.StreamWriter) -> None:
    """Answers nothing until the client goes."""
    assert received.reader is not None
    await received.reader.read()


async def _mirror(received: Received, writer: asyncio.StreamWriter) -> None:
    told = {
        "method": received.method,
        "target": received.target,
        "headers": received.headers,
        "body": received.body.decode("latin-1") if len(received.body) < 10_000 else len(received.body),
    }
    body = b"" if received.method == "HEAD" else json.dumps(told).encode()
    await reply(writer, 200, body, {"content-type": "application/json"})


async def _read_body(received: Received, reader: asyncio.StreamReader) -> bytes:
    return b"".join([piece async for piece in body_of(received, reader)])


async def body_of(received: Received, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """In pieces, as they come."""
    if (received.header("transfer-encoding") or "").lower() == "chunked":
        while True:
            size = int(await reader.readline(), 16)
            piece = await reader.readexactly(size)
            await reader.readexactly(2)
            if not size:
                return
            yield piece
    left = int(received.header("content-length") or 0)
    while left:
        piece = await reader.read(min(left, 64 * 1024))
        if not piece:
            raise asyncio.IncompleteReadError(b"", left)
        left -= len(piece)
        yield piece


@asynccontextmanager
async def web_server(tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> AsyncIterator[WebServer]:
    server = WebServer()
    listening = await asyncio.start_server(server.serve, host, 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        await server.stop()
        await listening.wait_closed()
