"""The contract of sources that deliver at least once, over every technology."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import kafka_worlds
import pytest
import queue_worlds
import stream_worlds
from crash_points import crashing
from servers.kafka import KafkaServer, kafka_server
from servers.redis import RedisServer, redis_server
from source_doors import BookDoor
from source_worlds import SourceWorld, listening, until

from moorage.orchestrator.triggers.base import Fate

#: Whole files and servers, step by step: not among the quickest.
pytestmark = pytest.mark.system

BODIES = [f"order {number}".encode() for number in range(10)]

#: Steps of one source that are tried for a crash, at most.
MOST_STEPS = 400


@pytest.fixture(scope="session")
def redis_process() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture(scope="session")
def kafka_process() -> Iterator[KafkaServer]:
    with kafka_server() as server:
        yield server


@pytest.fixture(
    params=[
        "stream, embedded",
        "topic, in memory",
        pytest.param("stream, real", marks=pytest.mark.system),
        pytest.param("topic, embedded", marks=pytest.mark.system),
        pytest.param("topic, real", marks=pytest.mark.system),
        pytest.param("queue, embedded", marks=pytest.mark.system),
    ]
)
async def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SourceWorld]:
    async with contextlib.AsyncExitStack() as stack:
        if request.param == "stream, embedded":
            yield await stack.enter_async_context(stream_worlds.embedded())
        elif request.param == "topic, in memory":
            yield await stack.enter_async_context(kafka_worlds.in_memory(monkeypatch))
        elif request.param == "stream, real":
            server: RedisServer = request.getfixturevalue("redis_process")
            server.forget()
            yield await stack.enter_async_context(stream_worlds.real(server))
        elif request.param == "topic, embedded":
            yield await stack.enter_async_context(kafka_worlds.embedded())
        elif request.param == "queue, embedded":
            yield await stack.enter_async_context(queue_worlds.embedded())
        else:
            yield await stack.enter_async_context(kafka_worlds.real(request.getfixturevalue("kafka_process")))


@pytest.fixture
async def door() -> AsyncIterator[BookDoor]:
    made = BookDoor()
    yield made
    await made.close()


async def _all_acknowledged(world: SourceWorld) -> None:
    async def done() -> bool:
        return await world.acknowledged() == len(BODIES)

    await until(done)


def _bodies(world: SourceWorld, door: BookDoor) -> list[bytes]:
    return sorted(world.body(signal) for signal in door.runs)


async def test_each_message_gets_one_execution_and_is_then_acknowledged(world: SourceWorld, door: BookDoor) -> None:
    await world.send(*BODIES[:5])
    async with listening(world, door):
        await world.send(*BODIES[5:])
        await _all_acknowledged(world)
    assert _bodies(world, door) == BODIES
    assert await world.dead_letters() == []


async def test_nothing_is_acknowledged_before_the_outcome(world: SourceWorld, door: BookDoor) -> None:
    door.gate.clear()
    await world.send(*BODIES)
    async with listening(world, door):
        await door.until(lambda: len(door.runs) == door.slots)
        assert await world.acknowledged() == 0
        door.gate.set()
        await _all_acknowledged(world)
    assert _bodies(world, door) == BODIES


async def test_what_was_in_hand_when_it_was_cancelled_comes_again(world: SourceWorld, door: BookDoor) -> None:
    door.gate.clear()
    await world.send(*BODIES)
    async with listening(world, door):
        await door.until(lambda: len(door.runs) == door.slots)
    assert await world.acknowledged() == 0
    door.gate.set()
    async with listening(world, door):
        await _all_acknowledged(world)
    assert _bodies(world, door) == BODIES


async def test_a_signal_that_is_not_taken_is_brought_again(world: SourceWorld, door: BookDoor) -> None:
    door.closed = True
    await world.send(*BODIES)
    async with listening(world, door):
        await door.until(lambda: door.refusals > 0)
        assert await world.acknowledged() == 0
        door.closed = False
        await _all_acknowledged(world)
    assert _bodies(world, door) == BODIES


async def test_poison_is_put_aside_with_the_reason(world: SourceWorld, door: BookDoor) -> None:
    door.fate = lambda signal: Fate.POISON if world.body(signal) in BODIES[3:5] else Fate.DONE
    await world.send(*BODIES)
    async with listening(world, door):
        await _all_acknowledged(world)
    dead = await world.dead_letters()
    assert sorted(each.body for each in dead) == BODIES[3:5]
    assert {each.reason for each in dead} == {"no such order"}


async def test_poison_that_cannot_be_put_aside_is_not_acknowledged(world: SourceWorld, door: BookDoor) -> None:
    door.fate = lambda signal: Fate.POISON if world.body(signal) == BODIES[3] else Fate.DONE
    await world.spoil_dead_letters()
    await world.send(*BODIES)
    async with listening(world, door) as listener:
        await until(lambda: _told(listener.problems, "cannot be put aside"))
        assert await world.acknowledged() < len(BODIES)
        await world.mend_dead_letters()
        await _all_acknowledged(world)
    assert _bodies(world, door) == BODIES
    assert BODIES[3] in [each.body for each in await world.dead_letters()]


async def _told(problems: list[str], words: str) -> bool:
    return any(words in problem for problem in problems)


async def test_no_more_are_in_the_door_than_it_has_slots(world: SourceWorld) -> None:
    door = BookDoor(slots=3)
    bodies = [b"%d" % number for number in range(1000)]
    await world.send(*bodies)
    async with listening(world, door):
        await door.until(lambda: len(door.runs) == len(bodies))
    assert door.most_at_once == 3
    await door.close()


@pytest.mark.parametrize("kind", ["stream", "topic", pytest.param("queue", marks=pytest.mark.system)])
async def test_a_crash_at_any_await_loses_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The source is ended by an error at its first step, then a new one at its second, and so on."""
    worlds = {"stream": stream_worlds.embedded, "queue": queue_worlds.embedded}
    async with kafka_worlds.in_memory(monkeypatch) if kind == "topic" else worlds[kind]() as world:
        await _crash_at_each_step(world)


async def _crash_at_each_step(world: SourceWorld) -> None:
    for step in range(MOST_STEPS):
        door = BookDoor()
        before = await world.acknowledged()
        door.fate = lambda signal, door=door: Fate.POISON if len(door.runs) == 2 else Fate.DONE
        await world.send(*BODIES[:3])
        crashed = await crashing(lambda door=door: world.source().run(door), step, _finished(world, before + 3))
        door.gate.set()
        async with listening(world, door):
            await until(_finished(world, before + 3))
        assert {world.body(signal) for signal in door.runs} == set(BODIES[:3]), f"step {step}"
        assert len(door.runs) == 3, f"step {step}"
        await door.close()
        if not crashed:
            assert step >= 10
            return
    pytest.fail("there are more steps than were tried")


def _finished(world: SourceWorld, count: int):
    async def finished() -> bool:
        return await world.acknowledged() == count

    return finished


@pytest.mark.system
@pytest.mark.parametrize("fault", ["reset", "stall", "refuse"])
@pytest.mark.parametrize("kind", ["stream", "topic", "queue"])
async def test_it_goes_on_when_the_server_is_back(
    kind: str, fault: str, door: BookDoor, request: pytest.FixtureRequest
) -> None:
    worlds = {"topic": kafka_worlds.behind_proxy, "queue": queue_worlds.behind_proxy}
    async with _stream_behind_proxy(request) if kind == "stream" else worlds[kind]() as world:
        door.gate.clear()
        await world.send(*BODIES)
        async with listening(world, door):
            await door.until(lambda: len(door.runs) == door.slots)
            getattr(world.proxy, fault)()
            if fault == "refuse":
                world.proxy.reset()
            door.gate.set()
            await door.until(lambda: len(door.told) >= door.slots)
            await asyncio.sleep(0.5)  # the fault lasts a while; nothing tells when it is noticed
            world.proxy.heal()
            await _all_acknowledged(world)
        assert _bodies(world, door) == BODIES


def _stream_behind_proxy(request: pytest.FixtureRequest) -> contextlib.AbstractAsyncContextManager[SourceWorld]:
    server: RedisServer = request.getfixturevalue("redis_process")
    server.forget()
    return stream_worlds.real(server)
