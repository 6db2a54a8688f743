"""One stream of the link: its reader task, its writer task, and what waits to be sent.

Only these two tasks touch the stream: in grpc.aio, cancelling a task inside ``read`` or ``write`` cancels the whole
RPC, so callers enqueue and wait on futures.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from time import perf_counter
from typing import Callable, Deque, Optional, Protocol, Sequence

from moorage_proto import link_pb2
from moorage_proto.link.assembly import Assembly
from moorage_proto.link.failures import Violation
from moorage_proto.link.flow import Encode, Flow
from moorage_proto.link.limits import LinkLimits
from moorage_proto.link.outbox import Outbox

log = logging.getLogger(__name__)

#: Longest that the last frame may take to leave, and the peer's end of stream to arrive.
FLUSH_TIMEOUT_SECONDS = 1.0

#: A peer whose frames hold up the loop for longer is not read for some times as long. Correct ones stay far below.
LONG_TURN_SECONDS = 0.02
GIVE_WAY_FACTOR = 3.0
MAX_GIVE_WAY_SECONDS = 2.0

#: Told how many seconds of the loop a turn took, answers how many to pause before the next one.
Pace = Callable[[float], float]


def unhurried(_taken_seconds: float) -> float:
    """For an end whose loop nobody shares."""
    return 0.0


class Transport(Protocol):
    """One bidirectional stream of serialised Batches."""

    async def read(self) -> Optional[bytes]:
        """The next Batch; None when the peer has ended the stream or the connection is lost. Called by one task."""

    async def write(self, data: bytes) -> None:
        """Returns when the stream takes more. Raises ConnectionError when it is lost. Called by one task."""

    async def finish(self) -> None:
        """Nothing is written any more. After this the peer's end of stream arrives, or never will."""


class LaneOwner(Protocol):
    """What a lane tells its link."""

    def decoded(self, data: bytes) -> Sequence[link_pb2.Frame]:
        """A Batch arrived; its frames, none where it is malformed. Must not raise."""

    def received(self, lane: Lane, received: Sequence[link_pb2.Frame]) -> None:
        """The next frames of a Batch. Must not raise."""

    def lost(self, lane: Lane, sentence: str) -> None:
        """The stream is over, and this end did not end it."""

    def overflowed(self, lane: Lane) -> None:
        """More waits to be sent than the bound allows."""


class Lane:
    """Sends and receives on one transport. All methods belong to the link's event loop."""

    def __init__(
        self, number: int, transport: Transport, limits: LinkLimits, owner: LaneOwner, pace: Pace = unhurried
    ) -> None:
        self.number = number
        self.assembly = Assembly(limits.max_message_bytes, limits.max_open_calls)
        #: The peer's calls arrive in the order of their ids on each lane.
        self.highest_peer_id = 0
        self._transport = transport
        self._limits = limits
        self._owner = owner
        self._pace = pace
        self._outbox = Outbox(limits)
        self._wake: Optional[asyncio.Future[None]] = None
        self._stopped = False
        self._room_waiters: Deque[Callable[[], None]] = deque()
        self._reader: Optional[asyncio.Task[None]] = None
        self._writer: Optional[asyncio.Task[None]] = None

    def start(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._writer = self._loop.create_task(self._write(), name=f"{name} lane {self.number} writer")
        self._reader = self._loop.create_task(self._read(), name=f"{name} lane {self.number} reader")

    def admit(self, call_id: int) -> None:
        """A call of the peer begins here. Raises Violation unless ids go up."""
        if call_id <= self.highest_peer_id:
            raise Violation(
                f"call id {call_id} came after {self.highest_peer_id} on lane {self.number}, and ids go up on each lane"
            )
        self.highest_peer_id = call_id

    def send(self, frame: bytes) -> None:
        self._outbox.put(frame)
        self._queued()

    def send_control(self, frame: bytes) -> None:
        self._outbox.put_control(frame)
        self._queued()

    def open_flow(self, flow: Flow, opening: bytes) -> None:
        self._outbox.open_flow(flow, opening)
        self._queued()

    def send_message(self, flow: Flow, encode: Encode, data: bytes) -> None:
        self._outbox.grow(flow, flow.add(encode, data))
        self._queued()

    def send_last(self, flow: Flow, frame: bytes) -> None:
        """A frame that goes after all that the flow has to send."""
        self._outbox.grow(flow, flow.add_frame(frame))
        self._queued()

    def abandon(self, flow: Flow, last: bytes) -> None:
        """Drops what the flow has to send; ``last`` ends its call."""
        self._outbox.abandon(flow, last)
        self._queued()

    def drop(self, flow: Flow) -> None:
        """Drops what the flow has to send: the peer has ended its call."""
        self._outbox.drop(flow)

    @property
    def queued_bytes(self) -> int:
        return self._outbox.queued_bytes

    @property
    def has_room(self) -> bool:
        """Whether new calls and items may be sent; those that wait come first."""
        return not self._room_waiters and self._outbox.queued_bytes < self._limits.room_bytes

    def when_room(self, callback: Callable[[], None]) -> None:
        """Calls back once, soon after there is room or the lane has stopped."""
        self._room_waiters.append(callback)

    def stop(self, last: Optional[bytes]) -> None:
        """Drops what waits; ``last`` is still sent. Idempotent."""
        if self._stopped:
            return
        self._stopped = True
        self._outbox.clear()
        if last is not None:
            self._outbox.put_control(last)
        self._wake_writer()
        self._announce_room()

    async def finish(self) -> None:
        """After ``stop``: lets the last frame leave and the peer's end arrive, each for a bounded time."""
        assert self._writer is not None
        assert self._reader is not None
        await _ended(self._writer)
        await self._transport.finish()
        await _ended(self._reader)

    def _queued(self) -> None:
        if self._stopped:
            self._outbox.clear()
        elif self._outbox.queued_bytes > self._limits.max_queued_bytes:
            self._owner.overflowed(self)
        else:
            self._wake_writer()

    def _wake_writer(self) -> None:
        wake = self._wake
        if wake is not None:
            self._wake = None
            if not wake.done():
                wake.set_result(None)

    def _announce_room(self) -> None:
        while self._room_waiters and (self._stopped or self._outbox.queued_bytes < self._limits.room_bytes):
            self._room_waiters.popleft()()

    async def _write(self) -> None:
        outbox = self._outbox
        write = self._transport.write
        try:
            while True:
                if outbox.queued_bytes:
                    await write(outbox.take())
                    if self._room_waiters:
                        self._announce_room()
                elif self._stopped:
                    return
                else:
                    self._wake = wake = self._loop.create_future()
                    await wake
        except ConnectionError as problem:
            self._owner.lost(self, str(problem))
        except Exception:
            log.exception("writing on lane %d failed", self.number)
            self._owner.lost(self, "writing to the stream failed")

    async def _read(self) -> None:
        read = self._transport.read
        try:
            while True:
                data = await read()
                if data is None:
                    break
                if not self._stopped:
                    await self._process(self._owner.decoded(data))
        except Exception:
            log.exception("reading on lane %d failed", self.number)
        self._owner.lost(self, "the peer or gRPC ended the stream, or its process has ended")

    async def _process(self, frames: Sequence[link_pb2.Frame]) -> None:
        """In turns: a peer that sends tens of thousands of frames in one Batch must not hold up other links."""
        received = self._owner.received
        turn = self._limits.turn_frames
        if len(frames) <= turn:
            started = perf_counter()
            received(self, frames)
            await self._give_way(perf_counter() - started)
            return
        for begin in range(0, len(frames), turn):
            started = perf_counter()
            received(self, frames[begin : begin + turn])
            await self._give_way(perf_counter() - started)
            if self._stopped:
                return
            await asyncio.sleep(0)

    async def _give_way(self, taken_seconds: float) -> None:
        """A message that is small on the wire and costly to read is followed by time for others; so are very many."""
        pause_seconds = self._pace(taken_seconds)
        if taken_seconds > LONG_TURN_SECONDS:
            pause_seconds = max(pause_seconds, min(taken_seconds * GIVE_WAY_FACTOR, MAX_GIVE_WAY_SECONDS))
        if pause_seconds > 0:
            await asyncio.sleep(pause_seconds)


async def _ended(task: asyncio.Task[None]) -> None:
    """Waits for a task a bounded time, then cancels it."""
    if task is asyncio.current_task():
        return
    await asyncio.wait([task], timeout=FLUSH_TIMEOUT_SECONDS)
    if not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=FLUSH_TIMEOUT_SECONDS)
