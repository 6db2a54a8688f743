"""The open calls of a link, both ways, and what they hold."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Callable, Deque, Dict, Optional, Protocol

from moorage_proto.errors import CallError
from moorage_proto.link.failures import call_lost, gone_away
from moorage_proto.link.ids import PeerIds
from moorage_proto.link.limits import LinkLimits, Side


class CallEnd(Protocol):
    """What the wire does to either end of a call."""

    def check_item(self) -> None: ...

    def receive_item(self, data: bytes) -> None: ...

    def receive_end(self) -> None: ...

    def receive_credit(self, amount: int) -> None: ...

    def lost(self, error: CallError) -> None: ...


class CallerEnd(CallEnd, Protocol):
    """What the wire does to a call of this end."""

    @property
    def lane_number(self) -> int: ...

    @property
    def streams_replies(self) -> bool: ...

    def receive_reply(self, data: bytes) -> None: ...

    def receive_error(self, error: CallError) -> None: ...


class CalledEnd(CallEnd, Protocol):
    """What the wire does to a call of the peer."""

    @property
    def lane_number(self) -> int: ...

    def receive_cancel(self) -> None: ...


class CallTable:
    """Shared by a link and its calls, in the link's event loop."""

    def __init__(self, side: Side, limits: LinkLimits, loop: asyncio.AbstractEventLoop) -> None:
        self.limits = limits
        self.loop = loop
        self.outgoing: Dict[int, CallerEnd] = {}
        self.incoming: Dict[int, CalledEnd] = {}
        self.peer_ids = PeerIds(side.peer, limits.max_open_calls)
        #: Cost of received items that nobody has consumed.
        self.buffered_bytes = 0
        #: Why the link has ended.
        self.ended: Optional[CallError] = None
        #: Why the peer takes no new calls.
        self.peer_away: Optional[str] = None
        #: Why this end takes no new calls.
        self.away: Optional[str] = None
        self._parity = side.value & 1
        self._next_id = side.value
        self._slot_waiters: Deque[Callable[[], None]] = deque()

    @property
    def refusal(self) -> Optional[CallError]:
        """Why no call can be made; None while calls can."""
        if self.ended is not None:
            return call_lost(self.ended)
        if self.peer_away is not None:
            return gone_away(self.peer_away)
        return None

    @property
    def has_slot(self) -> bool:
        """Whether a call may begin; those that wait come first."""
        return not self._slot_waiters and len(self.outgoing) < self.limits.max_open_calls

    @property
    def buffers_full(self) -> bool:
        return self.buffered_bytes > self.limits.max_buffered_bytes

    def when_slot(self, callback: Callable[[], None]) -> None:
        """Calls back once, when a call may begin or the link has ended."""
        self._slot_waiters.append(callback)

    def is_own(self, call_id: int) -> bool:
        """Whether this end gave out the id."""
        return call_id & 1 == self._parity and 0 < call_id < self._next_id

    def register(self, call: CallerEnd) -> int:
        call_id = self._next_id
        self._next_id = call_id + 2
        self.outgoing[call_id] = call
        return call_id

    def ended_outgoing(self, call_id: int) -> None:
        """The call's terminal frame has arrived."""
        self.outgoing.pop(call_id, None)
        if self._slot_waiters:
            self.offer_slots()

    def offer_slots(self) -> None:
        while self._slot_waiters and (self.ended is not None or len(self.outgoing) < self.limits.max_open_calls):
            self._slot_waiters.popleft()()
