"""What each arriving frame does. Raises Violation for what no correct peer sends; the link then ends."""

from __future__ import annotations

import logging
from typing import Callable, Dict, Optional, Protocol, Sequence

from moorage_proto import link_pb2
from moorage_proto.errors import CallError, Reason, from_wire
from moorage_proto.link import failures, frames
from moorage_proto.link.assembly import Kind, Partial
from moorage_proto.link.failures import Violation
from moorage_proto.link.incoming import IncomingCall
from moorage_proto.link.lane import Lane
from moorage_proto.link.table import CallEnd, CallerEnd, CallTable

log = logging.getLogger(__name__)

#: Answers the call at once or sees to it that it is answered; called in the link's loop.
Dispatcher = Callable[[IncomingCall], None]

#: Frames that may say that more follows.
_SPLIT = frozenset({"call", "reply", "item", "chunk"})


class ReceptionOwner(Protocol):
    """What frames about the link itself do."""

    def peer_ended(self, error: CallError) -> None:
        """The peer says why it ends the link."""

    def pong(self, nonce: int) -> None: ...


class Reception:
    """Gives the frames of all lanes of one link to the calls they belong to."""

    def __init__(self, table: CallTable, dispatcher: Dispatcher, owner: ReceptionOwner) -> None:
        self._table = table
        self._dispatcher = dispatcher
        self._owner = owner
        self._handlers: Dict[Optional[str], Callable[[Lane, link_pb2.Frame], None]] = {
            "call": self._call,
            "reply": self._reply,
            "error": self._error,
            "cancel": self._cancel,
            "item": self._item,
            "credit": self._credit,
            "end": self._end,
            "chunk": self._chunk,
            "ping": self._ping,
            "pong": self._pong,
            "go_away": self._go_away,
            "hello": self._second_hello,
            "welcome": self._misplaced,
            "attach": self._misplaced,
            None: self._misplaced,
        }

    def receive(self, lane: Lane, received: Sequence[link_pb2.Frame]) -> None:
        """Some frames of one Batch. Raises Violation."""
        for frame in received:
            kind = frame.WhichOneof("body")
            if frame.more and kind not in _SPLIT:
                raise Violation(f"a frame of kind {kind} said that more of it follows")
            self._handlers[kind](lane, frame)
            if self._table.ended is not None:
                return

    # Calls of the peer

    def _call(self, lane: Lane, frame: link_pb2.Frame) -> None:
        call_id = frame.call_id
        self._table.peer_ids.admit(call_id)
        lane.admit(call_id)
        if frame.more:
            lane.assembly.begin(call_id, Kind.CALL, frame.call.request, frame.call)
        else:
            head = frame.call
            self._open(lane, call_id, head, head.request)

    def _open(self, lane: Lane, call_id: int, head: link_pb2.Call, request: bytes) -> None:
        table = self._table
        if table.away is not None:
            lane.send(frames.error(call_id, failures.gone_away(table.away)))
        elif len(table.incoming) >= table.limits.max_open_calls:
            lane.send(frames.error(call_id, failures.too_many_calls(table.limits.max_open_calls)))
        else:
            call = IncomingCall(table, lane, call_id, head, request)
            table.incoming[call_id] = call
            self._dispatch(call)

    def _dispatch(self, call: IncomingCall) -> None:
        try:
            self._dispatcher(call)
        except Exception:
            log.exception("dispatching %s failed", call.method)
            call.fail(failures.dispatcher_failed(call.method))
        call.watch_deadline()

    def _cancel(self, lane: Lane, frame: link_pb2.Frame) -> None:
        call_id = frame.call_id
        call = self._table.incoming.get(call_id)
        if call is not None:
            self._check_lane(call.lane_number, lane, call_id)
            lane.assembly.drop(call_id)
            call.receive_cancel()
        elif not self._table.peer_ids.used(call_id):
            raise Violation(f"call {call_id} was cancelled, and it is not a call of the peer")
        elif lane.assembly.drop(call_id):
            lane.send(frames.error(call_id, failures.cancelled()))

    # Calls of this end

    def _reply(self, lane: Lane, frame: link_pb2.Frame) -> None:
        call_id = frame.call_id
        call = self._own(lane, call_id)
        if call is None:
            return
        if call.streams_replies:
            raise Violation(f"call {call_id} streams its replies, and a single reply came")
        self._check_whole(lane, call_id)
        if frame.more:
            lane.assembly.begin(call_id, Kind.REPLY, frame.reply)
        else:
            call.receive_reply(frame.reply)

    def _error(self, lane: Lane, frame: link_pb2.Frame) -> None:
        if frame.call_id == 0:
            self._owner.peer_ended(from_wire(frame.error))
            return
        call = self._own(lane, frame.call_id)
        if call is not None:
            lane.assembly.drop(frame.call_id)
            call.receive_error(from_wire(frame.error))

    # Both

    def _item(self, lane: Lane, frame: link_pb2.Frame) -> None:
        call_id = frame.call_id
        call = self._either(lane, call_id)
        if call is None:
            return
        self._check_whole(lane, call_id)
        call.check_item()
        if frame.more:
            lane.assembly.begin(call_id, Kind.ITEM, frame.item)
        else:
            call.receive_item(frame.item)

    def _credit(self, lane: Lane, frame: link_pb2.Frame) -> None:
        call = self._either(lane, frame.call_id)
        if call is not None:
            call.receive_credit(frame.credit.bytes)

    def _end(self, lane: Lane, frame: link_pb2.Frame) -> None:
        call_id = frame.call_id
        call = self._either(lane, call_id)
        if call is None:
            return
        self._check_whole(lane, call_id)
        call.receive_end()

    def _chunk(self, lane: Lane, frame: link_pb2.Frame) -> None:
        call_id = frame.call_id
        if call_id in lane.assembly:
            partial = lane.assembly.add(call_id, frame.chunk, more=frame.more)
            if partial is not None:
                self._complete(lane, call_id, partial)
        elif self._either(lane, call_id) is not None:
            raise Violation(f"a chunk of call {call_id} continues no message")

    def _complete(self, lane: Lane, call_id: int, partial: Partial) -> None:
        if partial.kind is Kind.CALL:
            assert partial.head is not None
            self._open(lane, call_id, partial.head, partial.data)
        elif partial.kind is Kind.REPLY:
            call = self._own(lane, call_id)
            if call is not None:
                call.receive_reply(partial.data)
        else:
            either = self._either(lane, call_id)
            if either is not None:
                either.receive_item(partial.data)

    # The link itself

    def _ping(self, lane: Lane, frame: link_pb2.Frame) -> None:
        lane.send_control(frames.pong(frame.ping.nonce))

    def _pong(self, lane: Lane, frame: link_pb2.Frame) -> None:  # noqa: ARG002 - every handler takes the lane
        self._owner.pong(frame.pong.nonce)

    def _go_away(self, lane: Lane, frame: link_pb2.Frame) -> None:  # noqa: ARG002 - every handler takes the lane
        self._table.peer_away = frame.go_away.reason or "no reason was given"

    def _second_hello(self, lane: Lane, frame: link_pb2.Frame) -> None:  # noqa: ARG002 - every handler takes both
        raise Violation(
            "a second Hello came; a token is good for one link, and a link for one Hello", Reason.TOKEN_INVALID
        )

    def _misplaced(self, lane: Lane, frame: link_pb2.Frame) -> None:
        kind = frame.WhichOneof("body") or "unknown"
        raise Violation(f"a frame of kind {kind} came on lane {lane.number} after the handshake")

    # Whose call it is

    def _own(self, lane: Lane, call_id: int) -> Optional[CallerEnd]:
        """The open call of this end; None when it has ended already."""
        call = self._table.outgoing.get(call_id)
        if call is not None:
            self._check_lane(call.lane_number, lane, call_id)
        elif not self._table.is_own(call_id):
            raise Violation(f"call {call_id} was answered, and this end never made it")
        return call

    def _either(self, lane: Lane, call_id: int) -> Optional[CallEnd]:
        """The open call of either end; None when it has ended already."""
        incoming = self._table.incoming.get(call_id)
        if incoming is not None:
            self._check_lane(incoming.lane_number, lane, call_id)
            return incoming
        if self._table.peer_ids.used(call_id):
            return None
        return self._own(lane, call_id)

    @staticmethod
    def _check_lane(number: int, lane: Lane, call_id: int) -> None:
        if number != lane.number:
            raise Violation(
                f"a frame of call {call_id} came on lane {lane.number}, and the call lives on lane {number}"
            )

    @staticmethod
    def _check_whole(lane: Lane, call_id: int) -> None:
        if len(lane.assembly) and call_id in lane.assembly:
            raise Violation(f"a new message of call {call_id} began before the last was complete")
