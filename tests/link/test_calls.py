"""Unary calls, both ways, between two real ends."""

from __future__ import annotations

import asyncio

import pytest
from link_ends import PRODUCE, RUN, WAIT_SECONDS, refusal, soon

from moorage_proto import kafka_pb2, plugin_pb2
from moorage_proto.errors import CallError, Reason, Status
from moorage_proto.link import LinkLimits

REQUEST = kafka_pb2.ProduceRequest(topic="t", value=b"v")
SMALL_BOUNDS = LinkLimits(max_frame_bytes=1024, max_message_bytes=20_000, small_message_bytes=200)


def echo(call):
    """Answers Produce with the size of its value as the offset."""
    request = kafka_pb2.ProduceRequest.FromString(call.request)
    call.reply(kafka_pb2.ProduceReply(offset=len(request.value)).SerializeToString())


async def test_a_call_carries_its_request_scope_trace_and_deadline(make_pair):
    pair = make_pair()
    calling = asyncio.create_task(
        pair.worker.call(PRODUCE, REQUEST, scope="e-1", timeout=WAIT_SECONDS, traceparent="00-ab-cd-01")
    )
    call = await pair.host_calls.next()
    assert (call.method, call.scope, call.traceparent) == (PRODUCE.path, "e-1", "00-ab-cd-01")
    assert kafka_pb2.ProduceRequest.FromString(call.request) == REQUEST
    assert 0 < call.deadline - asyncio.get_running_loop().time() <= WAIT_SECONDS
    call.reply(kafka_pb2.ProduceReply(offset=3).SerializeToString())
    assert (await soon(calling)).offset == 3
    assert pair.host.open_calls == pair.worker.open_calls == 0


async def test_calls_go_both_ways_at_once(make_pair):
    pair = make_pair()
    pair.host_calls.answer = echo
    pair.worker_calls.answer = lambda call: call.reply(plugin_pb2.RunReply().SerializeToString())
    replies = await soon(
        asyncio.gather(
            *(pair.worker.call(PRODUCE, kafka_pb2.ProduceRequest(value=bytes(n))) for n in range(300)),
            *(pair.host.call(RUN, plugin_pb2.RunRequest()) for _ in range(300)),
        )
    )
    assert [reply.offset for reply in replies[:300]] == list(range(300))


async def test_calls_may_be_answered_in_any_order(make_pair):
    pair = make_pair()
    first, second = (
        asyncio.create_task(pair.worker.call(PRODUCE, kafka_pb2.ProduceRequest(value=bytes(n)))) for n in (1, 2)
    )
    calls = [await pair.host_calls.next(), await pair.host_calls.next()]
    for call in reversed(calls):
        echo(call)
    assert (await soon(second)).offset == 2
    assert (await soon(first)).offset == 1


async def test_an_error_arrives_with_all_it_says(make_pair):
    pair = make_pair()
    pair.host_calls.answer = lambda call: call.fail(refusal("topic t is not granted"))
    with pytest.raises(CallError) as caught:
        await soon(pair.worker.call(PRODUCE, REQUEST))
    error = caught.value
    assert (error.status, error.reason) == (Status.PERMISSION_DENIED, Reason.CAPABILITY_MISSING)
    assert (error.message, error.capability) == ("topic t is not granted", "kafka.produce:t")
    assert error.remedy == "moorage grant x kafka.produce:t"


async def test_a_dispatcher_that_raises_fails_its_call_alone(make_pair, caplog):
    pair = make_pair()

    def broken(call):
        raise RuntimeError("a secret detail")

    pair.host_calls.answer = broken
    with pytest.raises(CallError) as caught:
        await soon(pair.worker.call(PRODUCE, REQUEST))
    assert caught.value.reason == Reason.INTERNAL
    assert "a secret detail" not in caught.value.message
    assert "a secret detail" in caplog.text
    pair.host_calls.answer = echo
    assert (await soon(pair.worker.call(PRODUCE, REQUEST))).offset == 1


@pytest.mark.parametrize("size", [0, 199, 200, 201, 1023, 1024, 1025, 5000, 19_000])
async def test_messages_of_any_size_arrive_whole(make_pair, size):
    pair = make_pair(SMALL_BOUNDS)
    value = bytes(n % 251 for n in range(size))

    def mirror(call):
        call.reply(call.request)

    pair.host_calls.answer = mirror
    method = PRODUCE.__class__(**{**PRODUCE.__dict__, "reply": kafka_pb2.ProduceRequest})
    reply = await soon(pair.worker.call(method, kafka_pb2.ProduceRequest(topic="t", value=value)))
    assert reply.value == value
    for transport in (*pair.transports[0],):
        assert all(len(batch) <= SMALL_BOUNDS.max_batch_bytes for batch in transport.outgoing.written)


async def test_large_messages_at_once_keep_every_bound(make_pair):
    pair = make_pair(SMALL_BOUNDS)
    pair.host_calls.answer = echo
    sizes = [19_000, 10, 15_000, 3_000, 19_000, 100, 12_345]
    replies = await soon(
        asyncio.gather(*(pair.worker.call(PRODUCE, kafka_pb2.ProduceRequest(value=bytes(size))) for size in sizes))
    )
    assert [reply.offset for reply in replies] == sizes


async def test_a_request_over_the_bound_is_refused_before_it_is_sent(make_pair):
    pair = make_pair(SMALL_BOUNDS)
    pair.host_calls.answer = echo
    with pytest.raises(CallError, match=r"the request of /moorage.v1.KafkaService/Produce has 30,003 bytes") as caught:
        await soon(pair.worker.call(PRODUCE, kafka_pb2.ProduceRequest(value=bytes(29_999))))
    assert caught.value.reason == Reason.MESSAGE_TOO_LARGE
    assert (await soon(pair.worker.call(PRODUCE, REQUEST))).offset == 1


async def test_a_reply_over_the_bound_becomes_an_error(make_pair):
    pair = make_pair(SMALL_BOUNDS)
    pair.host_calls.answer = lambda call: call.reply(bytes(20_001))
    with pytest.raises(CallError, match="the reply of") as caught:
        await soon(pair.worker.call(PRODUCE, REQUEST))
    assert caught.value.reason == Reason.MESSAGE_TOO_LARGE
    assert not pair.worker.closed.done()


async def test_a_scope_that_fits_no_frame_is_refused(make_pair):
    pair = make_pair(SMALL_BOUNDS)
    with pytest.raises(CallError, match="shorten them"):
        await soon(pair.worker.call(PRODUCE, REQUEST, scope="e" * 1000))


async def test_a_reply_of_another_type_is_an_error_of_the_call(make_pair):
    pair = make_pair()
    pair.host_calls.answer = lambda call: call.reply(b"\xff\xff\xff")
    with pytest.raises(CallError, match="is not a ProduceReply"):
        await soon(pair.worker.call(PRODUCE, REQUEST))


async def test_a_call_answered_twice_is_answered_once(make_pair):
    pair = make_pair()

    def eager(call):
        echo(call)
        echo(call)
        call.fail(refusal())
        call.finish()

    pair.host_calls.answer = eager
    assert (await soon(pair.worker.call(PRODUCE, REQUEST))).offset == 1
    assert (await soon(pair.worker.call(PRODUCE, REQUEST))).offset == 1


async def test_calls_over_the_number_that_may_be_open_wait_their_turn(make_pair):
    pair = make_pair(LinkLimits(max_open_calls=3))
    calling = [
        asyncio.create_task(pair.worker.call(PRODUCE, kafka_pb2.ProduceRequest(value=bytes(n)))) for n in range(8)
    ]
    first = [await pair.host_calls.next() for _ in range(3)]
    await soon(pair.worker.ping(WAIT_SECONDS))
    assert pair.host_calls.queue.empty()
    for call in first:
        echo(call)
    for _ in range(5):
        echo(await pair.host_calls.next())
    assert [reply.offset for reply in await soon(asyncio.gather(*calling))] == list(range(8))


async def test_ordered_calls_arrive_in_order_however_large(make_pair):
    pair = make_pair(SMALL_BOUNDS, lanes=2)
    arrived = []
    done = asyncio.Event()

    def note(call):
        arrived.append(len(call.request))
        call.reply(b"")
        if len(arrived) == 6:
            done.set()

    pair.host_calls.answer = note
    sizes = [10, 15_000, 20, 9_000, 19_000, 1]
    for size in sizes:
        pair.worker.start("/x/Y", bytes(size), lambda reply, error: None, ordered=True)
    await soon(done.wait())
    assert arrived == sizes


async def test_bulk_and_large_calls_take_a_bulk_lane(make_pair):
    pair = make_pair(lanes=2)
    lanes = {}

    def note(call):
        lanes[call.method] = call.lane_number
        call.reply(b"")

    pair.host_calls.answer = note
    done = []
    pair.worker.start("/x/Small", b"", lambda *_: done.append(1))
    pair.worker.start("/x/Bulk", b"", lambda *_: done.append(1), bulk=True)
    pair.worker.start("/x/Large", bytes(70_000), lambda *_: done.append(1))
    pair.worker.start("/x/Middle", bytes(60_000), lambda *_: done.append(1))
    await soon(pair.worker.call(PRODUCE, kafka_pb2.ProduceRequest(value=bytes(70_000))))
    await soon(pair.worker.call(PRODUCE, REQUEST))
    assert lanes == {"/x/Small": 0, "/x/Bulk": 1, "/x/Large": 1, "/x/Middle": 0, PRODUCE.path: 0}
