"""The caller's end of one call, in bytes and callbacks."""

from __future__ import annotations

import asyncio
import math
from typing import Callable, List, Optional

from moorage_proto.errors import CallError
from moorage_proto.link import failures, frames
from moorage_proto.link.credit import ReceiveCredit, SendCredit
from moorage_proto.link.flow import Flow
from moorage_proto.link.lane import Lane
from moorage_proto.link.table import CallTable

#: Called once, with the reply or the error; with neither when a stream of replies is complete.
Done = Callable[[Optional[bytes], Optional[CallError]], None]


class ClientCall:
    """One call in bytes; every method, and every callback, runs in the link's loop.

    It is over for its caller as soon as ``done`` was called. On the wire it ends with the peer's terminal frame, which
    after a cancellation or an expired deadline comes when the called side has really stopped: ``ended`` tells.
    """

    __slots__ = (
        "_credit",
        "_done",
        "_expires",
        "_flow",
        "_half_closed",
        "_lane",
        "_method",
        "_on_item",
    "_ordered",
        "_received",
        "_request",
        "_scope",
        "_sendable",
        "_streams",
        "_table",
        "_timer",
        "_traceparent",
        "ended",
        "id",
        "on_ended",
        "over",
    )  # fmt: skip

    def __init__(
        self,
        table: CallTable,
        lane: Lane,
        method: str,
        request: bytes,
        done: Done,
        *,
        scope: str = "",
        timeout: Optional[float] = None,
        traceparent: str = "",
        on_item: Optional[Callable[[bytes], None]] = None,
        streams_requests: bool = False,
        ordered: bool = False,
    ) -> None:
        """``ordered``: other ordered calls of the lane arrive after this one, however large it is."""
        self._table = table
        self._lane = lane
        self._method = method
        self._request = request
        self._done = done
        self._scope = scope
        self._traceparent = traceparent
        self._on_item = on_item
        self._received = None if on_item is None else ReceiveCredit(table.limits.initial_credit_bytes)
        self._streams = streams_requests
        self._ordered = ordered
        self._credit = SendCredit(table.limits.initial_credit_bytes) if streams_requests else None
        self._sendable: List[Callable[[], None]] = []
        self._flow: Optional[Flow] = None
        self._half_closed = False
        self._timer: Optional[asyncio.TimerHandle] = None
        self._expires: Optional[float] = None
        if timeout is not None:
            self._expires = table.loop.time() + timeout
        #: 0 until the call is sent.
        self.id = 0
        self.over = False
        self.ended = False
        self.on_ended: Optional[Callable[[], None]] = None

    # The caller's side

    def start(self) -> None:
        """Sends the call as soon as lane and peer have room for it."""
        problem = self._problem()
        if problem is not None:
            self._set_ended()
            self._finish(None, problem)
            return
        if self._expires is not None:
            self._timer = self._table.loop.call_at(self._expires, self._expire)
        if self._lane.has_room:
            self._with_room()
        else:
            self._lane.when_room(self._with_room)

    @property
    def can_send(self) -> bool:
        return self._flow is not None and self._credit is not None and self._credit.open and self._lane.has_room

    def when_sendable(self, callback: Callable[[], None]) -> None:
        """Calls back once when an item may be sent or the call is over."""
        if self.over or self.can_send:
            callback()
        elif self._flow is not None and self._credit is not None and self._credit.open:
            self._lane.when_room(callback)
        else:
            self._sendable.append(callback)

    def send_item(self, data: bytes) -> None:
        """The caller has waited for credit. Dropped when the call is over. Raises CallError when it is too large."""
        if len(data) > self._table.limits.max_message_bytes:
            raise failures.too_large(f"an item of {self._method}", len(data), self._table.limits.max_message_bytes)
        if self.over or self._flow is None or self._credit is None:
            return
        self._credit.spend(len(data))
        self._lane.send_message(self._flow, frames.item, data)

    def half_close(self) -> None:
        """No item follows. Idempotent."""
        if self._half_closed or self.over:
            return
        self._half_closed = True
        if self._flow is not None:
            self._lane.send_last(self._flow, frames.end(self.id))

    def consumed(self, spent: int) -> None:
        """Items of that cost (``credit.cost``) were consumed; gives their credit back."""
        if self.over or self._received is None:
            return
        self._table.buffered_bytes -= spent
        returned = self._received.consume(spent)
        if returned:
            self._lane.send_control(frames.credit(self.id, returned))

    def cancel(self) -> None:
        """Idempotent; does nothing when the call is over."""
        self._stop(failures.cancelled())

    # The wire's side

    @property
    def lane_number(self) -> int:
        return self._lane.number

    @property
    def streams_replies(self) -> bool:
        return self._on_item is not None

    def receive_reply(self, data: bytes) -> None:
        self._ended_on_wire()
        self._finish(data, None)

    def receive_end(self) -> None:
        if self._on_item is None:
            raise failures.Violation(f"call {self.id} has a single reply, and an end of stream came")
        self._ended_on_wire()
        self._finish(None, None)

    def receive_error(self, error: CallError) -> None:
        self._ended_on_wire()
        self._finish(None, error)

    def check_item(self) -> None:
        """Raises Violation unless an item may begin."""
        if self._received is None:
            raise failures.Violation(f"call {self.id} has a single reply, and a stream item came")
        if not self.over:
            self._received.check()

    def receive_item(self, data: bytes) -> None:
        if self.over or self._received is None or self._on_item is None:
            return
        self._table.buffered_bytes += self._received.receive(len(data))
        if self._table.buffers_full:
            self._stop(failures.buffers_full(self._table.limits.max_buffered_bytes))
        else:
            self._on_item(data)

    def receive_credit(self, amount: int) -> None:
        if self._credit is not None:
            self._credit.grant(amount)
            self._announce()

    def lost(self, error: CallError) -> None:
        """The link has ended."""
        self._set_ended()
        self._finish(None, error)

    def _problem(self) -> Optional[CallError]:
        """Why the call can never be sent."""
        limits = self._table.limits
        if len(self._request) > limits.max_message_bytes:
            return failures.too_large(f"the request of {self._method}", len(self._request), limits.max_message_bytes)
        header = frames.header_bytes(self._method, self._scope, self._traceparent)
        if header > limits.max_frame_bytes - limits.small_message_bytes:
            return failures.header_too_large(header, limits.max_frame_bytes - limits.small_message_bytes)
        return None

    def _with_room(self) -> None:
        if self._table.has_slot:
            self._send()
        else:
            self._table.when_slot(self._send)

    def _send(self) -> None:
        refusal = self._table.refusal
        if self.over:
            return
        if refusal is not None:
            self._set_ended()
            self._finish(None, refusal)
            return
        self.id = self._table.register(self)
        request, self._request = self._request, b""
        if self._streams:
            self._open_flow(b"", more=False)
            if self._half_closed and self._flow is not None:
                self._lane.send_last(self._flow, frames.end(self.id))
            self._announce()
        elif len(request) <= self._table.limits.small_message_bytes:
            self._lane.send(self._opening(request, more=False))
        else:
            self._open_flow(request, more=True)

    def _open_flow(self, request: bytes, *, more: bool) -> None:
        self._flow = flow = Flow(self.id, opened=False, exclusive=self._ordered)
        self._lane.open_flow(flow, self._opening(b"", more=more))
        if more:
            self._lane.send_message(flow, frames.chunk, request)

    def _opening(self, request: bytes, *, more: bool) -> bytes:
        deadline_ms = 0
        if self._expires is not None:
            remaining = self._expires - self._table.loop.time()
            deadline_ms = min(max(1, math.ceil(remaining * 1000)), 0xFFFFFFFF)
        return frames.call(self.id, self._method, request, self._scope, deadline_ms, self._traceparent, more=more)

    def _expire(self) -> None:
        self._stop(failures.deadline_exceeded(self._method))

    def _stop(self, error: CallError) -> None:
        """Over for the caller; the peer is asked to stop."""
        if self.over:
            return
        if not self.id:
            self._set_ended()
        elif self._flow is not None:
            self._lane.abandon(self._flow, frames.cancel(self.id))
        else:
            self._lane.send(frames.cancel(self.id))
        self._finish(None, error)

    def _finish(self, reply: Optional[bytes], error: Optional[CallError]) -> None:
        if self.over:
            return
        self.over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._received is not None:
            self._table.buffered_bytes -= self._received.unconsumed
        self._done(reply, error)
        self._announce()

    def _ended_on_wire(self) -> None:
        if self._flow is not None:
            self._lane.drop(self._flow)
        self._table.ended_outgoing(self.id)
        self._set_ended()

    def _set_ended(self) -> None:
        self.ended = True
        if self.on_ended is not None:
            self.on_ended()

    def _announce(self) -> None:
        if self._sendable:
            waiting, self._sendable = self._sendable, []
            for callback in waiting:
                callback()
