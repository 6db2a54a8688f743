"""What no correct peer sends: each ends this link, with a sentence, and raises nowhere."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from link_ends import EXECUTE_MANY, FETCH, PRODUCE, RawPeer, soon, transports

from moorage_proto import kafka_pb2, link_pb2, sql_pb2
from moorage_proto.errors import CallError, Reason, Status
from moorage_proto.link import LinkLimits, frames

LIMITS = LinkLimits(max_frame_bytes=1024, max_message_bytes=4000, initial_credit_bytes=2048, max_open_calls=8)


def call(call_id: int, **options) -> bytes:
    return frames.call(call_id, "/x/Y", b"", "", 0, "", **options)


def frame(**fields) -> bytes:
    return frames.single(link_pb2.Frame(**fields))


NEVER_MADE = "this end never made it"

CASES = {
    "not a batch": (b"\xff\xff\xff", "is not a Batch"),
    "an oversized batch": (bytes(5000), "a batch of 5,000 bytes"),
    "an oversized frame": (frame(call_id=1, call=link_pb2.Call(request=bytes(1100))), "a frame of"),
    "a frame without a body": (frame(call_id=1), "kind unknown"),
    "an empty frame": (b"\x0a\x00", "kind unknown"),
    "a reused id": (call(1) + call(1), "call id 1 was used before"),
    "an id of the host": (call(2), "the worker's are odd"),
    "id zero": (call(0), "the worker's are odd"),
    "an id far ahead": (call(101), "skips 50 ids"),
    "ids going down": (call(5) + call(3), "ids go up on each lane"),
    "cancel of nothing": (frames.cancel(1), "was cancelled, and it is not a call of the peer"),
    "cancel of the host's call": (frames.cancel(2), "was cancelled, and it is not a call of the peer"),
    "a reply to nothing": (frames.reply(2, b""), NEVER_MADE),
    "a reply to its own call": (call(1) + frames.reply(1, b""), NEVER_MADE),
    "an error for nothing": (frames.error(4, CallError(Status.UNKNOWN, Reason.INTERNAL, "x")), NEVER_MADE),
    "an item of nothing": (frames.item(1, b""), NEVER_MADE),
    "credit for nothing": (frames.credit(6, 1), NEVER_MADE),
    "an end of nothing": (frames.end(3), NEVER_MADE),
    "a chunk of nothing": (frames.chunk(3, b"x"), NEVER_MADE),
    "a chunk that continues nothing": (call(1) + frames.chunk(1, b"x"), "continues no message"),
    "an empty chunk that promises more": (call(1, more=True) + frames.chunk(1, b"", more=True), "empty chunk"),
    "items after their end": (call(1) + frames.end(1) + frames.item(1, b""), "after the end of its items"),
    "two ends": (call(1) + frames.end(1) + frames.end(1), "ended twice"),
    "an item within an item": (
        call(1) + frames.item(1, b"a", more=True) + frames.item(1, b"b"),
        "before the last was complete",
    ),
    "an end within an item": (
        call(1) + frames.item(1, b"a", more=True) + frames.end(1),
        "before the last was complete",
    ),
    "items without credit": (call(1) + 3 * frames.item(1, bytes(900)) + frames.item(1, b""), "without credit"),
    "partial messages over the bound": (
        b"".join(call(n, more=True) + frames.chunk(n, bytes(900), more=True) for n in (1, 3)),
        None,
    ),
    "too many partial messages": (b"".join(call(n, more=True) for n in range(1, 19, 2)), "more than 8 messages"),
    "more of a cancel": (frame(call_id=1, cancel=link_pb2.Cancel(), more=True), "kind cancel said that more"),
    "more of a ping": (frame(ping=link_pb2.Ping(), more=True), "kind ping said that more"),
    "a second hello": (frame(hello=link_pb2.Hello()), "a token is good for one link"),
    "a welcome": (frame(welcome=link_pb2.Welcome()), "kind welcome"),
    "an attach": (frame(attach=link_pb2.Attach()), "kind attach"),
}


@pytest.mark.parametrize("name", CASES)
async def test_a_violation_ends_the_link_with_a_sentence(make_peer, name):
    sent, sentence = CASES[name]
    peer = make_peer(LIMITS)
    await peer.alive()
    await peer.send_bytes(sent)
    if sentence is None:
        await peer.alive()
        await peer.send_bytes(frames.chunk(1, bytes(900), more=True) + frames.chunk(3, bytes(900), more=True))
        await peer.send_bytes(frames.chunk(1, bytes(900), more=True))
        sentence = "not complete have 4,500 bytes"
    error = await peer.ended()
    assert sentence in error.message
    expected = Reason.TOKEN_INVALID if name == "a second hello" else Reason.PROTOCOL_VIOLATION
    assert error.reason == expected
    told = await peer.frame()
    while told.call_id or told.WhichOneof("body") != "error":
        told = await peer.frame()
    assert sentence in told.error.message


async def test_a_violation_leaves_other_links_alone(make_peer):
    bad, good = make_peer(), make_peer()
    waiting = bad.link.open(PRODUCE, kafka_pb2.ProduceRequest())
    await bad.send_bytes(b"\xff")
    await bad.ended()
    with pytest.raises(CallError) as caught:
        await soon(waiting.result())
    assert caught.value.reason == Reason.LINK_CLOSED
    await good.alive()


async def test_a_single_reply_to_a_streaming_call_is_a_violation(make_peer):
    peer = make_peer()
    peer.link.open(FETCH, sql_pb2.FetchRequest())
    await peer.send_bytes(frames.reply((await peer.frame()).call_id, b""))
    assert "streams its replies" in (await peer.ended()).message


@pytest.mark.parametrize("answer", [frames.item, frames.end], ids=["item", "end"])
async def test_stream_frames_for_a_single_reply_are_a_violation(make_peer, answer):
    peer = make_peer()
    peer.link.open(PRODUCE, kafka_pb2.ProduceRequest())
    call_id = (await peer.frame()).call_id
    await peer.send_bytes(answer(call_id, b"") if answer is frames.item else answer(call_id))
    assert "has a single reply" in (await peer.ended()).message


async def test_a_call_lives_on_one_lane(make_peer):
    peer = make_peer()
    host_end, worker_end = transports()
    peer.link.add_lane(1, host_end)
    await worker_end.write(frames.call(1, EXECUTE_MANY.path, b"", "", 0, ""))
    await peer.calls.next()
    await peer.send_bytes(frames.item(1, b""))
    assert "the call lives on lane 1" in (await peer.ended()).message
    await worker_end.finish()


async def test_ids_may_overtake_each_other_on_different_lanes(make_peer):
    peer = make_peer()
    host_end, worker_end = transports()
    peer.link.add_lane(1, host_end)
    await worker_end.write(frames.call(3, "/x/Y", b"", "", 0, ""))
    assert (await peer.calls.next()).id == 3
    await peer.send_bytes(frames.call(1, "/x/Y", b"", "", 0, ""))
    assert (await peer.calls.next()).id == 1
    await peer.send_bytes(frames.call(3, "/x/Y", b"", "", 0, ""))
    assert "was used before" in (await peer.ended()).message
    await worker_end.finish()


async def test_more_calls_than_may_be_open_are_answered_with_an_error(make_peer):
    peer = make_peer(LIMITS)
    await peer.send_bytes(b"".join(call(n) for n in range(1, 19, 2)))
    answer = await peer.frame()
    assert (answer.call_id, answer.error.reason) == (17, Reason.QUOTA_EXCEEDED)
    await peer.alive()


BODIES = st.sampled_from(
    ["call", "reply", "error", "cancel", "item", "credit", "end", "ping", "pong", "go_away", "chunk", "hello", "attach"]
)


@st.composite
def any_frame(draw) -> link_pb2.Frame:
    made = link_pb2.Frame(call_id=draw(st.integers(0, 9)), more=draw(st.booleans()))
    body = draw(BODIES)
    data = draw(st.binary(max_size=20))
    if body in ("reply", "item", "chunk"):
        setattr(made, body, data)
    elif body == "call":
        made.call.method = draw(st.sampled_from(["", "/x/Y", PRODUCE.path]))
        made.call.request = data
        made.call.deadline_ms = draw(st.sampled_from([0, 1, 2**32 - 1]))
    elif body == "credit":
        made.credit.bytes = draw(st.integers(0, 2**32 - 1))
    else:
        getattr(made, body).SetInParent()
    return made


async def take_all(stream) -> None:
    async for _ in stream:
        continue


def fuzz(batches: list[bytes]) -> None:
    """Whatever comes, the link lives or ends with a sentence, and nothing is raised or left."""

    async def run():
        problems = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
        peer = RawPeer(LIMITS)
        peer.calls.answer = lambda call: call.reply(b"x") if call.id % 4 == 1 else None
        streaming = peer.link.open(FETCH, sql_pb2.FetchRequest())
        unary = peer.link.open(PRODUCE, kafka_pb2.ProduceRequest())
        requesting = peer.link.open(EXECUTE_MANY)
        for batch in batches:
            if peer.link.closed.done():
                break
            await peer.send_bytes(batch)
        await peer.hang_up()
        error = await peer.ended()
        assert error.message
        for ending in (unary.result(), requesting.result(), take_all(streaming)):
            with contextlib.suppress(CallError):
                await soon(ending)
        await peer.close()
        assert peer.link.open_calls == 0
        assert peer.link._table.buffered_bytes == 0
        assert problems == []

    asyncio.run(run())


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(any_frame(), min_size=1, max_size=4), max_size=6))
def test_arbitrary_frames(sent):
    fuzz([link_pb2.Batch(frames=batch).SerializeToString() for batch in sent])


@given(st.lists(st.binary(max_size=60), max_size=4))
def test_arbitrary_bytes(sent):
    fuzz(sent)
