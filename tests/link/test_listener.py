"""The host's listener over real gRPC sockets, dialled by clients that follow the rules and by clients that do not."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import http2
import pytest
import pytest_asyncio
from grpc import aio
from http2 import RawConnection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from link_ends import PRODUCE, WAIT_SECONDS, Calls, soon

from moorage.broker import listener
from moorage.broker.listener import Listener
from moorage_proto import kafka_pb2, link_pb2
from moorage_proto.errors import CallError, Reason, Status
from moorage_proto.link import LinkLimits, frames, handshake
from moorage_sdk.worker.link import ClientStream, connect

TOKEN = b"t" * 32
LIMITS = LinkLimits()
REQUEST = kafka_pb2.ProduceRequest(topic="t")
METHOD = f"/{handshake.SERVICE}/{handshake.RPC}"


class Host:
    """One worker's listener, and what it was told."""

    def __init__(self, folder: Path, token: bytes = TOKEN, **options) -> None:
        self.path = folder / f"h{os.urandom(2).hex()}"
        self.calls = Calls()
        self.refused: list[CallError] = []
        self.hellos: list[link_pb2.Hello] = []
        self.listener = Listener(self.path, token, self._welcome, self.calls, self.refused.append, **options)

    def _welcome(self, hello: link_pb2.Hello) -> link_pb2.Welcome:
        self.hellos.append(hello)
        if "refuse me" in hello.features:
            raise CallError(Status.FAILED_PRECONDITION, Reason.REQUEST_INVALID, "this worker is not wanted")
        if "break" in hello.features:
            raise RuntimeError("a bug of the host")
        return link_pb2.Welcome(installation="churn", incarnation_number=7, incarnation_scope="i-7")


@pytest.fixture
def folder():
    # pytest's own folders are too deep for a socket.
    with tempfile.TemporaryDirectory(prefix="ml") as name:
        yield Path(name)


@pytest_asyncio.fixture
async def host(folder) -> AsyncIterator[Host]:
    made = Host(folder)
    await made.listener.start()
    yield made
    await soon(made.listener.close())


@asynccontextmanager
async def dialled_channel(host: Host) -> AsyncIterator[aio.Channel]:
    """A connection of its own that stands."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with aio.insecure_channel(f"unix:{host.path}", options=options) as channel:
        await soon(channel.channel_ready())
        yield channel


@asynccontextmanager
async def dialled(host: Host) -> AsyncIterator[ClientStream]:
    async with dialled_channel(host) as channel:
        yield ClientStream(channel.stream_stream(METHOD)())


async def answer(stream: ClientStream) -> link_pb2.Frame:
    data = await soon(stream.read())
    assert data is not None, "the stream ended without a word"
    return frames.decode(data, LIMITS)[0]


def hello(token: bytes = TOKEN, **fields) -> bytes:
    fields.setdefault("protocol_versions", [1])
    return frames.single(link_pb2.Frame(hello=link_pb2.Hello(token=token, **fields)))


async def refused(host: Host, *sent: bytes) -> CallError:
    """Dials, sends, and returns what the host was told of the refusal, which is what the client was told."""
    async with dialled_channel(host) as channel:
        return await refused_on(host, channel, *sent)


async def refused_on(host: Host, channel: aio.Channel, *sent: bytes) -> CallError:
    """The same on a connection that stands."""
    stream = ClientStream(channel.stream_stream(METHOD)())
    for data in sent:
        await stream.write(data)
    told = await answer(stream)
    assert told.call_id == 0
    assert told.WhichOneof("body") == "error"
    assert await soon(stream.read()) is None
    async with asyncio.timeout(WAIT_SECONDS):
        while not host.refused:
            await asyncio.sleep(0)
    error = host.refused.pop(0)
    assert told.error.message == error.message
    assert told.error.reason == error.reason
    return error


async def test_a_worker_is_welcomed_and_calls_go_both_ways(host):
    connection = await soon(connect(str(host.path), TOKEN, lambda call: call.reply(b"")))
    link = await soon(host.listener.connected(WAIT_SECONDS))
    welcome = connection.welcome
    assert (welcome.installation, welcome.incarnation_number, welcome.protocol_version) == ("churn", 7, 1)
    assert welcome.limits.max_frame_bytes == LIMITS.max_frame_bytes
    assert len(welcome.lane_ticket) == 32
    assert host.listener.hello.grpcio_version == grpc.__version__
    await connection.open_lanes()
    host.calls.answer = lambda call: call.reply(kafka_pb2.ProduceReply(offset=call.lane_number).SerializeToString())
    assert (await soon(connection.link.call(PRODUCE, REQUEST))).offset == 0
    large = kafka_pb2.ProduceRequest(value=bytes(3_000_000))
    assert (await soon(connection.link.call(PRODUCE, large))).offset == 1
    await soon(link.call(PRODUCE, large))
    assert await soon(link.ping(WAIT_SECONDS)) < WAIT_SECONDS
    await soon(connection.link.close("done"))
    assert (await soon(link.closed)).message == "the other end ended the link: done"
    await soon(connection.closed())
    assert host.refused == []


async def test_the_socket_belongs_to_the_worker_alone(host):
    mode = host.path.stat()
    assert stat.S_ISSOCK(mode.st_mode)
    assert stat.S_IMODE(mode.st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a socket away")
async def test_the_socket_is_given_to_the_workers_user(folder):
    host = Host(folder, socket_uid=61234)
    await host.listener.start()
    assert host.path.stat().st_uid == 61234
    await soon(host.listener.close())


async def test_a_path_that_unix_cannot_hold_is_refused_with_a_sentence(folder):
    with pytest.raises(ValueError, match="choose a shorter state directory"):
        await Host(folder / ("x" * 100)).listener.start()


async def test_a_wrong_token_is_refused_and_the_right_one_still_works(host):
    error = await refused(host, hello(b"wrong"))
    assert error.reason == Reason.TOKEN_INVALID
    assert "the token is not this worker's" in error.message
    assert TOKEN.decode() not in error.message
    connection = await soon(connect(str(host.path), TOKEN, host.calls))
    await soon(connection.link.close("done"))
    await soon(connection.closed())


async def test_a_token_is_good_once(host):
    connection = await soon(connect(str(host.path), TOKEN, host.calls))
    error = await refused(host, hello())
    assert error.reason == Reason.TOKEN_INVALID
    assert "the token was used before" in error.message
    # The link that the token opened lives on.
    await soon(connection.link.ping(WAIT_SECONDS))
    await soon(connection.link.close("done"))
    await soon(connection.closed())
    error = await refused(host, hello())
    assert "the token was used before" in error.message


async def test_a_second_hello_ends_the_link_and_is_told(host):
    async with dialled(host) as stream:
        await stream.write(hello())
        assert (await answer(stream)).welcome.installation == "churn"
        await stream.write(hello())
        assert (await answer(stream)).error.reason == Reason.TOKEN_INVALID
        link = await host.listener.connected(WAIT_SECONDS)
        await soon(link.wait_finished())
    assert [error.reason for error in host.refused] == [Reason.TOKEN_INVALID]


async def test_the_token_of_another_worker_is_foreign(folder):
    one, other = Host(folder, b"1" * 32), Host(folder, b"2" * 32)
    await one.listener.start()
    await other.listener.start()
    error = await refused(one, hello(b"2" * 32))
    assert error.reason == Reason.TOKEN_INVALID
    assert other.refused == []
    connection = await soon(connect(str(other.path), b"2" * 32, other.calls))
    await soon(connection.link.ping(WAIT_SECONDS))
    await soon(other.listener.close())
    await soon(connection.closed())
    await soon(one.listener.close())


async def test_after_close_token_and_socket_are_gone(host):
    await soon(host.listener.close())
    assert not host.path.exists()
    with pytest.raises(CallError) as caught:
        await soon(connect(str(host.path), TOKEN, host.calls))
    assert caught.value.reason == Reason.LINK_CLOSED
    await soon(host.listener.close())


async def test_close_ends_a_live_link(host):
    connection = await soon(connect(str(host.path), TOKEN, host.calls))
    await soon(host.listener.close("unloaded"))
    assert (await soon(connection.closed())).message == "the other end ended the link: unloaded"
    assert not host.path.exists()


async def test_no_common_version_is_refused_with_what_to_upgrade(host):
    error = await refused(host, hello(protocol_versions=[98, 99]))
    assert error.reason == Reason.PROTOCOL_UNSUPPORTED
    assert "upgrade the host" in error.message
    connection = await soon(connect(str(host.path), TOKEN, host.calls))
    await soon(host.listener.close())
    await soon(connection.closed())


async def test_unknown_features_are_ignored(host):
    async with dialled(host) as stream:
        await stream.write(hello(features=["time travel"], protocol_versions=[1, 77]))
        assert (await answer(stream)).welcome.protocol_version == 1


async def test_the_host_may_refuse_after_reading_hello(host):
    error = await refused(host, hello(features=["refuse me"]))
    assert error.message == "this worker is not wanted"


async def test_a_bug_in_the_welcome_is_no_news_for_the_worker(host, caplog):
    error = await refused(host, hello(features=["break"]))
    assert error.reason == Reason.INTERNAL
    assert "a bug of the host" not in error.message
    assert "a bug of the host" in caplog.text


@pytest.mark.parametrize(
    ("first", "sentence"),
    [
        (b"\xff\xff", "is not a Batch"),
        (frames.pong(1), "must begin with Hello or Attach"),
        (frames.call(1, "/x/Y", b"", "", 0, ""), "one whole frame with call id 0"),
        (hello() + hello(), "one whole frame with call id 0"),
        (b"", "one whole frame with call id 0"),
    ],
)
async def test_a_stream_that_begins_otherwise_is_refused(host, first, sentence):
    error = await refused(host, first)
    assert error.reason == Reason.PROTOCOL_VIOLATION
    assert sentence in error.message


async def test_an_oversized_batch_ends_its_stream_only(host):
    connection = await soon(connect(str(host.path), TOKEN, host.calls))
    error = await refused(host, bytes(LIMITS.max_batch_bytes + 1))
    assert "a batch of 262,145 bytes arrived, and the bound is 262,144" in error.message
    async with dialled(host) as stream:
        # gRPC itself refuses what is over its own bound.
        await stream.write(bytes(2 * LIMITS.max_batch_bytes + 1))
        assert await soon(stream.read()) is None
    await soon(connection.link.ping(WAIT_SECONDS))
    await soon(connection.link.close("done"))
    await soon(connection.closed())


async def test_an_oversized_frame_inside_the_link_ends_it_with_a_sentence(host):
    async with dialled(host) as stream:
        await stream.write(hello())
        await answer(stream)
        link = await host.listener.connected(WAIT_SECONDS)
        await stream.write(frames.single(link_pb2.Frame(call_id=1, call=link_pb2.Call(request=bytes(65_536)))))
        assert "and the bound is 65,536" in (await answer(stream)).error.message
        assert (await soon(asyncio.shield(link.closed))).reason == Reason.PROTOCOL_VIOLATION
        await soon(link.wait_finished())


async def test_a_stream_that_says_nothing_is_ended(host, monkeypatch):
    monkeypatch.setattr(handshake, "TIMEOUT_SECONDS", 0.05)
    error = await refused(host)
    assert error.reason == Reason.DEADLINE_EXCEEDED
    assert "send Hello or Attach at once" in error.message


async def test_no_worker_within_the_time_is_a_timeout(host):
    with pytest.raises(TimeoutError):
        await host.listener.connected(0.01)
    with pytest.raises(RuntimeError, match="no worker has connected"):
        _ = host.listener.hello


async def test_waiting_for_a_worker_ends_with_the_listener(host):
    waiting = asyncio.create_task(host.listener.connected(WAIT_SECONDS))
    await asyncio.wait([waiting], timeout=0)
    await soon(host.listener.close("never mind"))
    with pytest.raises(CallError, match="never mind"):
        await soon(waiting)


async def test_a_lane_needs_the_ticket_of_this_link(host):
    async with dialled_channel(host) as kept:
        connection = await soon(connect(str(host.path), TOKEN, host.calls))
        error = await refused_on(host, kept, handshake.attach(b"x" * 32, 1))
        assert error.reason == Reason.TOKEN_INVALID
        for lane in (0, 2, 99):
            error = await refused_on(host, kept, handshake.attach(connection.welcome.lane_ticket, lane))
            assert f"lane {lane} cannot be opened" in error.message
        await connection.open_lanes()
        host.calls.answer = lambda call: call.reply(b"")
        await soon(connection.link.call(PRODUCE, kafka_pb2.ProduceRequest(value=bytes(100_000))))
        error = await refused_on(host, kept, handshake.attach(connection.welcome.lane_ticket, 1))
        assert "each once" in error.message
        await soon(connection.link.ping(WAIT_SECONDS))
        await soon(connection.link.close("done"))
        await soon(connection.closed())
        error = await refused_on(host, kept, handshake.attach(connection.welcome.lane_ticket, 1))
        assert error.reason == Reason.TOKEN_INVALID


async def test_nobody_can_dial_once_the_lanes_are_open(host):
    connection = await soon(connect(str(host.path), TOKEN, host.calls))
    with RawConnection(host.path, greet=False):  # lane 1 is not open yet
        await connection.open_lanes()
        host.calls.answer = lambda call: call.reply(b"")
        await soon(connection.link.call(PRODUCE, kafka_pb2.ProduceRequest(value=bytes(100_000))))
        with pytest.raises(FileNotFoundError):
            RawConnection(host.path)
    await soon(connection.link.close("done"))
    await soon(connection.closed())


async def test_nobody_can_dial_after_a_while_where_lanes_are_not_opened(host, monkeypatch):
    monkeypatch.setattr(listener, "DOOR_SECONDS", 0.01)
    connection = await soon(connect(str(host.path), TOKEN, host.calls))
    async with asyncio.timeout(WAIT_SECONDS):
        while host.path.exists():
            await connection.link.ping(WAIT_SECONDS)
    assert host.refused == []
    await soon(connection.link.close("done"))
    await soon(connection.closed())


async def test_a_worker_whose_streams_are_refused_again_and_again_loses_its_link(host):
    async with dialled_channel(host) as kept:
        connection = await soon(connect(str(host.path), TOKEN, host.calls))
        link = await soon(host.listener.connected(WAIT_SECONDS))
        for _ in range(listener.MAX_REFUSALS - 1):
            await refused_on(host, kept, hello(b"wrong"))
        assert not link.closed.done()
        await refused_on(host, kept, hello(b"wrong"))
        error = await soon(asyncio.shield(link.closed))
        assert error.reason == Reason.PROTOCOL_VIOLATION
        assert "16 streams beside the link's own were refused" in error.message
        await soon(connection.closed())


async def test_a_lane_before_the_link_is_refused(host):
    assert (await refused(host, handshake.attach(b"", 1))).reason == Reason.TOKEN_INVALID


async def test_a_client_that_vanishes_ends_its_link(host):
    """As a process that ends does: gRPC's own clients say on their way out that they go."""
    with RawConnection(host.path) as client:
        client.send(http2.headers(1) + http2.frame(http2.DATA, 0, 1, http2.message(hello())))
        link = await soon(host.listener.connected(WAIT_SECONDS))
        assert not link.closed.done()
    assert (await soon(asyncio.shield(link.closed))).reason == Reason.LINK_CLOSED
    await soon(link.wait_finished())
    assert host.refused == []


@pytest.mark.parametrize(
    "break_off",
    [
        lambda stream: stream.write(bytes(2 * LIMITS.max_batch_bytes + 1)),
        lambda stream: asyncio.to_thread(stream._call.cancel),
        lambda stream: stream.finish(),
    ],
    ids=["a batch beyond gRPC's bound", "a reset", "an end without a word"],
)
async def test_a_stream_that_breaks_off_without_its_connection_is_a_violation(host, break_off):
    async with dialled(host) as stream:
        await stream.write(hello())
        await answer(stream)
        link = await soon(host.listener.connected(WAIT_SECONDS))
        await break_off(stream)
        error = await soon(asyncio.shield(link.closed))
        assert error.reason == Reason.PROTOCOL_VIOLATION
        assert "lane 0 broke off and its connection did not: more came on it than gRPC's bounds" in error.message
        await soon(link.wait_finished())
    assert [error.reason for error in host.refused] == [Reason.PROTOCOL_VIOLATION]


async def test_no_other_method_is_served(host):
    async with aio.insecure_channel(f"unix:{host.path}") as channel:
        with pytest.raises(aio.AioRpcError) as caught:
            await soon(channel.unary_unary("/moorage.v1.KafkaService/Produce")(b""))
        assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_streams_beside_the_lanes_are_bounded(host):
    connection = await soon(connect(str(host.path), TOKEN, host.calls))
    async with aio.insecure_channel(f"unix:{host.path}", options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        calls = [channel.stream_stream(METHOD)() for _ in range(30)]
        ended = [asyncio.create_task(call.code()) for call in calls]
        done, _ = await asyncio.wait(ended, timeout=WAIT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        assert {task.result() for task in done} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        await soon(connection.link.ping(WAIT_SECONDS))
        for call in calls:
            call.cancel()
        await soon(asyncio.gather(*ended))
    await soon(connection.link.close("done"))
    await soon(connection.closed())


async def test_a_peer_that_does_not_read_its_socket_is_ended(folder):
    host = Host(folder, limits=LinkLimits(max_queued_bytes=3_000_000))
    await host.listener.start()
    host.calls.answer = lambda call: call.reply(bytes(100_000))
    async with dialled(host) as stream:
        await stream.write(hello())
        await answer(stream)
        link = await soon(host.listener.connected(WAIT_SECONDS))
        call_id = 1
        while not link.closed.done():
            await soon(stream.write(frames.call(call_id, "/x/Y", b"", "", 0, "")))
            call_id += 2
        assert "the peer does not read" in link.closed.result().message
        stream._call.cancel()
        await soon(link.wait_finished())
    await soon(host.listener.close())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sent=st.lists(st.one_of(st.binary(max_size=80), st.just(hello()), st.just(frames.pong(1))), max_size=4))
async def test_arbitrary_streams_end_and_raise_nothing(folder, sent):
    problems = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
    host = Host(folder)
    await host.listener.start()
    async with dialled(host) as stream:
        with contextlib.suppress(ConnectionError):
            for data in sent:
                await soon(stream.write(data))
        await stream.finish()
        while await soon(stream.read()) is not None:
            continue
    await soon(host.listener.close())
    assert problems == []


async def test_the_engine_over_a_real_socket_keeps_a_slow_reader_apart(folder):
    """Two workers of one host process: one floods and does not read, the other notices nothing."""
    flooded, quick = Host(folder), Host(folder)
    await flooded.listener.start()
    await quick.listener.start()
    quick.calls.answer = flooded.calls.answer = lambda call: call.reply(b"x" * 1000)
    connection = await soon(connect(str(quick.path), TOKEN, quick.calls))
    async with dialled(flooded) as stream:
        await stream.write(hello())
        await answer(stream)
        for call_id in range(1, 4001, 2):
            await stream.write(frames.call(call_id, "/x/Y", b"", "", 0, ""))
            if call_id % 200 == 1:
                await soon(connection.link.ping(WAIT_SECONDS))
        stream._call.cancel()
    await soon(flooded.listener.close())
    await soon(connection.link.ping(WAIT_SECONDS))
    await soon(quick.listener.close())
    await soon(connection.closed())
