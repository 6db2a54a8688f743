from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from link_ends import EXECUTE_MANY, FETCH, Pair, refusal, soon

from moorage_proto import sql_pb2
from moorage_proto.errors import CallError, Reason
from moorage_proto.link import LinkLimits, frames

LIMITS = LinkLimits(max_frame_bytes=1024, max_message_bytes=20_000, initial_credit_bytes=2048, small_message_bytes=200)


def rows(size: int) -> sql_pb2.Rows:
    made = sql_pb2.Rows()
    made.rows.add().values.add().binary = bytes(size)
    return made


def size_of(message: sql_pb2.Rows) -> int:
    return len(message.rows[0].values[0].binary)


def parameters(size: int) -> sql_pb2.ExecuteManyRequest:
    made = sql_pb2.ExecuteManyRequest(connection=1)
    made.rows.add().parameters.add().binary = bytes(size)
    return made


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(0, 6000), max_size=25), lanes=st.integers(1, 2))
def test_items_arrive_whole_and_in_order(sizes, lanes):
    async def run():
        pair = Pair(LIMITS, lanes=lanes)
        opened = pair.worker.open(FETCH, sql_pb2.FetchRequest(cursor=1))
        call = await pair.host_calls.next()

        async def produce():
            for size in sizes:
                await call.send_item(rows(size).SerializeToString())
            call.finish()

        producing = asyncio.create_task(produce())
        got = [size_of(item) async for item in opened]
        await soon(producing)
        assert got == sizes
        assert pair.host.open_calls == pair.worker.open_calls == 0
        assert pair.worker._table.buffered_bytes == 0
        await pair.close()

    asyncio.run(run())


async def test_a_sender_waits_for_credit_until_items_are_consumed(make_pair):
    pair = make_pair(LIMITS)
    opened = pair.worker.open(FETCH, sql_pb2.FetchRequest(cursor=1))
    call = await pair.host_calls.next()
    sent = []

    async def produce():
        for _ in range(10):
            await call.send_item(rows(900).SerializeToString())
            sent.append(1)
        call.finish()

    producing = asyncio.create_task(produce())
    await soon(pair.host.ping(1))
    await soon(pair.worker.ping(1))
    assert len(sent) == 3
    assert not producing.done()
    assert len([size_of(item) async for item in opened]) == 10
    await soon(producing)


async def test_an_error_comes_after_the_items_before_it(make_pair):
    pair = make_pair(LIMITS)
    opened = pair.worker.open(FETCH, sql_pb2.FetchRequest(cursor=1))
    call = await pair.host_calls.next()
    await call.send_item(rows(1500).SerializeToString())
    call.fail(refusal("the cursor is gone"))
    items = opened.__aiter__()
    assert size_of(await soon(items.__anext__())) == 1500
    with pytest.raises(CallError, match="the cursor is gone"):
        await soon(items.__anext__())


async def test_requests_stream_to_the_called_side(make_pair):
    pair = make_pair(LIMITS)
    opened = pair.worker.open(EXECUTE_MANY)
    call = await pair.host_calls.next()
    assert call.request == b""
    sizes = [10, 5000, 0, 300, 1900, 1900, 1900]

    async def send():
        for size in sizes:
            await opened.send_item(parameters(size))
        opened.half_close()

    sending = asyncio.create_task(send())
    got = [len(sql_pb2.ExecuteManyRequest.FromString(data).rows[0].parameters[0].binary) async for data in call.items()]
    await soon(sending)
    call.reply(sql_pb2.ExecuteReply(row_count=len(got)).SerializeToString())
    assert got == sizes
    assert (await soon(opened.result())).row_count == len(sizes)


async def test_the_called_side_may_answer_before_the_requests_end(make_pair):
    pair = make_pair(LIMITS)
    opened = pair.worker.open(EXECUTE_MANY)
    call = await pair.host_calls.next()
    await opened.send_item(parameters(3000))
    call.fail(refusal("not this table"))

    async def send_on():
        while True:
            await opened.send_item(parameters(3000))

    with pytest.raises(CallError, match="not this table"):
        await soon(send_on())
    with pytest.raises(CallError, match="not this table"):
        await soon(opened.result())
    assert not pair.host.closed.done()
    assert pair.host.open_calls == pair.worker.open_calls == 0


async def test_half_close_before_the_call_was_sent(make_pair):
    pair = make_pair(LinkLimits(max_open_calls=1))
    first = pair.worker.open(FETCH, sql_pb2.FetchRequest(cursor=1))
    second = pair.worker.open(EXECUTE_MANY)
    second.half_close()
    (await pair.host_calls.next()).finish()
    assert [item async for item in first] == []
    call = await pair.host_calls.next()
    assert [item async for item in call.items()] == []
    call.reply(sql_pb2.ExecuteReply().SerializeToString())
    await soon(second.result())


async def test_cancelling_a_stream_frees_what_was_queued(make_pair):
    pair = make_pair(LIMITS)
    opened = pair.worker.open(FETCH, sql_pb2.FetchRequest(cursor=1))
    call = await pair.host_calls.next()
    await call.send_item(rows(1500).SerializeToString())
    await call.send_item(rows(1500).SerializeToString())
    blocked = asyncio.create_task(call.send_item(rows(1500).SerializeToString()))
    opened.cancel()
    with pytest.raises(CallError) as caught:
        await soon(blocked)
    assert caught.value.reason == Reason.CANCELLED
    call.fail(caught.value)
    await soon(opened.ended())
    assert pair.host.open_calls == pair.worker.open_calls == 0


async def test_streams_that_nobody_reads_fail_themselves_when_buffers_are_full(make_pair):
    pair = make_pair(LinkLimits(max_buffered_bytes=300_000))
    streams = [pair.worker.open(FETCH, sql_pb2.FetchRequest(cursor=n)) for n in range(2)]
    calls = [await pair.host_calls.next() for _ in streams]

    async def fill(call):
        while True:
            await call.send_item(rows(40_000).SerializeToString())

    with pytest.raises(CallError) as caught:
        await soon(asyncio.gather(*map(fill, calls)))
    assert caught.value.reason == Reason.CANCELLED
    for call in calls:
        call.fail(refusal())
    errors = []
    for stream in streams:
        try:
            async for _ in stream:
                pass
        except CallError as error:
            errors.append(error.reason)
    assert Reason.QUOTA_EXCEEDED in errors
    assert not pair.worker.closed.done()


async def test_an_item_over_the_bound_is_refused_at_its_sender(make_pair):
    pair = make_pair(LIMITS)
    pair.worker.open(FETCH, sql_pb2.FetchRequest(cursor=1))
    call = await pair.host_calls.next()
    with pytest.raises(CallError, match="an item of") as caught:
        await soon(call.send_item(bytes(20_001)))
    assert caught.value.reason == Reason.MESSAGE_TOO_LARGE
    await soon(call.send_item(rows(10_000).SerializeToString()))
    call.finish()


async def test_items_that_come_after_a_cancellation_count_for_nothing(make_peer):
    peer = make_peer()
    await peer.send_bytes(frames.call(1, EXECUTE_MANY.path, b"", "", 0, "") + frames.item(1, b"a"))
    call = await peer.calls.next()
    await peer.alive()
    assert peer.link._table.buffered_bytes == 33
    await peer.send_bytes(frames.cancel(1) + frames.item(1, b"b"))
    await peer.alive()
    call.fail(call.cancelled)
    assert peer.link._table.buffered_bytes == 0
