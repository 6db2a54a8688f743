"""How far a partition is done: the offset below which everything has its outcome recorded. Pure.

Offsets are not dense: compaction takes messages away, and transactions leave marks that no consumer sees. Kafka
delivers in order, so what was not delivered between two messages is not there.
"""

from __future__ import annotations

from bisect import bisect_right, insort


class Watermark:
    """Of one partition, while this consumer has it. Sorted lists: few are open at a time, and most join at the end."""

    def __init__(self) -> None:
        #: Delivered, and without an outcome.
        self._open: list[int] = []
        #: Given back, until they are delivered again.
        self._missing: list[int] = []
        #: The highest that was delivered, and one more; 0: none was.
        self._end = 0

    @property
    def committable(self) -> int | None:
        """Where the group goes on when this consumer is gone. None: nothing was delivered yet."""
        return min((*self._open[:1], *self._missing[:1]), default=self._end) if self._end else None

    @property
    def missing(self) -> int | None:
        """The lowest that was given back: from there the partition has to be read again. None: none is."""
        return self._missing[0] if self._missing else None

    def arrive(self, offset: int) -> bool:
        """A message was delivered, in the order of the partition. False: it is in hand already, or done.

        Those given back below it are delivered no more: they have gone from the partition.
        """
        was_missing = offset in self._missing
        del self._missing[: bisect_right(self._missing, offset)]
        if offset < self._end and not was_missing:
            return False
        insort(self._open, offset)
        self._end = max(self._end, offset + 1)
        return True

    def done(self, offset: int) -> None:
        """Its outcome is recorded, and what follows from that is done. ``offset`` is open."""
        self._open.remove(offset)

    def give_back(self, offset: int) -> None:
        """It was not taken after all, and is to be delivered again. ``offset`` is open."""
        self._open.remove(offset)
        insort(self._missing, offset)
