"""Events between hosts, by way of Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from fakeredis import FakeAsyncRedis, FakeServer
from redis.asyncio import Redis
from servers.redis import RedisServer, redis_server

from moorage.broker.services.events import relay as relays
from moorage.broker.services.events.hub import EventHub
from moorage.broker.services.events.relay import CHANNEL, RedisRelay

DEADLINE_SECONDS = 10


class Fake:
    """A server in this process."""

    def __init__(self) -> None:
        self.server = FakeServer()

    def connect(self) -> FakeAsyncRedis:
        return FakeAsyncRedis(server=self.server)


class Real:
    def __init__(self, server: RedisServer) -> None:
        self.server = server

    def connect(self) -> Redis:
        return Redis.from_url(self.server.url)


Server = Fake | Real


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.system)])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    if request.param == "fake":
        yield Fake()
        return
    with redis_server() as real:
        yield Real(real)


@asynccontextmanager
async def host(server: Server) -> AsyncIterator[EventHub]:
    """One that carries its events over the server, and listens there."""
    hub = EventHub()

    relay = RedisRelay(server.connect, lambda event: hub.arrived(event, by=relay))
    hub.attach(relay)
    await relay.open()
    async with asyncio.timeout(DEADLINE_SECONDS):
        await relay.listening.wait()
    hub.relay = relay
    yield hub
    await relay.close()


async def test_an_event_reaches_every_other_host_once(server: Server) -> None:
    async with AsyncExitStack() as stack, asyncio.timeout(DEADLINE_SECONDS):
        first, second, third = [await stack.enter_async_context(host(server)) for _ in range(3)]
        readers = [hub.subscribe() for hub in (first, second, third)]
        sent = first.publish("track.playing", {"track": "x"}, source="player")
        last = second.publish("end")
        for reader in readers:
            got = {(await reader.__anext__()).id, (await reader.__anext__()).id}
            assert got == {sent.id, last.id}


async def test_what_is_no_event_is_passed_over(server: Server) -> None:
    async with host(server) as hub, asyncio.timeout(DEADLINE_SECONDS):
        reader = hub.subscribe()
        other = server.connect()
        for junk in (b"", b"x", b"0" * 16 + b"\xff\xff", b"0" * 16, b"0" * 300_000):
            await other.publish(CHANNEL, junk)
        async with host(server) as second:
            second.publish("real")
            assert (await reader.__anext__()).topic == "real"
        await other.aclose()


@pytest.mark.system
async def test_a_server_that_is_away_is_tried_again_and_what_waited_is_carried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relays, "LONGEST_DELAY_SECONDS", 0.05)
    with redis_server() as real:
        server = Real(real)
        async with host(server) as first, host(server) as second, asyncio.timeout(DEADLINE_SECONDS):
            reader = second.subscribe()
            real.kill()
            while second.relay.listening.is_set() or first.relay.listening.is_set():
                await asyncio.sleep(0.01)
            first.publish("meanwhile")
            real.start()
            await second.relay.listening.wait()
            last = first.publish("after")
            found = [await reader.__anext__()]
            while found[-1].id != last.id:
                found.append(await reader.__anext__())
        # Who listened a moment later than the first host could publish again has missed it.
        assert [event.topic for event in found] in (["meanwhile", "after"], ["after"])


async def test_beyond_its_capacity_the_oldest_are_dropped(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relays, "CAPACITY", 2)
    relay = RedisRelay(server.connect, lambda _: None)
    events = [EventHub().publish(f"e{number}") for number in range(3)]
    for event in events:
        relay.offer(event)
    async with host(server) as hub, asyncio.timeout(DEADLINE_SECONDS):
        reader = hub.subscribe()
        await relay.open()
        assert [(await reader.__anext__()).topic for _ in range(2)] == ["e1", "e2"]
        await relay.close()
