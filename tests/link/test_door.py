"""A worker's socket before its lanes are open, dialled by hand: hundreds of connections, streams that say nothing."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import http2
import pytest
from grpc import aio
from http2 import RawConnection
from link_ends import PRODUCE, WAIT_SECONDS, Calls, soon

from moorage.broker import listener, sockets
from moorage.broker.listener import Listener
from moorage_proto import kafka_pb2, link_pb2
from moorage_proto.link import LinkLimits, frames, handshake
from moorage_sdk.worker.link import Connection, connect

pytestmark = pytest.mark.system

MANY = 500
MOST = LinkLimits().max_lanes + listener.SPARE_STREAMS


class Neighbour:
    """Another worker of the same host."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def slowest_call(self, count: int = 50) -> float:
        slowest = 0.0
        for _ in range(count):
            started = time.perf_counter()
            await soon(self._connection.link.call(PRODUCE, kafka_pb2.ProduceRequest()))
            slowest = max(slowest, time.perf_counter() - started)
        return slowest


@pytest.fixture
async def folder() -> AsyncIterator[Path]:
    with tempfile.TemporaryDirectory(prefix="md") as name:
        yield Path(name)


async def opened(path: Path, token: bytes, refused: list) -> Listener:
    calls = Calls()
    calls.answer = lambda call: call.reply(b"")
    made = Listener(path, token, lambda _: link_pb2.Welcome(installation=path.name), calls, refused.append)
    await made.start()
    return made


@pytest.fixture
async def refused() -> list:
    return []


@pytest.fixture
async def door(folder: Path, refused: list) -> AsyncIterator[Path]:
    made = await opened(folder / "a", b"a" * 32, refused)
    yield folder / "a"
    await soon(made.close())


@pytest.fixture
async def neighbour(folder: Path) -> AsyncIterator[Neighbour]:
    made = await opened(folder / "b", b"b" * 32, [])
    connection = await soon(connect(str(folder / "b"), b"b" * 32, lambda call: call.reply(b"")))
    await connection.open_lanes()
    yield Neighbour(connection)
    await soon(made.close())
    await soon(connection.closed())


async def accepted(path: Path, *, at_least: int) -> int:
    async with asyncio.timeout(WAIT_SECONDS):
        while sockets.living(path) < at_least:
            await asyncio.sleep(0.01)
    return sockets.living(path)


async def test_connections_by_the_hundred_are_not_taken(door: Path, neighbour: Neighbour) -> None:
    dialled = [RawConnection(door, greet=number % 2 == 0) for number in range(MANY)]
    try:
        assert await neighbour.slowest_call() < 1.0
        assert await accepted(door, at_least=MOST) == MOST
    finally:
        for connection in dialled:
            connection.close()
    assert await neighbour.slowest_call() < 1.0


async def test_a_server_without_that_bound_takes_them_all(folder: Path) -> None:
    """The control."""
    options = [
        one for one in listener.server_options(LinkLimits()) if one[0] != "grpc.max_allowed_incoming_connections"
    ]
    server = aio.server(options=options)
    server.add_insecure_port(f"unix:{folder}/h")
    await server.start()
    dialled = [RawConnection(folder / "h") for _ in range(10 * MOST)]
    try:
        assert await accepted(folder / "h", at_least=10 * MOST) == 10 * MOST
    finally:
        for connection in dialled:
            connection.close()
        await server.stop(None)


async def test_streams_that_say_nothing_are_bounded(door: Path, neighbour: Neighbour, refused: list) -> None:
    with RawConnection(door) as connection:
        connection.send(b"".join(http2.headers(number) for number in range(1, 2 * MANY, 2)))
        assert await neighbour.slowest_call() < 1.0
        refusals = await asyncio.to_thread(resets, connection, MANY - MOST)
        assert refusals >= MANY - MOST


def resets(connection: RawConnection, count: int) -> int:
    """How many streams the host has reset or answered with an end."""
    until, received = time.monotonic() + WAIT_SECONDS, bytearray()
    while time.monotonic() < until:
        received += connection.drain()
        found = sum(
            kind == http2.RST_STREAM or (kind == http2.HEADERS and flags & 1) for kind, flags in kinds(received)
        )
        if found >= count:
            return found
        time.sleep(0.01)
    return found


def kinds(data: bytes) -> list[tuple[int, int]]:
    found, at = [], 0
    while at + 9 <= len(data):
        found.append((data[at + 3], data[at + 4]))
        at += 9 + int.from_bytes(data[at : at + 3], "big")
    return found


async def test_a_connection_that_says_nothing_is_ended(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshake, "TIMEOUT_SECONDS", 0.2)
    made = await opened(folder / "a", b"a" * 32, [])
    with RawConnection(folder / "a", greet=False) as silent, RawConnection(folder / "a", greet=False) as dripping:
        for byte in http2.PREFACE[:4]:
            dripping.send(bytes((byte,)))
            await asyncio.sleep(0.02)
        for connection in (silent, dripping):
            assert await asyncio.to_thread(connection.ended)
    await soon(made.close())


async def test_who_one_says_one_is_does_not_matter(door: Path, refused: list) -> None:
    """Which socket was dialled does: forged metadata and a forged name in Hello change nothing."""
    forged = b"".join(
        http2.literal(name, b"b")
        for name in (b"installation", b"x-moorage-installation", b"authorization", b"user-agent")
    )
    sent = frames.single(
        link_pb2.Frame(hello=link_pb2.Hello(token=b"a" * 32, protocol_versions=[1], features=["installation=b"]))
    )
    with RawConnection(door) as connection:
        connection.send(http2.headers(1, http2.request_block(extra=forged)))
        connection.send(http2.frame(http2.DATA, 0, 1, http2.message(sent)))
        received = bytearray()
        async with asyncio.timeout(WAIT_SECONDS):
            while link_pb2.Welcome(installation="a").SerializeToString() not in received and not refused:
                received += connection.drain()
                await asyncio.sleep(0.01)
    assert refused == []


async def test_a_message_of_64_mib_is_refused_and_not_held(door: Path, neighbour: Neighbour) -> None:
    before = memory_mib()
    with RawConnection(door) as connection:
        connection.send(http2.headers(1) + http2.frame(http2.DATA, 0, 1, http2.message_head(64 << 20)))
        piece = http2.frame(http2.DATA, 0, 1, bytes(16384))
        await asyncio.to_thread(lambda: [connection.send(piece) for _ in range(4096)])
        assert await neighbour.slowest_call() < 1.0
    assert memory_mib() - before < 48


def memory_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
