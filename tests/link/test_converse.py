"""Conversations: requests and replies that stream at the same time, over the link and in a test."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from link_ends import refusal, soon
from link_worker import Worker, in_thread, linked_worker
from probe_contract import METHODS, PROBE

from moorage_proto import kafka_pb2, link_pb2
from moorage_proto.capability import Grants, parse
from moorage_proto.errors import CallError, Reason
from moorage_sdk import scope
from moorage_sdk.errors import Cancelled, CapabilityMissing, MoorageError, ScopeClosed
from moorage_sdk.scope import Scope
from moorage_sdk.testing.base import FakeCaller, FakeScope
from moorage_sdk.testing.channel import LocalChannel
from moorage_sdk.testing.gate import Gate

ECHO = METHODS["echo"]
Request = kafka_pb2.ProduceRequest
Reply = kafka_pb2.ProduceReply


class EchoFake:
    """Answers the echo of the probe contract: at once, with the partition as the number of requests so far."""

    name = "probe"
    contract = PROBE

    def __init__(self) -> None:
        self.unwound = threading.Event()

    def echo(self, caller: FakeCaller, requests: Iterator[Request]) -> Iterator[Reply]:
        try:
            for number, request in enumerate(requests, 1):
                if request.topic == "last":
                    yield Reply(partition=number)
                    return
                if request.topic == "broken":
                    raise ValueError("a bug of the fake")
                yield Reply(partition=number, offset=len(request.value))
        finally:
            self.unwound.set()

    def __getattr__(self, name: str) -> object:
        return None

    def describe(self, welcome: link_pb2.Welcome) -> None: ...

    def close(self) -> None: ...


class FakeWorld:
    """The testing kit's channel."""

    def __init__(self) -> None:
        self.fake = EchoFake()
        self.gate = Gate("churn", (self.fake,))
        self.gate.scopes["e-1"] = FakeScope("e-1")
        self.gate.grants = Grants(tuple(map(parse, ("kafka.produce:t", "kafka.produce:last", "kafka.produce:broken"))))
        self.channel = LocalChannel(self.gate)

    async def unwound(self) -> None:
        assert await asyncio.to_thread(self.fake.unwound.wait, 5)


class LinkWorld:
    """A link, and a host that echoes by hand."""

    def __init__(self, worker: Worker) -> None:
        self.channel = worker.channel
        self._unwound = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        worker.calls.answer = self._start

    def _start(self, call) -> None:
        self._tasks.add(asyncio.create_task(self._echo(call)))

    async def _echo(self, call) -> None:
        number = 0
        try:
            async for data in call.items():
                number += 1
                request = Request.FromString(data)
                if request.topic == "denied":
                    raise refusal("not granted")
                await call.send_item(Reply(partition=number, offset=len(request.value)).SerializeToString())
                if request.topic == "last":
                    break
            call.finish()
        except CallError as error:
            call.fail(error)
        finally:
            self._unwound.set()

    async def unwound(self) -> None:
        await soon(self._unwound.wait())


@pytest_asyncio.fixture(params=["fake", "link"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[FakeWorld | LinkWorld]:
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(scope.entered(Scope("e-1")))
        if request.param == "fake":
            yield FakeWorld()
        else:
            yield LinkWorld(await stack.enter_async_context(linked_worker()))


async def test_a_reply_comes_before_the_next_request(world):
    def talk() -> list[int]:
        conversation = world.channel.converse(ECHO)
        replies = iter(conversation)
        got = []
        for size in (1, 2, 3):
            assert conversation.send(Request(topic="t", value=bytes(size)))
            got.append(next(replies).offset)
        conversation.half_close()
        assert list(replies) == []
        return got

    assert await in_thread(talk) == [1, 2, 3]


async def test_a_coroutine_talks(world):
    conversation = world.channel.converse(ECHO)
    got = []
    for size in (1, 2, 3):
        assert await soon(conversation.send_async(Request(topic="t", value=bytes(size))))
        got.append((await soon(conversation.__anext__())).offset)
    conversation.half_close()
    assert [reply async for reply in conversation] == []
    assert got == [1, 2, 3]


async def test_one_coroutine_sends_while_another_reads(world):
    conversation = world.channel.converse(ECHO)

    async def read() -> list[int]:
        return [reply.partition async for reply in conversation]

    reading = asyncio.create_task(read())
    for _ in range(200):
        await soon(conversation.send_async(Request(topic="t", value=bytes(10_000))))
    conversation.half_close()
    assert await soon(reading) == list(range(1, 201))


async def test_sending_to_a_call_that_ended_well_says_so(world):
    def talk() -> None:
        conversation = world.channel.converse(ECHO)
        conversation.send(Request(topic="last"))
        assert [reply.partition for reply in conversation] == [1]
        assert not conversation.send(Request(topic="t"))
        conversation.half_close()
        conversation.close()

    await in_thread(talk)


async def test_a_refused_request_ends_it_for_both_halves(world):
    def talk() -> None:
        conversation = world.channel.converse(ECHO)
        conversation.send(Request(topic="t"))
        assert next(iter(conversation)).partition == 1
        conversation.send(Request(topic="denied"))
        with pytest.raises(CapabilityMissing):
            next(iter(conversation))
        with pytest.raises(CapabilityMissing):
            conversation.send(Request(topic="t"))

    await in_thread(talk)


@pytest.mark.parametrize("forget", [False, True])
async def test_one_that_is_closed_or_forgotten_is_cancelled(world, forget):
    conversation = world.channel.converse(ECHO)
    await soon(conversation.send_async(Request(topic="t")))
    assert (await soon(conversation.__anext__())).partition == 1
    if not forget:
        conversation.close()
        conversation.close()
    del conversation
    await world.unwound()


async def test_a_coroutine_that_stops_waiting_leaves_the_rest_usable(world):
    conversation = world.channel.converse(ECHO)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(conversation.__anext__(), 0.01)
    await soon(conversation.send_async(Request(topic="t")))
    assert (await soon(conversation.__anext__())).partition == 1
    conversation.close()


async def test_over_the_link_a_closed_one_raises_and_an_item_too_large_is_typed():
    async with linked_worker() as worker:
        LinkWorld(worker)
        conversation = worker.channel.converse(ECHO)
        conversation.close()
        with pytest.raises(Cancelled):
            await in_thread(list, conversation)
        conversation = worker.channel.converse(ECHO)
        await soon(conversation.send_async(Request(value=bytes(16 * 1024 * 1024 + 1))))
        with pytest.raises(MoorageError) as caught:
            await in_thread(list, conversation)
        assert caught.value.reason in (Reason.MESSAGE_TOO_LARGE, Reason.CANCELLED)


async def test_in_the_kit_a_bug_of_the_fake_reaches_the_test():
    with scope.entered(Scope("e-1")):
        conversation = FakeWorld().channel.converse(ECHO)
        conversation.send(Request(topic="broken"))
        with pytest.raises(ValueError, match="a bug of the fake"):
            await in_thread(list, conversation)


async def test_in_the_kit_a_scope_that_ended_is_refused():
    world = FakeWorld()
    with scope.entered(Scope("e-2")), pytest.raises(ScopeClosed):
        await in_thread(list, world.channel.converse(ECHO))


async def test_in_the_kit_others_call_while_a_conversation_waits():
    with scope.entered(Scope("e-1")):
        world = FakeWorld()
        first, second = world.channel.converse(ECHO), world.channel.converse(ECHO)
        for conversation in (first, second, first, second):
            conversation.send(Request(topic="t"))
        assert [next(first).partition, next(second).partition] == [1, 1]
        assert [next(second).partition, next(first).partition] == [2, 2]
        for conversation in (first, second):
            conversation.half_close()
            assert list(conversation) == []
