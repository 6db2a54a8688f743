"""Channels: at most once, bounded, and back again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest
from fault_proxy import FaultProxy
from servers.redis import RedisServer, redis_server
from source_doors import BookDoor
from stream_worlds import StreamWorld, embedded, real

from moorage.orchestrator.triggers import redis_channel
from moorage.orchestrator.triggers.base import SourceFailed
from moorage.orchestrator.triggers.redis_channel import Channel, ChannelSource
from moorage_sdk.messages import ChannelMessage, brought


@pytest.fixture(scope="session")
def process() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture(params=["embedded", pytest.param("real", marks=pytest.mark.system)])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[StreamWorld]:
    made = embedded() if request.param == "embedded" else real(request.getfixturevalue("process"))
    async with made as opened:
        yield opened


@pytest.fixture
async def door() -> AsyncIterator[BookDoor]:
    made = BookDoor()
    yield made
    await made.close()


@contextlib.asynccontextmanager
async def _listening(world: StreamWorld, door: BookDoor, name: str = "news", **options) -> AsyncIterator[ChannelSource]:
    source = ChannelSource(Channel("churn/news", name), world.service.access, **options)
    task = asyncio.create_task(source.run(door))
    try:
        async with asyncio.timeout(5):
            await source.listening.wait()
        yield source
    finally:
        task.cancel()
        async with asyncio.timeout(5):
            await asyncio.wait((task,))


async def test_each_message_starts_an_execution(world: StreamWorld, door: BookDoor) -> None:
    async with _listening(world, door):
        for number in range(10):
            await world.say("PUBLISH", "news", f"{number}")
        await door.until(lambda: len(door.told) == 10)
    assert brought(door.inputs[0]) == ChannelMessage("news", b"0", "")
    assert [each["data"] for each in door.inputs] == [b"%d" % number for number in range(10)]
    assert {signal.key for signal in door.runs} == {""}


async def test_a_pattern_hears_all_that_fit(world: StreamWorld, door: BookDoor) -> None:
    async with _listening(world, door, "news.*"):
        await world.say("PUBLISH", "other", "x")
        await world.say("PUBLISH", "news.a", "1")
        await door.until(lambda: len(door.told) == 1)
    assert brought(door.inputs[0]) == ChannelMessage("news.a", b"1", "news.*")


async def test_no_more_wait_than_there_is_room_for_and_the_oldest_go(world: StreamWorld, door: BookDoor) -> None:
    door.gate.clear()
    counted: list[int] = []

    async def skipped(count: int) -> None:
        counted.append(count)

    async with _listening(world, door, capacity=3, skipped=skipped) as source:
        for number in range(10):
            await world.say("PUBLISH", "news", f"{number}")
        await door.until(lambda: len(door.runs) == door.slots)
        async with asyncio.timeout(5):
            while source.dropped < 3:
                await asyncio.sleep(0.01)
        door.gate.set()
        await door.until(lambda: len(door.told) == 7)
    assert [each["data"] for each in door.inputs] == [b"0", b"1", b"2", b"3", b"7", b"8", b"9"]
    assert door.most_at_once == door.slots
    assert sum(counted) == 3


async def test_what_is_not_taken_is_dropped_and_counted(world: StreamWorld, door: BookDoor) -> None:
    door.closed = True
    async with _listening(world, door) as source:
        await world.say("PUBLISH", "news", "lost")
        await door.until(lambda: door.refusals == 1)
        door.closed = False
        await world.say("PUBLISH", "news", "kept")
        await door.until(lambda: len(door.told) == 1)
        assert source.dropped == 1
    assert door.inputs[0]["data"] == b"kept"


@pytest.mark.system
async def test_it_listens_again_when_the_connection_breaks(process: RedisServer, door: BookDoor) -> None:
    async with real(process) as world, _listening(world, door) as source:
        assert isinstance(world.proxy, FaultProxy)
        world.proxy.refuse()
        world.proxy.reset()
        async with asyncio.timeout(5):
            while source.listening.is_set():
                await asyncio.sleep(0.01)
        world.proxy.heal()
        async with asyncio.timeout(5):
            await source.listening.wait()
        await world.say("PUBLISH", "news", "again")
        await door.until(lambda: len(door.told) == 1)


@pytest.mark.system
async def test_a_server_that_is_silent_is_noticed(
    process: RedisServer, door: BookDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_channel, "SILENCE_SECONDS", 0.1)
    async with real(process) as world, _listening(world, door) as source:
        await asyncio.sleep(0.5)  # several signs of life
        assert source.listening.is_set()
        assert world.proxy is not None
        world.proxy.stall()
        async with asyncio.timeout(5):
            while source.listening.is_set():
                await asyncio.sleep(0.01)
        world.proxy.heal()


@pytest.mark.system
async def test_a_server_that_stays_away_is_said(
    process: RedisServer, door: BookDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_channel, "ATTEMPTS", 2)
    async with real(process) as world:
        assert world.proxy is not None
        world.proxy.refuse()
        with pytest.raises(SourceFailed, match="The Redis server 'main' cannot be reached") as failed:
            await ChannelSource(Channel("churn/news", "news"), world.service.access).run(door)
    assert "127.0.0.1" not in str(failed.value)


@pytest.mark.system
async def test_what_waits_is_worked_on_while_the_server_is_away(process: RedisServer) -> None:
    door = BookDoor(slots=1)
    door.gate.clear()
    async with real(process) as world, _listening(world, door) as source:
        assert world.proxy is not None
        for number in range(3):
            await world.say("PUBLISH", "news", f"{number}")
        await door.until(lambda: len(door.runs) == 1)
        async with asyncio.timeout(5):
            while len(source._waiting) < 2:
                await asyncio.sleep(0.01)
        world.proxy.refuse()
        world.proxy.reset()
        door.gate.set()
        await door.until(lambda: len(door.told) == 3)
    await door.close()


@pytest.mark.system
async def test_the_servers_operator_sees_the_trigger(process: RedisServer, door: BookDoor) -> None:
    async with real(process) as world, _listening(world, door):
        assert "moorage/trigger/churn/news" in [client["name"] for client in process.clients()]
