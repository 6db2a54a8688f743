"""What waits to be sent on one lane, and in which order it goes. Pure."""

from __future__ import annotations

from collections import deque
from typing import Deque, List, Optional, Tuple, Union

from moorage_proto.link.flow import Flow
from moorage_proto.link.limits import LinkLimits

#: A frame, with the flow that it introduces or ends, if any.
Entry = Union[bytes, Tuple[Flow, bytes]]


class Outbox:
    """Control goes before small calls, those before bulk; bulk takes turns by call. Order holds within a call."""

    __slots__ = (
        "_begun_bytes",
        "_control",
        "_exclusive",
        "_frame_bytes",
        "_message_bytes",
        "_payload_bytes",
        "_round",
        "_small",
        "queued_bytes",
    )

    def __init__(self, limits: LinkLimits) -> None:
        self._frame_bytes = limits.max_frame_bytes
        self._payload_bytes = limits.max_payload_bytes
        self._message_bytes = limits.max_message_bytes
        self._control: Deque[Entry] = deque()
        self._small: Deque[Entry] = deque()
        self._round: Deque[Flow] = deque()
        #: The exclusive flow that was introduced last; no small frame passes it.
        self._exclusive: Optional[Flow] = None
        #: Sizes of split messages that were begun and are not complete: what the peer must hold.
        self._begun_bytes = 0
        self.queued_bytes = 0

    def put_control(self, frame: bytes) -> None:
        self._control.append(frame)
        self.queued_bytes += len(frame)

    def put(self, frame: bytes) -> None:
        """A small call, or the small end of one."""
        self._small.append(frame)
        self.queued_bytes += len(frame)

    def open_flow(self, flow: Flow, opening: bytes) -> None:
        """Calls begin in the order of their ids, so the frame that introduces one queues among the small ones."""
        self._small.append((flow, opening))
        self.queued_bytes += len(opening)

    def grow(self, flow: Flow, added_bytes: int) -> None:
        """The flow was given more to send."""
        self.queued_bytes += added_bytes
        self._list(flow)

    def abandon(self, flow: Flow, last: bytes) -> None:
        """Drops what the flow still had; ``last`` ends its call."""
        self.queued_bytes += len(last) - flow.close()
        # What the peer holds of it is in the way of others; but nothing may pass the frame that introduces a call.
        (self._control if flow.opened else self._small).append((flow, last))

    def drop(self, flow: Flow) -> None:
        """The peer has ended the flow's call, and holds nothing of it any more."""
        self.queued_bytes -= flow.close()
        self._begun_bytes -= flow.begun
        flow.begun = 0

    def clear(self) -> None:
        self._control.clear()
        self._small.clear()
        self._round.clear()
        self._exclusive = None
        self.queued_bytes = 0

    def take(self) -> bytes:
        """The next batch: at most ``max_batch_bytes``, not empty while anything is queued."""
        if len(self._small) == 1:
            lone = self._small[0]
            # The case of a lone call, which the rest would cost a microsecond.
            if isinstance(lone, bytes) and len(lone) == self.queued_bytes:
                self._small.clear()
                self.queued_bytes = 0
                return lone
        parts: List[bytes] = []
        size = self._take_urgent(parts)
        if self._round:
            size += self._take_round(parts)
        self.queued_bytes -= size
        return b"".join(parts)

    def _take_urgent(self, parts: List[bytes]) -> int:
        size = 0
        while self._control and size < self._frame_bytes:
            size += self._take_entry(self._control, parts)
        while size < self._frame_bytes:
            exclusive = self._exclusive
            if exclusive is not None and exclusive.ready:
                if not self._fits(exclusive):
                    break
                size += self._take_from(exclusive, parts)
                if not exclusive.ready:
                    exclusive.exclusive = False
                    self._exclusive = None
            elif self._small:
                size += self._take_entry(self._small, parts)
            else:
                break
        return size

    def _take_entry(self, queue: Deque[Entry], parts: List[bytes]) -> int:
        entry = queue.popleft()
        frame = entry if type(entry) is bytes else self._introduce(entry)
        parts.append(frame)
        return len(frame)

    def _introduce(self, entry: Entry) -> bytes:
        assert isinstance(entry, tuple)
        flow, frame = entry
        flow.opened = True
        if flow.closed:
            self._begun_bytes -= flow.begun
            flow.begun = 0
        if flow.exclusive:
            self._exclusive = flow
        else:
            self._list(flow)
        return frame

    def _take_round(self, parts: List[bytes]) -> int:
        """One frame of each flow in turn, until a frame's worth of bytes is there."""
        size = passed = 0
        while self._round and size < self._frame_bytes and passed < len(self._round):
            flow = self._round.popleft()
            flow.listed = False
            if not flow.ready:
                continue
            if self._fits(flow):
                size += self._take_from(flow, parts)
                passed = 0
            else:
                passed += 1
            self._list(flow)
        return size

    def _fits(self, flow: Flow) -> bool:
        size = flow.begins(self._payload_bytes)
        return not size or not self._begun_bytes or self._begun_bytes + size <= self._message_bytes

    def _take_from(self, flow: Flow, parts: List[bytes]) -> int:
        before = flow.begun
        frame, taken = flow.take(self._payload_bytes)
        self._begun_bytes += flow.begun - before
        parts.append(frame)
        return taken

    def _list(self, flow: Flow) -> None:
        if flow.ready and not flow.listed and not flow.exclusive:
            flow.listed = True
            self._round.append(flow)
