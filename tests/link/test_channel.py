"""The SDK's channel: plugin code on plain threads and on other event loops calls a real listener."""

from __future__ import annotations

import asyncio
import concurrent.futures
import tempfile
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from link_ends import EXECUTE_MANY, FETCH, PRODUCE, WAIT_SECONDS, Calls, refusal, soon
from link_worker import TOKEN, Worker, in_thread, linked_worker

from moorage.broker.listener import Listener
from moorage_proto import kafka_pb2, link_pb2, sql_pb2
from moorage_proto.errors import CallError, Reason
from moorage_sdk import scope
from moorage_sdk.errors import Cancelled, CapabilityMissing, DeadlineExceeded, HostUnavailable, MoorageError
from moorage_sdk.scope import Scope
from moorage_sdk.worker.handover import Handover
from moorage_sdk.worker.link import LinkThread

REQUEST = kafka_pb2.ProduceRequest(topic="t", value=b"abc")


@pytest_asyncio.fixture
async def worker() -> AsyncIterator[Worker]:
    async with linked_worker() as made:
        yield made


def echo(call) -> None:
    request = kafka_pb2.ProduceRequest.FromString(call.request)
    call.reply(kafka_pb2.ProduceReply(offset=len(request.value)).SerializeToString())


async def test_a_thread_calls_and_waits(worker):
    worker.calls.answer = echo
    assert (await in_thread(worker.channel.call, PRODUCE, REQUEST)).offset == 3


async def test_a_coroutine_of_another_loop_calls(worker):
    worker.calls.answer = echo
    replies = await soon(
        asyncio.gather(
            *(worker.channel.call_async(PRODUCE, kafka_pb2.ProduceRequest(value=bytes(n))) for n in range(200))
        )
    )
    assert [reply.offset for reply in replies] == list(range(200))


async def test_a_coroutine_of_the_links_own_loop_calls(worker):
    worker.calls.answer = echo
    calling = asyncio.run_coroutine_threadsafe(worker.channel.call_async(PRODUCE, REQUEST), worker.thread.loop)
    assert (await soon(asyncio.wrap_future(calling))).offset == 3


async def test_a_loop_that_came_after_another_in_the_same_thread_calls(worker):
    worker.calls.answer = echo

    def two_loops() -> list[int]:
        return [asyncio.run(worker.channel.call_async(PRODUCE, REQUEST)).offset for _ in range(2)]

    assert await in_thread(two_loops) == [3, 3]


async def test_many_threads_at_once(worker):
    worker.calls.answer = echo

    def several(size: int) -> list[int]:
        request = kafka_pb2.ProduceRequest(value=bytes(size))
        return [worker.channel.call(PRODUCE, request).offset for _ in range(20)]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = await soon(
            asyncio.gather(*(asyncio.get_running_loop().run_in_executor(pool, several, n) for n in range(8)))
        )
    assert answers == [[n] * 20 for n in range(8)]


async def test_the_current_scope_and_trace_go_with_the_call(worker):
    with scope.entered(Scope("e-7", traceparent="00-aa-bb-01")):
        calling = asyncio.create_task(worker.channel.call_async(PRODUCE, REQUEST))
        streaming = worker.channel.stream(FETCH, sql_pb2.FetchRequest())
    for _ in range(2):
        call = await worker.calls.next()
        assert (call.scope, call.traceparent) == ("e-7", "00-aa-bb-01")
        if call.method == PRODUCE.path:
            echo(call)
        else:
            call.finish()
    await soon(calling)
    assert [item async for item in streaming] == []


async def test_errors_are_typed(worker):
    worker.calls.answer = lambda call: call.fail(refusal("not granted"))
    with pytest.raises(CapabilityMissing, match="not granted") as caught:
        await in_thread(worker.channel.call, PRODUCE, REQUEST)
    assert caught.value.remedy == "moorage grant x kafka.produce:t"
    with pytest.raises(CapabilityMissing):
        await soon(worker.channel.call_async(PRODUCE, REQUEST))
    with pytest.raises(CapabilityMissing):
        await in_thread(list, worker.channel.stream(FETCH, sql_pb2.FetchRequest()))
    with pytest.raises(CapabilityMissing):
        await in_thread(worker.channel.send_all, EXECUTE_MANY, [sql_pb2.ExecuteManyRequest()])
    with pytest.raises(CapabilityMissing):
        await in_thread(worker.channel.submit(PRODUCE, REQUEST).result)


async def test_an_answer_of_another_type_is_typed_too(worker):
    worker.calls.answer = lambda call: call.reply(b"\xff\xff")
    with pytest.raises(MoorageError, match="is not a ProduceReply"):
        await in_thread(worker.channel.call, PRODUCE, REQUEST)


async def test_a_timeout_is_a_deadline(worker):
    with pytest.raises(DeadlineExceeded) as caught:
        await in_thread(worker.channel.call, PRODUCE, REQUEST, timeout=0.02)
    assert isinstance(caught.value, TimeoutError)


async def test_cancelling_the_task_cancels_the_call_in_the_host(worker):
    calling = asyncio.create_task(worker.channel.call_async(PRODUCE, REQUEST))
    call = await worker.calls.next()
    told = asyncio.Event()
    call.on_cancel(told.set)
    calling.cancel()
    await soon(told.wait())
    call.fail(call.cancelled)


async def test_submitted_calls_arrive_in_order_and_can_be_cancelled(worker):
    sizes = [10, 500_000, 20, 70_000, 30]
    futures = [worker.channel.submit(PRODUCE, kafka_pb2.ProduceRequest(value=bytes(size))) for size in sizes]
    calls = [await worker.calls.next() for _ in sizes]
    assert [len(kafka_pb2.ProduceRequest.FromString(call.request).value) for call in calls] == sizes
    told = asyncio.Event()
    calls[2].on_cancel(told.set)
    assert futures[2].cancel()
    await soon(told.wait())
    for call in calls:
        echo(call)
    answers = await in_thread(lambda: [future.result().offset for future in futures if not future.cancelled()])
    assert answers == [10, 500_000, 70_000, 30]


def rows(n: int) -> bytes:
    made = sql_pb2.Rows()
    made.rows.add().values.add().binary = bytes([n]) * 20_000
    return made.SerializeToString()


def stream_rows(worker: Worker, count: int) -> asyncio.Task[None]:
    async def produce() -> None:
        call = await worker.calls.next()
        try:
            for n in range(count):
                await call.send_item(rows(n))
        except CallError as error:
            call.fail(error)
        else:
            call.finish()

    return asyncio.create_task(produce())


async def test_a_thread_reads_a_stream(worker):
    producing = stream_rows(worker, 100)
    items = await in_thread(list, worker.channel.stream(FETCH, sql_pb2.FetchRequest()))
    assert [item.rows[0].values[0].binary[0] for item in items] == list(range(100))
    await soon(producing)


async def test_a_coroutine_reads_a_stream(worker):
    producing = stream_rows(worker, 100)
    got = [item.rows[0].values[0].binary[0] async for item in worker.channel.stream(FETCH, sql_pb2.FetchRequest())]
    assert got == list(range(100))
    await soon(producing)


async def test_a_stream_that_is_closed_or_forgotten_is_cancelled(worker):
    for forget in (False, True):
        producing = stream_rows(worker, 10_000)
        stream = worker.channel.stream(FETCH, sql_pb2.FetchRequest())
        assert len((await in_thread(next, iter(stream))).rows) == 1
        if not forget:
            stream.close()
            stream.close()
            with pytest.raises(Cancelled):
                await in_thread(list, stream)
        del stream
        await soon(producing)


async def test_requests_stream_from_a_thread_and_from_a_coroutine(worker):
    requests = [sql_pb2.ExecuteManyRequest(connection=n, statement="x" * 30_000) for n in range(60)]

    async def answer() -> list[int]:
        call = await worker.calls.next()
        got = [sql_pb2.ExecuteManyRequest.FromString(data).connection async for data in call.items()]
        call.reply(sql_pb2.ExecuteReply(row_count=len(got)).SerializeToString())
        return got

    answering = asyncio.create_task(answer())
    assert (await in_thread(worker.channel.send_all, EXECUTE_MANY, iter(requests))).row_count == 60
    assert await soon(answering) == list(range(60))
    answering = asyncio.create_task(answer())
    assert (await soon(worker.channel.send_all_async(EXECUTE_MANY, requests))).row_count == 60
    assert await soon(answering) == list(range(60))


async def test_an_iterable_that_raises_cancels_its_call(worker):
    def broken():
        yield sql_pb2.ExecuteManyRequest()
        raise ValueError("no more")

    sending = asyncio.create_task(in_thread(worker.channel.send_all, EXECUTE_MANY, broken()))
    call = await worker.calls.next()
    told = asyncio.Event()
    call.on_cancel(told.set)
    with pytest.raises(ValueError, match="no more"):
        await soon(sending)
    await soon(told.wait())
    call.fail(call.cancelled)


async def test_an_item_over_the_bound_is_a_typed_error(worker):
    worker.calls.answer = lambda call: None
    too_much = sql_pb2.ExecuteManyRequest(statement="x" * (16 * 1024 * 1024 + 1))
    with pytest.raises(MoorageError) as caught:
        await in_thread(worker.channel.send_all, EXECUTE_MANY, [too_much])
    assert caught.value.reason == Reason.MESSAGE_TOO_LARGE


async def test_a_blocking_call_on_the_links_own_thread_is_refused_instead_of_waiting_for_ever(worker):
    async def block():
        worker.channel.call(PRODUCE, REQUEST)

    with pytest.raises(RuntimeError, match="on the link's own thread"):
        await soon(asyncio.wrap_future(asyncio.run_coroutine_threadsafe(block(), worker.thread.loop)))


async def test_when_the_host_goes_every_caller_is_told(worker):
    blocked = asyncio.create_task(in_thread(worker.channel.call, PRODUCE, REQUEST))
    reading = asyncio.create_task(in_thread(list, worker.channel.stream(FETCH, sql_pb2.FetchRequest())))
    for _ in range(2):
        await worker.calls.next()
    await soon(worker.listener.close("the plugin is stopped"))
    for calling in (blocked, reading):
        with pytest.raises(HostUnavailable, match="the plugin is stopped"):
            await soon(calling)
    reason = await in_thread(worker.thread.wait_closed, WAIT_SECONDS)
    assert "the plugin is stopped" in reason.message
    with pytest.raises(HostUnavailable):
        await in_thread(worker.channel.call, PRODUCE, REQUEST)
    with pytest.raises(HostUnavailable):
        worker.channel.stream(FETCH, sql_pb2.FetchRequest())


async def test_a_refused_token_raises_the_hosts_sentence():
    with tempfile.TemporaryDirectory(prefix="mc") as folder:
        path = Path(folder) / "h"
        listener = Listener(path, TOKEN, lambda hello: link_pb2.Welcome(), Calls(), lambda error: None)
        await listener.start()
        stranger = LinkThread(str(path), b"wrong", lambda call: None)
        with pytest.raises(MoorageError, match="the token is not this worker's") as caught:
            await in_thread(stranger.start)
        assert caught.value.reason == Reason.TOKEN_INVALID
        await soon(listener.close())


async def test_no_host_is_said_in_a_sentence(tmp_path):
    lonely = LinkThread(str(tmp_path / "h"), TOKEN, lambda call: None)
    with pytest.raises(HostUnavailable, match="no host answers"):
        await in_thread(lonely.start)
    with pytest.raises(HostUnavailable):
        _ = lonely.link


async def test_many_pieces_are_handed_over_for_one_wake_up(caplog):
    loop = asyncio.get_running_loop()
    woken, done, ran = [], asyncio.Event(), []

    class Counting:
        def call_soon_threadsafe(self, callback):
            woken.append(1)
            loop.call_soon_threadsafe(callback)

    handover = Handover(Counting())

    def post_all():
        for n in range(100):
            handover.post(ran.append, n)
        handover.post(lambda: 1 / 0)
        handover.post(done.set)

    post_all()
    await soon(done.wait())
    assert ran == list(range(100))
    assert len(woken) == 1
    assert "ZeroDivisionError" in caplog.text
    poster = threading.Thread(target=post_all)
    done.clear()
    poster.start()
    await soon(done.wait())
    poster.join(WAIT_SECONDS)
    assert ran == [*range(100), *range(100)]
