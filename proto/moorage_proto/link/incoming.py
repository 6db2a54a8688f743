"""The called side's end of one call."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import AsyncIterator, Callable, Deque, List, Optional

from moorage_proto import link_pb2
from moorage_proto.errors import CallError
from moorage_proto.link import failures, frames
from moorage_proto.link.credit import ReceiveCredit, SendCredit, cost
from moorage_proto.link.flow import Flow
from moorage_proto.link.lane import Lane
from moorage_proto.link.table import CallTable

log = logging.getLogger(__name__)


class IncomingCall:
    """A call to answer, in the link's loop. The dispatcher owes it exactly one of ``reply``, ``finish`` and ``fail``.

    That holds after a cancellation too: ``on_cancel`` callbacks stop the work, and whoever does it then calls
    ``fail``. Calls to a method of a call that has ended are ignored.
    """

    __slots__ = (
        "_callbacks", "_credit", "_flow", "_half_closed", "_items", "_lane", "_received", "_table", "_timer", "_wakers",
        "cancelled", "deadline", "done", "id", "method", "request", "scope", "traceparent",
    )  # fmt: skip

    def __init__(self, table: CallTable, lane: Lane, call_id: int, head: link_pb2.Call, request: bytes) -> None:
        self._table = table
        self._lane = lane
        self._flow: Optional[Flow] = None
        self._credit: Optional[SendCredit] = None
        self._received: Optional[ReceiveCredit] = None
        self._items: Optional[Deque[bytes]] = None
        self._half_closed = False
        self._callbacks: Optional[List[Callable[[], None]]] = None
        self._wakers: Optional[List[Callable[[], None]]] = None
        self._timer: Optional[asyncio.TimerHandle] = None
        self.id = call_id
        #: "/moorage.v1.KafkaService/Produce".
        self.method = head.method
        #: The serialised request; empty where the method streams requests.
        self.request = request
        self.scope = head.scope
        self.traceparent = head.traceparent
        #: Of the loop's clock.
        self.deadline: Optional[float] = None
        if head.deadline_ms:
            self.deadline = table.loop.time() + head.deadline_ms / 1000
        #: Why the caller no longer waits: cancelled, deadline passed, link ended.
        self.cancelled: Optional[CallError] = None
        #: The terminal frame is queued, or the link has ended.
        self.done = False

    # The dispatcher's side

    def reply(self, data: bytes) -> None:
        """Ends the call with its reply."""
        if self.done:
            return
        limits = self._table.limits
        if len(data) > limits.max_message_bytes:
            self.fail(failures.too_large(f"the reply of {self.method}", len(data), limits.max_message_bytes))
            return
        self._end()
        if len(data) <= limits.small_message_bytes and self._flow is None:
            self._lane.send(frames.reply(self.id, data))
        else:
            self._lane.send_message(self._opened_flow(), frames.reply, data)

    def fail(self, error: CallError) -> None:
        """Ends the call with an error; items that were sent before arrive first, unless the caller has cancelled."""
        if self.done:
            return
        self._end()
        self._send_terminal(frames.error(self.id, error))

    async def send_item(self, data: bytes) -> None:
        """Sends one message of the stream; waits for credit. Raises CallError when the call is cancelled or over."""
        if len(data) > self._table.limits.max_message_bytes:
            raise failures.too_large(f"an item of {self.method}", len(data), self._table.limits.max_message_bytes)
        credit = self._send_credit()
        self._check()
        while not (credit.open and self._lane.has_room):
            sendable = self._waker()
            if credit.open:
                self._lane.when_room(lambda: _set(sendable))  # noqa: B023 - sets the future of this very turn
            await sendable
            self._check()
        credit.spend(len(data))
        self._lane.send_message(self._opened_flow(), frames.item, data)

    def finish(self) -> None:
        """Ends the call: the stream of replies is complete."""
        if self.done:
            return
        self._end()
        self._send_terminal(frames.end(self.id))

    async def items(self) -> AsyncIterator[bytes]:
        """What the caller streams; taking an item gives its credit back. Raises CallError when the call is over."""
        while True:
            while not self._items:
                self._check()
                if self._half_closed:
                    return
                await self._waker()
            data = self._items.popleft()
            self._consumed(len(data))
            yield data

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """Called back once when the caller no longer waits; at once when that is so already."""
        if self.cancelled is not None:
            callback()
        elif self._callbacks is None:
            self._callbacks = [callback]
        else:
            self._callbacks.append(callback)

    # The wire's side

    def watch_deadline(self) -> None:
        """For the link: after the dispatcher has returned, so that a call answered at once needs no timer."""
        if self.deadline is not None and not self.done:
            self._timer = self._table.loop.call_at(self.deadline, self._expire)

    @property
    def lane_number(self) -> int:
        return self._lane.number

    def receive_cancel(self) -> None:
        self._cancel(failures.cancelled())

    def check_item(self) -> None:
        """Raises Violation unless an item may begin."""
        if self._half_closed:
            raise failures.Violation(f"an item of call {self.id} came after the end of its items")
        self._receive_credit().check()

    def receive_item(self, data: bytes) -> None:
        if self.done or self.cancelled is not None:
            return
        self._table.buffered_bytes += self._receive_credit().receive(len(data))
        if self._table.buffers_full:
            self._overflow()
            return
        if self._items is None:
            self._items = deque()
        self._items.append(data)
        self._announce()

    def receive_end(self) -> None:
        if self._half_closed:
            raise failures.Violation(f"the items of call {self.id} ended twice")
        self._half_closed = True
        self._announce()

    def receive_credit(self, amount: int) -> None:
        self._send_credit().grant(amount)
        self._announce()

    def lost(self, error: CallError) -> None:
        """The link has ended."""
        self._cancel(error)
        self._end()

    def _expire(self) -> None:
        self._cancel(failures.deadline_exceeded(self.method))

    def _overflow(self) -> None:
        error = failures.buffers_full(self._table.limits.max_buffered_bytes)
        self._cancel(error)
        self.fail(error)

    def _cancel(self, error: CallError) -> None:
        if self.done or self.cancelled is not None:
            return
        self.cancelled = error
        self._release_items()
        callbacks, self._callbacks = self._callbacks, None
        for callback in callbacks or ():
            try:
                callback()
            except Exception:
                log.exception("a callback for the cancellation of %s failed", self.method)
        self._announce()

    def _end(self) -> None:
        self.done = True
        self._callbacks = None
        if self._timer is not None:
            self._timer.cancel()
        if self._received is not None:
            self._release_items()
        self._table.incoming.pop(self.id, None)
        self._lane.assembly.drop(self.id)
        self._announce()

    def _send_terminal(self, frame: bytes) -> None:
        if self._flow is None:
            self._lane.send(frame)
        elif self.cancelled is not None:
            self._lane.abandon(self._flow, frame)
        else:
            self._lane.send_last(self._flow, frame)

    def _consumed(self, size: int) -> None:
        spent = cost(size)
        self._table.buffered_bytes -= spent
        returned = self._receive_credit().consume(spent)
        if returned and not self.done:
            self._lane.send_control(frames.credit(self.id, returned))

    def _release_items(self) -> None:
        """Nobody will consume what waits."""
        if self._received is not None:
            self._table.buffered_bytes -= self._received.unconsumed
            self._received.unconsumed = 0
        self._items = None

    def _opened_flow(self) -> Flow:
        if self._flow is None:
            self._flow = Flow(self.id, opened=True)
        return self._flow

    def _send_credit(self) -> SendCredit:
        if self._credit is None:
            self._credit = SendCredit(self._table.limits.initial_credit_bytes)
        return self._credit

    def _receive_credit(self) -> ReceiveCredit:
        if self._received is None:
            self._received = ReceiveCredit(self._table.limits.initial_credit_bytes)
        return self._received

    def _check(self) -> None:
        if self.cancelled is not None:
            raise self.cancelled
        if self.done:
            raise failures.cancelled()

    def _waker(self) -> asyncio.Future[None]:
        waiting = self._table.loop.create_future()
        if self._wakers is None:
            self._wakers = []
        self._wakers.append(lambda: _set(waiting))
        return waiting

    def _announce(self) -> None:
        if self._wakers:
            wakers, self._wakers = self._wakers, None
            for wake in wakers:
                wake()


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
