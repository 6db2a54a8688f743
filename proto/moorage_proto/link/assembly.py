"""Messages that arrive in several frames. Pure."""

from __future__ import annotations

from enum import Enum, auto
from typing import Dict, Optional

from moorage_proto import link_pb2
from moorage_proto.link.failures import Violation


class Kind(Enum):
    """What a message is, by the frame it began with."""

    CALL = auto()
    REPLY = auto()
    ITEM = auto()


class Partial:
    """A message of which more is to come."""

    __slots__ = ("_buffer", "head", "kind")

    def __init__(self, kind: Kind, first: bytes, head: Optional[link_pb2.Call]) -> None:
        self.kind = kind
        #: Of a call: its method, scope, deadline and trace context.
        self.head = head
        # Not a list of pieces: a peer that sends tiny ones would make us hold many times their bytes.
        self._buffer = bytearray(first)

    def add(self, piece: bytes) -> None:
        self._buffer += piece

    @property
    def size(self) -> int:
        return len(self._buffer)

    @property
    def data(self) -> bytes:
        return bytes(self._buffer)


class Assembly:
    """The partial messages of one lane, at most one of each call, bounded in bytes and in number together.

    A sender keeps the bound by beginning a split message only when it fits beside those it has begun.
    """

    def __init__(self, max_bytes: int, max_messages: int) -> None:
        self._partials: Dict[int, Partial] = {}
        self._max_bytes = max_bytes
        self._max_messages = max_messages
        self.size = 0

    def __contains__(self, call_id: int) -> bool:
        return call_id in self._partials

    def __len__(self) -> int:
        return len(self._partials)

    def begin(self, call_id: int, kind: Kind, first: bytes, head: Optional[link_pb2.Call] = None) -> None:
        if len(self._partials) >= self._max_messages:
            raise Violation(f"more than {self._max_messages:,} messages were begun on one lane and not completed")
        self._grow(len(first))
        self._partials[call_id] = Partial(kind, first, head)

    def add(self, call_id: int, piece: bytes, *, more: bool) -> Optional[Partial]:
        """The message, once it is complete. The call id must be one that is in here."""
        partial = self._partials[call_id]
        if more and not piece:
            raise Violation(f"an empty chunk of call {call_id} promised more")
        self._grow(len(piece))
        partial.add(piece)
        if more:
            return None
        self.drop(call_id)
        return partial

    def drop(self, call_id: int) -> bool:
        """Forgets what there is of a message; whether there was something."""
        partial = self._partials.pop(call_id, None)
        if partial is None:
            return False
        self.size -= partial.size
        return True

    def _grow(self, size: int) -> None:
        self.size += size
        if self.size > self._max_bytes:
            raise Violation(
                f"messages that are not complete have {self.size:,} bytes on one lane, and the bound is "
                f"{self._max_bytes:,}"
            )
