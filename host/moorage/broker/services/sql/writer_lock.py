"""One writer at a time, in the order of asking: SQLite's own lock has no queue, and who polls luckiest gets it."""

from __future__ import annotations

import asyncio
from collections import deque


class WriterLock:
    """Of one database file; used on the event loop only.

    Owners are told apart by identity. Releasing is the owner's by name, so that whoever ends a connection may say it
    at any time, holding the lock or not.
    """

    def __init__(self) -> None:
        self._owner: object | None = None
        self._queue: deque[tuple[object, asyncio.Future[None]]] = deque()

    @property
    def owner(self) -> object | None:
        return self._owner

    async def acquire(self, owner: object, timeout_seconds: float) -> None:
        """Waits for its turn; returns at once for the present owner. Raises TimeoutError."""
        if self._owner is owner:
            return
        if self._owner is None:
            self._owner = owner
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (owner, turn)
        self._queue.append(entry)
        try:
            async with asyncio.timeout(timeout_seconds):
                await turn
        except BaseException:
            if entry in self._queue:
                self._queue.remove(entry)
            else:
                # The turn came in the moment of giving up.
                self.release(owner)
            raise

    def release(self, owner: object) -> None:
        """Hands it to the longest waiting. Does nothing for who is not the owner."""
        if self._owner is not owner:
            return
        self._owner = None
        while self._queue:
            waiting, turn = self._queue.popleft()
            if not turn.done():
                self._owner = waiting
                turn.set_result(None)
                return
