"""An answer that comes before the request was sent as a whole is heard, on the loop that hosts run on, too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpcore
import pytest
import uvloop

from moorage.broker.services.http.listening import ListeningStream

ANSWER = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"


async def scenario() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(ANSWER)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        stream = ListeningStream(await httpcore.AnyIOBackend().connect_tcp("127.0.0.1", port, timeout=5))
        failed = False
        async with asyncio.timeout(10):
            while not failed:
                try:
                    await stream.write(b"more", 5)
                except httpcore.WriteError:
                    failed = True
                await asyncio.sleep(0)
            assert await stream.read(8, 5) == ANSWER[:8]
            assert await stream.read(1000, 5) == ANSWER[8:]
        await stream.aclose()


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_what_was_answered_before_a_write_failed_is_read(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(scenario())


class Silent(httpcore.AsyncNetworkStream):
    """Takes everything and says nothing until it is closed."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        await self.closed.wait()
        raise httpcore.ReadError

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        pass

    async def aclose(self) -> None:
        self.closed.set()


async def test_a_reader_waits_so_long_and_closing_leaves_no_task() -> None:
    stream = ListeningStream(Silent())
    await stream.write(b"x")
    with pytest.raises(httpcore.ReadTimeout):
        await stream.read(10, 0.01)
    before = len(asyncio.all_tasks())
    await stream.aclose()
    assert len(asyncio.all_tasks()) == before - 1
