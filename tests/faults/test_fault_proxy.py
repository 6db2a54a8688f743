"""The proxy that other tests break connections with does what it says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from fault_proxy import FaultProxy

DEADLINE_SECONDS = 10


@pytest.fixture
async def echo() -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1024):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


@pytest.fixture
async def proxy(echo: int) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(echo) as made, asyncio.timeout(DEADLINE_SECONDS):
        yield made


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, data: bytes) -> bytes:
        self.writer.write(data)
        return await self.reader.readexactly(len(data))


Connect = Callable[[], Awaitable[Client]]


@pytest.fixture
async def client(proxy: FaultProxy) -> AsyncIterator[Connect]:
    made: list[Client] = []

    async def connect() -> Client:
        made.append(Client(*await asyncio.open_connection("127.0.0.1", proxy.port)))
        return made[-1]

    yield connect
    for one in made:
        one.writer.transport.abort()


async def test_what_is_sent_passes_both_ways(proxy: FaultProxy, client: Connect) -> None:
    one = await client()
    assert await one.ask(b"hello") == b"hello"
    assert await one.ask(b"more") == b"more"


async def test_a_stalled_connection_goes_on_when_it_is_healed(proxy: FaultProxy, client: Connect) -> None:
    one = await client()
    proxy.stall()
    asking = asyncio.create_task(one.ask(b"hello"))
    done, _ = await asyncio.wait((asking,), timeout=0.2)
    assert not done
    proxy.heal()
    assert await asking == b"hello"


async def test_a_reset_ends_those_there_are_and_no_new_ones(proxy: FaultProxy, client: Connect) -> None:
    one = await client()
    assert await one.ask(b"hello") == b"hello"
    proxy.reset()
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await one.ask(b"again")
    assert await (await client()).ask(b"anew") == b"anew"
    assert proxy.accepted == 2


async def test_an_answer_is_cut_off_in_its_middle(proxy: FaultProxy, client: Connect) -> None:
    one = await client()
    proxy.truncate(3)
    with pytest.raises(asyncio.IncompleteReadError) as cut:
        await one.ask(b"hello")
    assert cut.value.partial == b"hel"
    proxy.heal()
    assert await (await client()).ask(b"hello") == b"hello"


async def test_new_connections_are_refused_while_old_ones_go_on(proxy: FaultProxy, client: Connect) -> None:
    one = await client()
    assert await one.ask(b"hello") == b"hello"
    proxy.refuse()
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await (await client()).ask(b"hello")
    assert await one.ask(b"still here") == b"still here"
    proxy.heal()
    assert await (await client()).ask(b"hello") == b"hello"
