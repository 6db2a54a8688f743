"""How much of an installation's batches may be on its way: messages that wait are memory of the host."""

from __future__ import annotations

import asyncio

MAX_MESSAGES = 1_000
MAX_BYTES = 32 * 1024 * 1024


class BatchRoom:
    """Of all batches of one installation together; one event loop."""

    def __init__(self) -> None:
        self._messages = 0
        self._bytes = 0
        self._freed = asyncio.Event()
        #: Batches that use it.
        self.users = 0

    async def take(self, size_bytes: int) -> None:
        """Waits until there is room. A message that is larger than all of it passes when nothing else is there."""
        while self._messages and (self._messages >= MAX_MESSAGES or self._bytes + size_bytes > MAX_BYTES):
            self._freed.clear()
            await self._freed.wait()
        self._messages += 1
        self._bytes += size_bytes

    def give_back(self, size_bytes: int) -> None:
        self._messages -= 1
        self._bytes -= size_bytes
        self._freed.set()
