"""Pings, go-away, the end of a link, and a peer that does not read."""

from __future__ import annotations

import asyncio

import pytest
from link_ends import EXECUTE_MANY, FETCH, PRODUCE, WAIT_SECONDS, MemoryTransport, Pipe, refusal, soon

from moorage_proto import kafka_pb2, link_pb2, sql_pb2
from moorage_proto.errors import CallError, Reason, Status
from moorage_proto.link import Link, LinkLimits, Side, frames

REQUEST = kafka_pb2.ProduceRequest(topic="t")


async def test_the_engine_answers_pings_by_itself(make_pair):
    pair = make_pair()
    assert 0 <= await soon(pair.host.ping(WAIT_SECONDS)) < WAIT_SECONDS
    assert 0 <= await soon(pair.worker.ping(WAIT_SECONDS)) < WAIT_SECONDS


async def test_a_ping_that_is_not_answered_fails_in_time(make_peer):
    peer = make_peer()
    with pytest.raises(CallError) as caught:
        await soon(peer.link.ping(0.02))
    assert caught.value.reason == Reason.DEADLINE_EXCEEDED
    await peer.send(link_pb2.Frame(pong=link_pb2.Pong(nonce=(await peer.frame()).ping.nonce)))
    await peer.alive()


async def test_a_ping_fails_when_the_link_ends(make_peer):
    peer = make_peer()
    pinging = asyncio.create_task(peer.link.ping(WAIT_SECONDS))
    await peer.frame()
    await peer.hang_up()
    with pytest.raises(CallError) as caught:
        await soon(pinging)
    assert caught.value.reason == Reason.LINK_CLOSED
    with pytest.raises(CallError):
        await soon(peer.link.ping(1))


async def test_after_go_away_what_runs_finishes_and_nothing_new_begins(make_pair):
    pair = make_pair()
    running = asyncio.create_task(pair.worker.call(PRODUCE, REQUEST))
    call = await pair.host_calls.next()
    pair.host.go_away("the host is stopping")
    pair.host.go_away("again")
    await soon(pair.host.ping(WAIT_SECONDS))
    with pytest.raises(CallError, match="accepts no new calls: the host is stopping") as caught:
        await soon(pair.worker.call(PRODUCE, REQUEST))
    assert (caught.value.status, caught.value.retryable) == (Status.UNAVAILABLE, True)
    call.reply(kafka_pb2.ProduceReply(offset=1).SerializeToString())
    assert (await soon(running)).offset == 1
    # The other direction stays open.
    pair.worker_calls.answer = lambda call: call.reply(b"")
    await soon(pair.host.call(PRODUCE, REQUEST))


async def test_a_call_that_crosses_a_go_away_is_refused(make_peer):
    peer = make_peer()
    peer.link.go_away("stopping")
    await peer.send_bytes(frames.call(1, "/x/Y", b"", "", 0, ""))
    assert (await peer.frame()).go_away.reason == "stopping"
    answer = await peer.frame()
    assert (answer.call_id, answer.error.reason, answer.error.retryable) == (1, Reason.LINK_CLOSED, True)


@pytest.mark.parametrize("lanes", [1, 2])
async def test_close_tells_the_peer_why(make_pair, lanes):
    pair = make_pair(lanes=lanes)
    await soon(pair.host.close("the plugin is unloaded"))
    assert (await soon(pair.host.closed)).message == "the plugin is unloaded"
    told = await soon(pair.worker.closed)
    assert told.reason == Reason.LINK_CLOSED
    assert told.message == "the other end ended the link: the plugin is unloaded"
    await soon(pair.host.close("twice"))


async def test_a_lost_link_fails_every_open_call(make_pair):
    pair = make_pair()
    unary = asyncio.create_task(pair.worker.call(PRODUCE, REQUEST))
    streaming = pair.worker.open(FETCH, sql_pb2.FetchRequest())
    sending = pair.worker.open(EXECUTE_MANY)
    calls = [await pair.host_calls.next() for _ in range(3)]
    told = []
    for call in calls:
        call.on_cancel(lambda: told.append(1))
    waiting = asyncio.create_task(calls[2].items().__anext__())
    for transport in pair.transports[0]:
        await transport.finish()
    for awaitable in (
        unary,
        sending.result(),
        sending.send_item(sql_pb2.ExecuteManyRequest()),
        streaming.__aiter__().__anext__(),
    ):
        with pytest.raises(CallError) as caught:
            await soon(awaitable)
        assert caught.value.reason == Reason.LINK_CLOSED
    with pytest.raises(CallError):
        await soon(waiting)
    assert (await soon(pair.host.closed)).reason == Reason.LINK_CLOSED
    assert len(told) == 3
    for call in calls:
        assert call.done
        call.reply(b"")
        call.fail(refusal())
    assert pair.host.open_calls == pair.worker.open_calls == 0
    with pytest.raises(CallError, match="the link has ended"):
        await soon(pair.worker.call(PRODUCE, REQUEST))


async def test_calls_that_wait_for_room_fail_when_the_link_ends(make_pair):
    pair = make_pair(LinkLimits(max_open_calls=1))
    calling = [asyncio.create_task(pair.worker.call(PRODUCE, REQUEST)) for _ in range(3)]
    await pair.host_calls.next()
    await soon(pair.host.close("gone"))
    for call in calling:
        with pytest.raises(CallError) as caught:
            await soon(call)
        assert caught.value.reason == Reason.LINK_CLOSED


async def test_the_loss_of_a_bulk_lane_ends_the_link(make_pair):
    pair = make_pair(lanes=2)
    await pair.transports[1][1].finish()
    assert "lane 1 is lost" in (await soon(pair.host.closed)).message
    assert "the other end ended the link: lane 1 is lost" in (await soon(pair.worker.closed)).message


async def test_a_transport_that_raises_ends_the_link(caplog):
    class Broken(MemoryTransport):
        async def read(self):
            raise RuntimeError("the stream broke")

    link = Link(Broken(Pipe(), Pipe()), Side.HOST, lambda call: None, name="broken")
    assert (await soon(link.closed)).reason == Reason.LINK_CLOSED
    await soon(link.wait_finished())
    assert "the stream broke" in caplog.text


@pytest.mark.parametrize("flood", [frames.ping(1), frames.call(1, "/x/Y", b"", "", 0, "")], ids=["pings", "calls"])
async def test_a_peer_that_does_not_read_is_ended_with_a_verdict(make_peer, flood):
    limits = LinkLimits(max_queued_bytes=100_000)
    peer = make_peer(limits, capacity=1)
    peer.calls.answer = lambda call: call.reply(bytes(10_000))
    call_id = 1
    while not peer.link.closed.done():
        if flood == frames.ping(1):
            await soon(peer.send_bytes(flood * 5000))
        else:
            await soon(peer.send_bytes(frames.call(call_id, "/x/Y", b"", "", 0, "")))
            call_id += 2
    error = await peer.ended()
    assert error.reason == Reason.PROTOCOL_VIOLATION
    assert "the peer does not read" in error.message
    assert "100,000" in error.message


async def test_a_slow_reader_holds_up_callers_instead(make_peer):
    limits = LinkLimits(room_bytes=50_000, max_queued_bytes=200_000)
    peer = make_peer(limits, capacity=1)
    value = bytes(10_000)
    calling = [asyncio.create_task(peer.link.call(PRODUCE, kafka_pb2.ProduceRequest(value=value))) for _ in range(100)]
    for expected in range(2, 202, 2):
        frame = await peer.frame()
        assert frame.call_id == expected
        await peer.send_bytes(frames.reply(frame.call_id, b""))
    await soon(asyncio.gather(*calling))
    assert not peer.link.closed.done()


async def test_a_slow_reader_of_one_link_leaves_the_other_alone(make_pair):
    slow, quick = make_pair(LinkLimits(room_bytes=1000), capacity=1), make_pair()
    opened = slow.worker.open(FETCH, sql_pb2.FetchRequest())
    call = await slow.host_calls.next()
    rows = sql_pb2.Rows()
    rows.rows.add().values.add().binary = bytes(50_000)

    async def produce():
        while True:
            await call.send_item(rows.SerializeToString())

    producing = asyncio.create_task(produce())
    quick.host_calls.answer = lambda call: call.reply(b"")
    for _ in range(50):
        await soon(quick.worker.call(PRODUCE, REQUEST))
    assert not producing.done()
    opened.cancel()
    with pytest.raises(CallError):
        await soon(producing)
    call.fail(refusal())
