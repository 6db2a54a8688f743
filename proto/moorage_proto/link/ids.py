"""Which call ids the peer has used. Pure."""

from __future__ import annotations

from typing import Set

from moorage_proto.link.failures import Violation
from moorage_proto.link.limits import Side


class PeerIds:
    """Ids go up by two from the side's first, over all lanes; each is used exactly once.

    Calls on different lanes may overtake each other, so some ids below the highest may still be on their way; there
    are never more of them than calls may be open.
    """

    __slots__ = ("_max_missing", "_missing", "_next", "_parity")

    def __init__(self, side: Side, max_open_calls: int) -> None:
        self._next = side.value
        self._parity = side.value & 1
        self._missing: Set[int] = set()
        self._max_missing = max_open_calls

    def admit(self, call_id: int) -> None:
        """A call with this id arrives. Raises Violation."""
        if call_id == self._next:
            self._next += 2
        elif call_id in self._missing:
            self._missing.discard(call_id)
        else:
            self._skip_to(call_id)

    def _skip_to(self, call_id: int) -> None:
        if call_id & 1 != self._parity or call_id == 0:
            raise Violation(f"call id {call_id} is not one of the peer's: the worker's are odd, the host's even")
        if call_id < self._next:
            raise Violation(f"call id {call_id} was used before, and ids are never reused")
        skipped = (call_id - self._next) // 2
        if len(self._missing) + skipped > self._max_missing:
            raise Violation(f"call id {call_id} skips {skipped:,} ids, and ids go up by two")
        self._missing.update(range(self._next, call_id, 2))
        self._next = call_id + 2

    def used(self, call_id: int) -> bool:
        """Whether a call with this id has arrived."""
        return call_id < self._next and call_id & 1 == self._parity and call_id != 0 and call_id not in self._missing
