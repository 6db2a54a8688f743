"""A reader that does not keep up loses the oldest items, and is told how many."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")


class Subscription(AsyncIterator[Item], Generic[Item]):
    """Iterate with ``async for``; it ends when either side closes it. For one reader, on the event loop's thread."""

    def __init__(
        self,
        capacity: int,
        wanted: Callable[[Item], bool],
        told: Callable[[int], Item],
        size: Callable[[Item], int] = lambda _: 0,
        capacity_bytes: int = 0,
    ) -> None:
        """``told`` makes the item that stands for so many lost ones. The ``size`` of those that wait is bounded, too;
        one that is larger by itself waits alone.
        """
        self._waiting: deque[Item] = deque()
        self._capacity = capacity
        self._size = size
        self._capacity_bytes = capacity_bytes
        self._bytes = 0
        self._wanted = wanted
        self._told = told
        self._lost = 0
        self._closed = False
        self._changed = asyncio.Event()

    def offer(self, item: Item) -> None:
        """Never blocks."""
        if self._closed or not self._wanted(item):
            return
        size = self._size(item)
        while self._waiting and (len(self._waiting) >= self._capacity or self._bytes + size > self._capacity_bytes):
            self._take()
            self._lost += 1
        self._waiting.append(item)
        self._bytes += size
        self._changed.set()

    @property
    def pending(self) -> bool:
        """Whether the next item is there already."""
        return bool(self._waiting or self._lost)

    async def __anext__(self) -> Item:
        while True:
            if self._lost:
                lost, self._lost = self._lost, 0
                return self._told(lost)
            if self._waiting:
                return self._take()
            if self._closed:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()

    def _take(self) -> Item:
        item = self._waiting.popleft()
        self._bytes -= self._size(item)
        return item

    def close(self) -> None:
        """What is waiting can still be read. May be called twice."""
        self._closed = True
        self._changed.set()

    async def aclose(self) -> None:
        """As ``close``: generators of asynchronous items have it, and so their users call it."""
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Subscriptions(Generic[Item]):
    """The readers of one source. A reader that is forgotten without being closed is forgotten here too."""

    def __init__(self, told: Callable[[int], Item], size: Callable[[Item], int] = lambda _: 0) -> None:
        self._told = told
        self._size = size
        self._readers: weakref.WeakSet[Subscription[Item]] = weakref.WeakSet()

    def __len__(self) -> int:
        return len(self._readers)

    def add(self, capacity: int, wanted: Callable[[Item], bool], capacity_bytes: int = 0) -> Subscription[Item]:
        subscription = Subscription(capacity, wanted, self._told, self._size, capacity_bytes)
        self._readers.add(subscription)
        return subscription

    def offer(self, item: Item) -> None:
        for reader in tuple(self._readers):
            reader.offer(item)

    def close(self) -> None:
        for reader in tuple(self._readers):
            reader.close()
