"""What one call has to send besides small frames: split messages and stream items, which take turns. Pure."""

from __future__ import annotations

from collections import deque
from typing import Deque, Optional, Protocol, Tuple

from moorage_proto.link import frames
from moorage_proto.link.limits import FRAME_OVERHEAD_BYTES


class Encode(Protocol):
    """``frames.reply``, ``frames.item`` or ``frames.chunk``."""

    def __call__(self, call_id: int, data: bytes, *, more: bool = False) -> bytes: ...


class Flow:
    """The messages of one call, sent in order, a frame a turn. A lane owns the turns."""

    __slots__ = ("_call_id", "_messages", "_offset", "begun", "closed", "exclusive", "listed", "opened", "pending")

    def __init__(self, call_id: int, *, opened: bool, exclusive: bool = False) -> None:
        self._call_id = call_id
        self._messages: Deque[Tuple[Optional[Encode], bytes]] = deque()
        self._offset = 0
        #: Size of the message that was begun and is not complete.
        self.begun = 0
        #: Bytes that wait.
        self.pending = 0
        #: Whether the frame that introduces the call has been sent; nothing may come before it.
        self.opened = opened
        #: Its message goes in one piece, before what was queued after it, instead of taking turns.
        self.exclusive = exclusive
        #: Nothing of it is sent any more.
        self.closed = False
        #: Whether it stands in its lane's round.
        self.listed = False

    def add(self, encode: Encode, data: bytes) -> int:
        """Returns the bytes that it adds to the queue."""
        self._messages.append((encode, data))
        added = len(data) + FRAME_OVERHEAD_BYTES
        self.pending += added
        return added

    def add_frame(self, frame: bytes) -> int:
        """A frame that is ready, such as the end of the stream."""
        self._messages.append((None, frame))
        self.pending += len(frame)
        return len(frame)

    def close(self) -> int:
        """Forgets what waits; returns its bytes. ``begun`` stays: the peer still holds those pieces."""
        dropped, self.pending = self.pending, 0
        self._messages.clear()
        self.closed = True
        return dropped

    @property
    def ready(self) -> bool:
        return bool(self._messages) and self.opened

    def begins(self, payload_bytes: int) -> int:
        """The size of the split message that the next frame would begin; 0 when it begins none."""
        encode, data = self._messages[0]
        if encode is None or self._offset:
            return 0
        # The request of a call was begun by the call's own frame, however short the rest is.
        return len(data) if len(data) > payload_bytes or encode is frames.chunk else 0

    def take(self, payload_bytes: int) -> Tuple[bytes, int]:
        """The next frame, and the bytes that no longer wait."""
        encode, data = self._messages[0]
        if encode is None:
            self._messages.popleft()
            self.pending -= len(data)
            return data, len(data)
        piece = data[self._offset : self._offset + payload_bytes]
        more = self._offset + len(piece) < len(data)
        frame = (frames.chunk if self._offset else encode)(self._call_id, piece, more=more)
        taken = len(piece)
        if more:
            self._offset += len(piece)
            self.begun = len(data)
        else:
            self._offset = 0
            self.begun = 0
            self._messages.popleft()
            taken += FRAME_OVERHEAD_BYTES
        self.pending -= taken
        return frame, taken
