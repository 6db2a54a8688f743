"""A TCP proxy on loopback that misbehaves when it is told to."""

from __future__ import annotations

import asyncio
import socket
import struct
from types import TracebackType
from typing import Self

_CHUNK = 64 * 1024

#: Closing sends a reset instead of an end of stream (socket(7)).
_LINGER_ZERO = struct.pack("ii", 1, 0)


class FaultProxy:
    """Between clients and ``127.0.0.1:target_port``, on the event loop that entered it.

    The target may come and go: who connects while it is away is reset.
    """

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.port = 0
        #: Clients that have connected since the start.
        self.accepted = 0
        self._flows: set[asyncio.Task[None]] = set()
        self._clients: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._refusing = False
        #: Bytes that may still go to clients before they are cut off; None: any number.
        self._left: int | None = None
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.reset()
        for flow in tuple(self._flows):
            flow.cancel()
        await asyncio.gather(*self._flows, return_exceptions=True)
        await self._server.wait_closed()

    def stall(self) -> None:
        """Connections stay open, new ones too, and nothing passes any more."""
        self._flowing.clear()

    def reset(self) -> None:
        """All connections there are end with a reset; new ones pass."""
        for client in tuple(self._clients):
            _reset(client)

    def truncate(self, count: int) -> None:
        """Of the answers that many more bytes pass; then each connection ends, in the middle of a message."""
        self._left = count

    def refuse(self) -> None:
        """New connections are reset at once; those there are go on."""
        self._refusing = True

    def heal(self) -> None:
        """All passes again. What was stalled goes on."""
        self._refusing, self._left = False, None
        self._flowing.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self._refusing:
            _reset(writer)
            return
        self._clients.add(writer)
        try:
            target_reader, target = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            self._clients.discard(writer)
            _reset(writer)
            return
        flows = [
            asyncio.create_task(self._flow(reader, target, is_answer=False), name="to the target"),
            asyncio.create_task(self._flow(target_reader, writer, is_answer=True), name="to the client"),
        ]
        self._flows.update(flows)
        try:
            await asyncio.wait(flows)
        finally:
            self._flows.difference_update(flows)
            self._clients.discard(writer)
            for end in (writer, target):
                end.close()

    async def _flow(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool) -> None:
        try:
            while data := await reader.read(_CHUNK):
                await self._flowing.wait()
                if is_answer and self._left is not None:
                    data, self._left = data[: self._left], max(0, self._left - len(data))
                writer.write(data)
                await writer.drain()
                if is_answer and self._left == 0:
                    break
            writer.close()
        except OSError:
            writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    writer.transport.abort()
