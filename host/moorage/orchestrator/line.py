"""The queue of one installation: who waits, who runs. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable


class Line:
    """First in, first out; bounded; so many at one time.

    A place is reserved before the execution is written down, and filled after: the row exists before the work begins,
    and the queue cannot overflow in between.
    """

    def __init__(self, *, capacity: int, concurrency: int) -> None:
        self.capacity = capacity
        self.concurrency = concurrency
        self._reserved = 0
        self._waiting: OrderedDict[str, None] = OrderedDict()
        self._running: set[str] = set()

    def reserve(self) -> bool:
        """False: the queue is full. Places of running executions do not count, free ones to run in do."""
        free_to_run = max(0, self.concurrency - len(self._running))
        if self._reserved + len(self._waiting) >= self.capacity + free_to_run:
            return False
        self._reserved += 1
        return True

    def give_back(self) -> None:
        """Of a reserved place that will not be filled."""
        self._reserved -= 1

    def add(self, execution: str) -> None:
        """Fills a reserved place, at the end."""
        self._reserved -= 1
        self._waiting[execution] = None

    def restore(self, execution: str) -> None:
        """One that the host before accepted, at the end; it has its place, however full the queue is."""
        self._waiting[execution] = None

    def remove(self, execution: str) -> bool:
        """Takes one that waits out of the queue. False: it does not wait."""
        if execution not in self._waiting:
            return False
        del self._waiting[execution]
        return True

    def begin(self) -> tuple[str, ...]:
        """Moves those whose turn it is from waiting to running, and returns them."""
        begun = []
        while self._waiting and len(self._running) < self.concurrency:
            execution, _ = self._waiting.popitem(last=False)
            self._running.add(execution)
            begun.append(execution)
        return tuple(begun)

    def done(self, execution: str) -> None:
        self._running.discard(execution)

    @property
    def waiting(self) -> Iterable[str]:
        return tuple(self._waiting)

    @property
    def running(self) -> frozenset[str]:
        return frozenset(self._running)
