"""Cancellation and deadlines: once for the caller, one terminal frame on the wire, whatever the timing."""

from __future__ import annotations

import asyncio

import pytest
from link_ends import EXECUTE_MANY, PRODUCE, WAIT_SECONDS, refusal, soon

from moorage_proto import kafka_pb2
from moorage_proto.errors import CallError, Reason
from moorage_proto.link import LinkLimits, frames

REQUEST = kafka_pb2.ProduceRequest(topic="t")


async def test_cancelling_the_task_cancels_the_call(make_pair):
    pair = make_pair()
    calling = asyncio.create_task(pair.worker.call(PRODUCE, REQUEST))
    call = await pair.host_calls.next()
    told = asyncio.Event()
    call.on_cancel(told.set)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await soon(calling)
    await soon(told.wait())
    assert call.cancelled.reason == Reason.CANCELLED
    assert not call.done


async def test_a_call_is_open_until_the_called_side_has_really_stopped(make_pair):
    pair = make_pair()
    opened = pair.worker.open(PRODUCE, REQUEST)
    call = await pair.host_calls.next()
    opened.cancel()
    opened.cancel()
    with pytest.raises(CallError) as caught:
        await soon(opened.result())
    assert caught.value.reason == Reason.CANCELLED
    ended = asyncio.create_task(opened.ended())
    await soon(pair.worker.ping(WAIT_SECONDS))
    assert not ended.done()
    assert pair.worker.open_calls == 1
    call.fail(refusal())
    await soon(ended)
    await soon(opened.ended())
    assert pair.worker.open_calls == pair.host.open_calls == 0


async def test_a_callback_that_comes_after_the_cancellation_is_called_at_once(make_pair):
    pair = make_pair()
    opened = pair.worker.open(PRODUCE, REQUEST)
    call = await pair.host_calls.next()
    opened.cancel()
    await soon(pair.worker.ping(WAIT_SECONDS))
    told = []
    call.on_cancel(lambda: told.append(1))
    assert told == [1]


async def test_a_failing_callback_does_not_stop_the_others(make_pair, caplog):
    pair = make_pair()
    opened = pair.worker.open(PRODUCE, REQUEST)
    call = await pair.host_calls.next()
    told = asyncio.Event()

    def broken():
        raise RuntimeError("broken callback")

    call.on_cancel(broken)
    call.on_cancel(told.set)
    opened.cancel()
    await soon(told.wait())
    assert "broken callback" in caplog.text
    assert not pair.host.closed.done()


async def test_reply_and_cancel_may_cross(make_pair):
    pair = make_pair()
    opened = pair.worker.open(PRODUCE, REQUEST)
    call = await pair.host_calls.next()
    call.reply(b"")
    opened.cancel()
    with pytest.raises(CallError):
        await soon(opened.result())
    await soon(opened.ended())
    await soon(pair.worker.ping(WAIT_SECONDS))
    assert pair.worker.open_calls == pair.host.open_calls == 0


async def test_cancel_is_answered_by_one_terminal_frame(make_peer):
    peer = make_peer()
    await peer.send_bytes(frames.call(1, "/x/Y", b"", "", 0, "") + frames.cancel(1) + frames.cancel(1))
    call = await peer.calls.next()
    await peer.alive()
    call.fail(call.cancelled)
    await peer.send_bytes(frames.cancel(1))
    answer = await peer.frame()
    assert (answer.call_id, answer.error.reason) == (1, Reason.CANCELLED)
    call.reply(b"late")
    await peer.alive()


async def test_a_call_cancelled_while_its_request_arrives_is_never_dispatched(make_peer):
    peer = make_peer()
    await peer.send_bytes(
        frames.call(1, "/x/Y", b"ab", "", 0, "", more=True)
        + frames.chunk(1, b"cd", more=True)
        + frames.cancel(1)
        + frames.chunk(1, b"ef")
    )
    answer = await peer.frame()
    assert (answer.call_id, answer.error.reason) == (1, Reason.CANCELLED)
    await peer.alive()
    assert peer.calls.queue.empty()


async def test_cancelling_a_large_request_stops_its_chunks(make_pair):
    limits = LinkLimits(max_frame_bytes=1024, small_message_bytes=200)
    pair = make_pair(limits, capacity=1)
    opened = pair.worker.open(PRODUCE, kafka_pb2.ProduceRequest(value=bytes(10_000_000)))
    opened.cancel()
    with pytest.raises(CallError):
        await soon(opened.result())
    await soon(opened.ended())
    assert sum(map(len, pair.transports[0][1].outgoing.written)) < 100_000
    pair.host_calls.answer = lambda call: call.reply(b"")
    await soon(pair.worker.call(PRODUCE, kafka_pb2.ProduceRequest(value=bytes(50_000))))


async def test_a_call_cancelled_before_it_could_be_sent_is_never_sent(make_pair):
    pair = make_pair(LinkLimits(max_open_calls=1))
    first = pair.worker.open(PRODUCE, REQUEST)
    second = pair.worker.open(PRODUCE, REQUEST)
    second.cancel()
    await soon(second.ended())
    (await pair.host_calls.next()).reply(b"")
    await soon(first.result())
    third = pair.worker.open(PRODUCE, REQUEST)
    assert (await pair.host_calls.next()).id == 3
    third.cancel()


async def test_a_deadline_ends_the_call_at_both_ends(make_pair):
    pair = make_pair()
    started = asyncio.get_running_loop().time()
    calling = asyncio.create_task(pair.worker.call(PRODUCE, REQUEST, timeout=0.05))
    call = await pair.host_calls.next()
    told = asyncio.Event()
    call.on_cancel(told.set)
    with pytest.raises(CallError) as caught:
        await soon(calling)
    assert caught.value.reason == Reason.DEADLINE_EXCEEDED
    assert asyncio.get_running_loop().time() - started >= 0.05
    await soon(told.wait())
    call.fail(call.cancelled)


async def test_the_called_side_keeps_the_deadline_by_itself(make_peer):
    peer = make_peer()
    await peer.send_bytes(frames.call(1, "/x/Y", b"", "", 20, ""))
    call = await peer.calls.next()
    told = asyncio.Event()
    call.on_cancel(told.set)
    await soon(told.wait())
    assert call.cancelled.reason == Reason.DEADLINE_EXCEEDED
    call.fail(call.cancelled)
    assert (await peer.frame()).error.reason == Reason.DEADLINE_EXCEEDED


async def test_a_deadline_counts_while_the_call_waits_for_room(make_pair):
    pair = make_pair(LinkLimits(max_open_calls=1))
    pair.worker.open(PRODUCE, REQUEST)
    with pytest.raises(CallError) as caught:
        await soon(pair.worker.call(PRODUCE, REQUEST, timeout=0.02))
    assert caught.value.reason == Reason.DEADLINE_EXCEEDED


async def test_what_remains_of_the_deadline_crosses(make_pair):
    pair = make_pair()
    opened = pair.worker.open(PRODUCE, REQUEST, timeout=1000)
    call = await pair.host_calls.next()
    assert 990 < call.deadline - asyncio.get_running_loop().time() <= 1000.001
    opened.cancel()


async def test_items_of_a_cancelled_call_are_dropped(make_peer):
    peer = make_peer()
    await peer.send_bytes(frames.call(1, EXECUTE_MANY.path, b"", "", 0, ""))
    call = await peer.calls.next()
    await peer.send_bytes(frames.item(1, b"a") + frames.cancel(1) + frames.item(1, b"b") + frames.end(1))

    async def take_all():
        async for _ in call.items():
            await peer.alive()

    with pytest.raises(CallError) as caught:
        await soon(take_all())
    assert caught.value.reason == Reason.CANCELLED
    call.fail(caught.value)
    await peer.alive()
    assert peer.link.open_calls == 0


async def test_frames_for_a_finished_call_are_dropped_silently(make_peer):
    peer = make_peer()
    peer.calls.answer = lambda call: call.reply(b"")
    await peer.send_bytes(frames.call(1, "/x/Y", b"", "", 0, ""))
    assert (await peer.frame()).call_id == 1
    await peer.send_bytes(
        frames.cancel(1)
        + frames.item(1, b"x")
        + frames.credit(1, 5)
        + frames.chunk(1, b"x")
        + frames.end(1)
        + frames.item(1, b"x", more=True)
        + frames.chunk(1, b"x")
    )
    await peer.alive()


async def test_answers_to_a_finished_call_are_dropped_silently(make_peer):
    peer = make_peer()
    opened = peer.link.open(PRODUCE, REQUEST)
    call_id = (await peer.frame()).call_id
    await peer.send_bytes(frames.reply(call_id, b""))
    await soon(opened.result())
    late = [
        frames.reply(call_id, b"x"),
        frames.error(call_id, refusal()),
        frames.end(call_id),
        frames.item(call_id, b""),
    ]
    await peer.send_bytes(b"".join([*late, frames.reply(call_id, b"x", more=True), frames.chunk(call_id, b"y")]))
    await peer.alive()
    assert not peer.link.closed.done()
