"""One end of a link: calls both ways over one or more lanes. Both host and worker use this class."""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import Any, Callable, Dict, Optional, Sequence, TypeVar

from google.protobuf.message import Message

from moorage_proto import link_pb2
from moorage_proto.errors import CallError, Reason, Status
from moorage_proto.link import failures, frames
from moorage_proto.link.client import ClientCall, Done
from moorage_proto.link.failures import Violation
from moorage_proto.link.lane import Lane, Pace, Transport, unhurried
from moorage_proto.link.limits import LinkLimits, Side
from moorage_proto.link.outgoing import OutgoingCall, parse
from moorage_proto.link.reception import Dispatcher, Reception
from moorage_proto.link.table import CallTable
from moorage_proto.methods import Method

log = logging.getLogger(__name__)

Request = TypeVar("Request", bound=Message)
Reply = TypeVar("Reply", bound=Message)


class Link:
    """Made in a running event loop, to which all its methods belong, after the handshake on lane 0.

    ``closed`` is done when the link has ended; its result is the CallError that says why. There is no reconnect.
    """

    def __init__(
        self,
        transport: Transport,
        side: Side,
        dispatcher: Dispatcher,
        *,
        limits: Optional[LinkLimits] = None,
        name: str = "link",
        stands: Callable[[], bool] = lambda: False,
        pace: Pace = unhurried,
    ) -> None:
        """``stands`` is asked when a stream has ended without a word: whether its connection goes on nevertheless.

        ``pace`` is asked after each turn of reading how long to pause: where many links share a loop.
        """
        self.name = name
        self._stands = stands
        self._pace = pace
        self.limits = limits or LinkLimits()
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[CallError] = self._loop.create_future()
        self._table = CallTable(side, self.limits, self._loop)
        self._reception = Reception(self._table, dispatcher, self)
        self._lanes: Dict[int, Lane] = {}
        self._bulk_turn = itertools.count()
        self._pings: Dict[int, asyncio.Future[None]] = {}
        self._nonces = itertools.count(1)
        self._finishing: Optional[asyncio.Task[None]] = None
        self.add_lane(0, transport)

    # Calls

    async def call(
        self,
        method: Method[Request, Reply],
        request: Request,
        *,
        scope: str = "",
        timeout: Optional[float] = None,
        traceparent: str = "",
    ) -> Reply:
        """One request, one reply. ``timeout`` in seconds. Raises CallError; a cancelled task cancels the call."""
        answered = self._loop.create_future()

        def done(reply: Optional[bytes], error: Optional[CallError]) -> None:
            if not answered.done():
                answered.set_result((reply, error))

        data = request.SerializeToString()
        lane = self._lane_for(len(data), bulk=method.bulk)
        call = ClientCall(
            self._table, lane, method.path, data, done, scope=scope, timeout=timeout, traceparent=traceparent
        )
        call.start()
        try:
            reply, error = await answered
        except asyncio.CancelledError:
            call.cancel()
            raise
        if error is not None:
            raise error
        return parse(method, reply)

    def open(
        self,
        method: Method[Request, Reply],
        request: Optional[Request] = None,
        *,
        scope: str = "",
        timeout: Optional[float] = None,
        traceparent: str = "",
    ) -> OutgoingCall[Request, Reply]:
        """A call that streams, or one whose end on the called side matters. ``request`` unless requests stream."""
        opened: OutgoingCall[Request, Reply] = OutgoingCall(method, self._loop)
        data = b"" if request is None else request.SerializeToString()
        call = ClientCall(
            self._table,
            self._lane_for(len(data), bulk=method.bulk),
            method.path,
            data,
            opened.receive_done,
            scope=scope,
            timeout=timeout,
            traceparent=traceparent,
            on_item=opened.receive_item if method.server_streaming else None,
            streams_requests=method.client_streaming,
        )
        opened.bind(call)
        call.start()
        return opened

    def start(self, method: str, request: bytes, done: Done, *, bulk: bool = False, **options: Any) -> ClientCall:
        """The same in bytes and callbacks, for channels; options as ClientCall takes them."""
        ordered = options.get("ordered", False)
        lane = self._lanes[0] if ordered else self._lane_for(len(request), bulk=bulk)
        call = ClientCall(self._table, lane, method, request, done, **options)
        call.start()
        return call

    async def ping(self, timeout: float) -> float:
        """Seconds until the peer's engine answered. Raises CallError: deadline exceeded, link closed."""
        self._raise_ended()
        nonce = next(self._nonces)
        self._pings[nonce] = answered = self._loop.create_future()
        started = self._loop.time()
        self._lanes[0].send_control(frames.ping(nonce))
        try:
            await asyncio.wait([answered], timeout=timeout)
        finally:
            del self._pings[nonce]
        self._raise_ended()
        if not answered.done():
            raise failures.deadline_exceeded(f"a ping of {timeout:g} s")
        return self._loop.time() - started

    @property
    def open_calls(self) -> int:
        """Calls of both ends that have not ended."""
        return len(self._table.incoming) + len(self._table.outgoing)

    # Life

    def add_lane(self, number: int, transport: Transport) -> Lane:
        """A further stream of this link, after its handshake. The number must be free."""
        lane = Lane(number, transport, self.limits, self, self._pace)
        self._lanes[number] = lane
        lane.start(self.name)
        return lane

    def has_lane(self, number: int) -> bool:
        return number in self._lanes

    def go_away(self, reason: str) -> None:
        """This end takes no new calls; what runs may finish. Idempotent."""
        if self._table.away is None and self._table.ended is None:
            self._table.away = reason
            self._lanes[0].send_control(frames.go_away(reason))

    async def close(self, reason: str) -> None:
        """Tells the peer why, ends every open call with LINK_CLOSED, closes the lanes. Idempotent, bounded in time."""
        self.end(failures.link_closed(reason))
        await self.wait_finished()

    def end(self, error: CallError, *, tell_peer: bool = True) -> None:
        """Ends the link at once; the streams close soon after (``wait_finished``). Idempotent."""
        table = self._table
        if table.ended is not None:
            return
        table.ended = error
        # On every lane: the end of any one of them may reach the peer first, and would look like a loss.
        last = frames.error(0, error) if tell_peer else None
        for lane in self._lanes.values():
            lane.stop(last)
        lost = failures.call_lost(error)
        for call in [*table.outgoing.values(), *table.incoming.values()]:
            call.lost(lost)
        table.outgoing.clear()
        table.incoming.clear()
        table.offer_slots()
        for answered in self._pings.values():
            _settle(answered)
        self.closed.set_result(error)
        self._finishing = self._loop.create_task(self._finish(), name=f"{self.name} closing")

    async def wait_finished(self) -> None:
        """After the link has ended: until its streams are closed."""
        if self._finishing is not None and self._finishing is not asyncio.current_task():
            await asyncio.shield(self._finishing)

    # What lanes and frames tell

    def decoded(self, data: bytes) -> Sequence[link_pb2.Frame]:
        try:
            return frames.decode(data, self.limits)
        except Violation as violation:
            self.end(violation.error)
            return ()

    def received(self, lane: Lane, received: Sequence[link_pb2.Frame]) -> None:
        try:
            self._reception.receive(lane, received)
        except Violation as violation:
            self.end(violation.error)
        except Exception:
            log.exception("%s: a batch on lane %d could not be processed", self.name, lane.number)
            self.end(
                CallError(Status.INTERNAL, Reason.INTERNAL, "the other end could not process a batch; see its log")
            )

    def lost(self, lane: Lane, sentence: str) -> None:
        if self._table.ended is None and self._stands():
            self.end(failures.cut_off(lane.number).error)
        self.end(failures.link_closed(f"lane {lane.number} is lost: {sentence}"))

    def overflowed(self, lane: Lane) -> None:
        self.end(failures.does_not_read(lane.queued_bytes, self.limits.max_queued_bytes))

    def peer_ended(self, error: CallError) -> None:
        self.end(failures.link_closed(f"the other end ended the link: {error.message}"), tell_peer=False)

    def pong(self, nonce: int) -> None:
        answered = self._pings.get(nonce)
        if answered is not None:
            _settle(answered)

    def _lane_for(self, request_bytes: int, *, bulk: bool) -> Lane:
        lanes = self._lanes
        if len(lanes) > 1 and (bulk or request_bytes > self.limits.max_frame_bytes):
            further = len(lanes) - 1
            return list(lanes.values())[1 + next(self._bulk_turn) % further]
        return lanes[0]

    def _raise_ended(self) -> None:
        if self._table.ended is not None:
            raise failures.call_lost(self._table.ended)

    async def _finish(self) -> None:
        await asyncio.gather(*(lane.finish() for lane in self._lanes.values()))


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
