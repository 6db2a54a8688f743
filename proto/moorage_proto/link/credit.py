"""Credit: how many bytes of items one direction of a stream may still send. Pure."""

from __future__ import annotations

from moorage_proto.link.failures import Violation
from moorage_proto.link.limits import ITEM_OVERHEAD_BYTES


def cost(size: int) -> int:
    """What an item of so many bytes takes."""
    return size + ITEM_OVERHEAD_BYTES


class SendCredit:
    """The sender's account. An item may be begun while it is above zero; the item's whole cost is then taken off."""

    __slots__ = ("available",)

    def __init__(self, initial: int) -> None:
        self.available = initial

    @property
    def open(self) -> bool:
        return self.available > 0

    def spend(self, size: int) -> None:
        self.available -= cost(size)

    def grant(self, amount: int) -> None:
        self.available += amount


class ReceiveCredit:
    """The receiver's account of the same credit: what the peer may send, what waits, what is owed back."""

    __slots__ = ("_initial", "_left", "_owed", "unconsumed")

    def __init__(self, initial: int) -> None:
        self._initial = initial
        self._left = initial
        self._owed = 0
        self.unconsumed = 0

    def check(self) -> None:
        """Whether an item may begin. Raises Violation."""
        if self._left <= 0:
            raise Violation("an item was sent without credit")

    def receive(self, size: int) -> int:
        """An item is here; returns its cost."""
        spent = cost(size)
        self._left -= spent
        self.unconsumed += spent
        return spent

    def consume(self, spent: int) -> int:
        """Items of that cost were consumed; returns the credit to send back now: 0 until half of it all is owed."""
        self.unconsumed -= spent
        self._owed += spent
        if 2 * self._owed < self._initial:
            return 0
        returned, self._owed = self._owed, 0
        self._left += returned
        return returned
