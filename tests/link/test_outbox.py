"""What leaves an outbox, whatever is put in: complete, in order within each call, within every bound."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from moorage_proto.link import frames
from moorage_proto.link.flow import Flow
from moorage_proto.link.limits import LinkLimits
from moorage_proto.link.outbox import Outbox

LIMITS = LinkLimits(max_frame_bytes=256, max_message_bytes=2000, small_message_bytes=50)


@dataclass
class Sent:
    """One call's side of the story: what was put in, and what came out."""

    flow: Flow | None = None
    put: list[bytes] = field(default_factory=list)
    got: list[bytes] = field(default_factory=list)
    partial: bytes | None = None
    opened: bool = False
    cancelled: bool = False
    closed: bool = False
    ended: bool = False


class Peer:
    """Reassembles as the other end does, and checks what it must hold."""

    def __init__(self) -> None:
        self.calls: dict[int, Sent] = {}
        self.last_opened = 0

    def read(self, batch: bytes) -> None:
        for frame in frames.decode(batch, LIMITS):
            self._frame(frame)
        held = sum(len(call.partial) for call in self.calls.values() if call.partial is not None)
        assert held <= LIMITS.max_message_bytes

    def _frame(self, frame) -> None:
        call = self.calls[frame.call_id]
        kind = frame.WhichOneof("body")
        assert not call.ended
        if kind == "call":
            assert frame.call_id > self.last_opened
            self.last_opened = frame.call_id
            call.opened = True
            call.partial = b"" if frame.more else None
            return
        assert call.opened
        if kind in ("cancel", "end"):
            assert call.partial is None or kind == "cancel"
            call.ended = True
            call.partial = None
            return
        data = frame.chunk if kind == "chunk" else frame.item
        if kind == "chunk":
            data = call.partial + data
        else:
            assert call.partial is None
        call.partial = data if frame.more else None
        if not frame.more:
            call.got.append(data)


@given(st.data())
def test_any_interleaving_arrives_whole_and_in_order(data):
    outbox, peer = Outbox(LIMITS), Peer()
    next_id = 1
    for _ in range(data.draw(st.integers(1, 40))):
        action = data.draw(st.sampled_from(["small", "stream", "large", "exclusive", "item", "end", "cancel", "take"]))
        if action in ("small", "stream", "large", "exclusive"):
            _open(outbox, peer, next_id, action, data)
            next_id += 2
        elif action == "take":
            if outbox.queued_bytes:
                peer.read(outbox.take())
        else:
            _go_on(outbox, peer, action, data)
    for _ in range(2000):
        if not outbox.queued_bytes:
            break
        peer.read(outbox.take())
    assert outbox.queued_bytes == 0
    for call in peer.calls.values():
        assert call.opened
        assert call.partial is None
        if call.cancelled:
            assert call.ended
            assert call.put[: len(call.got)] == call.got
        else:
            assert call.got == call.put
            assert call.ended == call.closed


def _open(outbox, peer, call_id, action, data):
    sent = peer.calls[call_id] = Sent()
    large = action in ("large", "exclusive")
    opening = frames.call(call_id, "/x/Y", b"", "", 0, "", more=large)
    if action == "small":
        outbox.put(opening)
        return
    sent.flow = Flow(call_id, opened=False, exclusive=action == "exclusive")
    outbox.open_flow(sent.flow, opening)
    if large:
        request = data.draw(st.integers(51, 2000)) * bytes([call_id % 251])
        sent.put.append(request)
        outbox.grow(sent.flow, sent.flow.add(frames.chunk, request))


def _go_on(outbox, peer, action, data):
    open_flows = [call_id for call_id, sent in peer.calls.items() if sent.flow and not sent.closed]
    if not open_flows:
        return
    call_id = data.draw(st.sampled_from(open_flows))
    sent = peer.calls[call_id]
    if action == "item":
        item = data.draw(st.integers(0, 1000)) * b"i"
        sent.put.append(item)
        outbox.grow(sent.flow, sent.flow.add(frames.item, item))
    elif action == "end":
        sent.closed = True
        outbox.grow(sent.flow, sent.flow.add_frame(frames.end(call_id)))
    elif action == "cancel":
        sent.cancelled = sent.closed = True
        outbox.abandon(sent.flow, frames.cancel(call_id))


def test_control_goes_before_small_calls_and_those_before_bulk():
    outbox = Outbox(LIMITS)
    bulk = Flow(2, opened=True)
    outbox.grow(bulk, bulk.add(frames.item, b"x" * 900))
    outbox.put(frames.reply(4, b"small"))
    outbox.put_control(frames.pong(7))
    kinds = [frame.WhichOneof("body") for frame in frames.decode(outbox.take(), LIMITS)]
    assert kinds[:3] == ["pong", "reply", "item"]


def test_streams_take_turns():
    outbox = Outbox(LIMITS)
    for call_id in (2, 4, 6):
        flow = Flow(call_id, opened=True)
        outbox.grow(flow, flow.add(frames.item, b"x" * 500))
    order = []
    while outbox.queued_bytes:
        order += [frame.call_id for frame in frames.decode(outbox.take(), LIMITS)]
    assert order == [2, 4, 6, 2, 4, 6, 2, 4, 6]


def test_a_small_call_waits_for_one_frame_of_bulk_at_most():
    outbox = Outbox(LIMITS)
    flow = Flow(2, opened=True)
    outbox.grow(flow, flow.add(frames.item, b"x" * 1900))
    outbox.take()
    outbox.put(frames.reply(4, b"small"))
    assert frames.decode(outbox.take(), LIMITS)[0].call_id == 4


def test_a_message_is_begun_only_when_the_peer_may_hold_it_beside_the_others():
    outbox, held = Outbox(LIMITS), set()
    for call_id in (2, 4):
        flow = Flow(call_id, opened=True)
        outbox.grow(flow, flow.add(frames.item, b"x" * 1500))
    finished = []
    while outbox.queued_bytes:
        for frame in frames.decode(outbox.take(), LIMITS):
            held.add(frame.call_id)
            assert len(held) == 1
            if not frame.more:
                held.discard(frame.call_id)
                finished.append(frame.call_id)
    assert finished == [2, 4]
