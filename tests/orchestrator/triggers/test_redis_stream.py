"""What is the streams' own: groups, pending entries, consumers that died, and servers that forget."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
import stream_worlds
from servers.redis import RedisServer, redis_server
from source_doors import BookDoor
from source_worlds import listening, until
from stream_worlds import DEAD, GROUP, QUICK, StreamWorld

from moorage.broker.services.redis import RedisService, parser
from moorage.models.manifest import Trigger
from moorage.orchestrator.triggers.base import Fate, SourceFailed
from moorage.orchestrator.triggers.redis_group import Entry, Stream
from moorage.orchestrator.triggers.redis_stream import StreamSource, signal
from moorage_sdk.messages import RedisMessage, brought


@pytest.fixture(scope="session")
def process() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture(params=["embedded", pytest.param("real", marks=pytest.mark.system)])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[StreamWorld]:
    if request.param == "embedded":
        async with stream_worlds.embedded() as made:
            yield made
    else:
        server: RedisServer = request.getfixturevalue("process")
        server.forget()
        async with stream_worlds.real(server) as made:
            yield made


@pytest.fixture
async def door() -> AsyncIterator[BookDoor]:
    made = BookDoor()
    yield made
    await made.close()


def _source(world: StreamWorld, consumer: str, claim_after: float) -> StreamSource:
    stream = Stream.of("churn/orders", Trigger("redis", "orders", options={"mode": "stream"}))
    # Less than a person may say.
    stream = replace(stream, claim_after=timedelta(seconds=claim_after))
    return StreamSource(stream, world.service.access, consumer, QUICK)


async def _none_pending(world: StreamWorld) -> bool:
    return await world.pending() == []


# -- what a task is given


async def test_the_input_is_the_entry(world: StreamWorld, door: BookDoor) -> None:
    await world.say("XADD", "orders", "7-1", "body", b"\xff\x00", b"na\xfeme", "x")
    async with listening(world, door):
        await door.until(lambda: bool(door.told))
    message = brought(door.inputs[0])
    assert message == RedisMessage("orders", "7-1", {"body": b"\xff\x00", "na\\xfeme": b"x"})
    assert door.runs[0].position == "orders/7-1"


async def test_a_dead_letter_has_all_fields_in_their_order(world: StreamWorld, door: BookDoor) -> None:
    door.fate = lambda _: Fate.POISON
    await world.say("XADD", "orders", "7-1", "b", "1", "a", "2", "b", "3")
    async with listening(world, door):
        await door.until(lambda: bool(door.told))
        await until(lambda: _none_pending(world))
    ((_, fields),) = await world.say("XRANGE", DEAD, "-", "+")
    assert fields == [
        *(b"b", b"1", b"a", b"2", b"b", b"3"),
        *(b"moorage-stream", b"orders", b"moorage-id", b"7-1", b"moorage-execution", b"e-1"),
        *(b"moorage-error-type", b"LookupError", b"moorage-error", b"no such order"),
    ]


def test_an_id_that_comes_again_after_the_stream_was_deleted_is_another_entry() -> None:
    one = signal("orders", Entry("7-1", (b"a", b"1")))
    assert signal("orders", Entry("7-1", (b"a", b"1"))).key == one.key
    assert signal("orders", Entry("7-1", (b"a", b"2"))).key != one.key
    assert signal("orders", Entry("7-1", (b"a1", b""))).key != one.key
    assert signal("orders", Entry("7-2", (b"a", b"1"))).key != one.key


def test_names_that_follow_from_the_trigger() -> None:
    stream = Stream.of("churn/orders", Trigger("redis", "orders", options={"mode": "stream"}))
    assert (stream.group, stream.dead_letter, stream.from_latest) == (
        "moorage.churn.orders",
        "orders:dead-letter",
        False,
    )
    options = {"mode": "stream", "group": "g", "dead_letter": "d", "from": "latest", "claim_after": "5 min"}
    own = Stream.of("all", Trigger("redis", "orders", options=options))
    assert (own.group, own.dead_letter, own.from_latest) == ("g", "d", True)
    assert (stream.claim_after, own.claim_after) == (timedelta(minutes=1), timedelta(minutes=5))


# -- where a group begins


async def test_a_new_group_begins_with_all_that_is_there(world: StreamWorld, door: BookDoor) -> None:
    await world.send(b"old")
    async with listening(world, door):
        await door.until(lambda: bool(door.told))


async def test_from_latest_a_new_group_begins_with_what_comes(world: StreamWorld, door: BookDoor) -> None:
    await world.send(b"old")
    task = asyncio.create_task(world.source(**{"from": "latest"}).run(door))
    await until(lambda: _has_group(world))
    await world.send(b"new")
    await door.until(lambda: bool(door.told))
    task.cancel()
    await asyncio.wait((task,))
    assert [world.body(each) for each in door.runs] == [b"new"]


async def _has_group(world: StreamWorld) -> bool:
    return bool(await world.say("XINFO", "GROUPS", "orders"))


# -- pending entries


async def test_its_own_pending_ones_come_first_after_a_restart(world: StreamWorld, door: BookDoor) -> None:
    door.gate.clear()
    await world.send(b"a", b"b")
    async with listening(world, door):
        await door.until(lambda: len(door.runs) == 2)
    assert len(await world.pending()) == 2
    await world.send(b"c")
    door.gate.set()
    after = BookDoor(slots=1)
    async with listening(world, after):
        await after.until(lambda: len(after.told) == 3)
    assert [world.body(each) for each in after.runs] == [b"a", b"b", b"c"]


async def test_those_of_a_dead_consumer_are_taken_over_and_their_deliveries_counted(
    world: StreamWorld, door: BookDoor
) -> None:
    door.gate.clear()
    await world.send(b"a")
    task = asyncio.create_task(world.source("host-that-dies").run(door))
    await door.until(lambda: len(door.runs) == 1)
    task.cancel()
    await asyncio.wait((task,))
    other = BookDoor()
    other.gate.clear()
    task = asyncio.create_task(_source(world, "host-2", 0.05).run(other))
    await other.until(lambda: len(other.runs) == 1)
    ((_, consumer, _, deliveries),) = await world.pending()
    assert (consumer, deliveries) == (b"host-2", 2)
    other.gate.set()
    await until(lambda: _none_pending(world))
    task.cancel()
    await asyncio.wait((task,))


async def test_long_work_is_not_taken_over(world: StreamWorld, door: BookDoor) -> None:
    door.gate.clear()
    other = BookDoor()
    await world.send(b"a")
    tasks = [asyncio.create_task(_source(world, "host-1", 0.3).run(door))]
    await door.until(lambda: len(door.runs) == 1)
    tasks.append(asyncio.create_task(_source(world, "host-2", 0.3).run(other)))
    await asyncio.sleep(0.9)  # three times as long as a dead consumer is waited for
    assert other.runs == []
    ((_, consumer, _, deliveries),) = await world.pending()
    assert (consumer, deliveries) == (b"host-1", 1)
    door.gate.set()
    await until(lambda: _none_pending(world))
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_an_entry_that_was_deleted_meanwhile_is_passed_over(world: StreamWorld, door: BookDoor) -> None:
    door.gate.clear()
    await world.send(b"a", b"b")
    async with listening(world, door):
        await door.until(lambda: len(door.runs) == 2)
    ids = [each[0] for each in await world.pending()]
    await world.say("XDEL", "orders", ids[0])
    after = BookDoor()
    async with listening(world, after):
        await until(lambda: _none_pending(world))
    assert [world.body(each) for each in after.runs] == [b"b"]


# -- servers that forget


async def test_a_group_that_is_gone_is_made_again(world: StreamWorld, door: BookDoor) -> None:
    await world.send(b"a")
    async with listening(world, door) as listener:
        await door.until(lambda: len(door.told) == 1)
        await world.say("FLUSHALL")
        await world.send(b"b")
        await door.until(lambda: len(door.told) == 2)
    assert [world.body(each) for each in door.runs] == [b"a", b"b"]
    assert listener.problems == []


async def test_what_was_done_is_not_run_again_when_its_group_is_made_again(world: StreamWorld, door: BookDoor) -> None:
    await world.send(b"a", b"b")
    async with listening(world, door):
        await door.until(lambda: len(door.told) == 2)
        await world.say("XGROUP", "DESTROY", "orders", GROUP)
        await world.send(b"c")
        await door.until(lambda: len(door.runs) == 3)
        await until(lambda: _none_pending(world))
    assert [world.body(each) for each in door.runs] == [b"a", b"b", b"c"]


@pytest.mark.system
async def test_a_server_that_keeps_its_data_is_killed_in_the_middle(door: BookDoor) -> None:
    with redis_server(durable=True) as server:
        async with stream_worlds.real(server) as world:
            await world.send(*(b"%d" % number for number in range(100)))
            async with listening(world, door) as listener:
                await door.until(lambda: len(door.runs) >= 20)
                server.kill()
                await until(lambda: _failed(listener.problems))
                server.start()

                async def done() -> bool:
                    return await world.acknowledged() == 100

                await until(done)
    assert sorted(int(world.body(each)) for each in door.runs) == list(range(100))
    assert "127.0.0.1" not in " ".join(listener.problems)


async def _failed(problems: list[str]) -> bool:
    return bool(problems)


# -- the end, and what stands against it


async def test_it_ends_at_once_when_it_is_cancelled(world: StreamWorld, door: BookDoor) -> None:
    task = asyncio.create_task(world.source().run(door))
    await until(lambda: _has_group(world))
    await asyncio.sleep(0.05)  # it waits for entries, 2 s each time
    began = time.monotonic()
    task.cancel()
    await asyncio.wait((task,))
    assert time.monotonic() - began < 0.5


@pytest.mark.system
async def test_the_servers_operator_sees_the_trigger(process: RedisServer, door: BookDoor) -> None:
    process.forget()
    async with stream_worlds.real(process) as world, listening(world, door):
        await world.send(b"a")
        await door.until(lambda: bool(door.told))
        named = [client["name"] for client in process.clients()]
    assert named.count("moorage/trigger/churn/orders") == 2


async def test_a_key_that_is_no_stream(world: StreamWorld, door: BookDoor) -> None:
    await world.say("SET", "orders", "7")
    with pytest.raises(SourceFailed, match="'main' refuses the stream 'orders': it is no stream"):
        await world.source().run(door)


async def test_a_server_that_nobody_knows(door: BookDoor) -> None:
    service = RedisService.from_settings({}, lambda _: None, "test")
    stream = Stream.of("churn/orders", Trigger("redis", "orders"))
    with pytest.raises(SourceFailed, match="no Redis server named 'far'"):
        await StreamSource(stream, lambda: service.access("far"), "host-1").run(door)


@pytest.mark.system
async def test_entries_too_large_to_read_at_a_time_are_read_one_by_one_and_one_too_large_is_left(
    process: RedisServer, door: BookDoor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    process.forget()
    monkeypatch.setattr(parser, "MAX_REPLY_BYTES", 10_000)
    door.slots = 50
    small, large = b"s" * 3_000, b"l" * 20_000
    async with stream_worlds.real(process) as world:
        await world.send(*[small] * 5, large, *[small] * 5)
        async with listening(world, door) as listener:
            await door.until(lambda: len(door.told) == 10)
            await until(lambda: _one_is_left(world))
            await world.send(b"after")
            await door.until(lambda: len(door.told) == 11)
    assert {world.body(each) for each in door.runs} == {small, b"after"}
    assert listener.problems == []
    assert "is larger than a host reads, and is left pending" in caplog.text


async def _one_is_left(world: StreamWorld) -> bool:
    return len(await world.pending()) == 1


async def test_large_entries_wait_for_room(world: StreamWorld, door: BookDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moorage.orchestrator.triggers.redis_stream.MAX_BYTES", 1_000)
    door.gate.clear()
    async with listening(world, door):
        await world.send(b"x" * 2_000)
        await door.until(lambda: len(door.runs) == 1)
        await world.send(b"y")
        await asyncio.sleep(0.2)  # it would be taken now
        assert len(door.runs) == 1
        door.gate.set()
        await door.until(lambda: len(door.runs) == 2)
