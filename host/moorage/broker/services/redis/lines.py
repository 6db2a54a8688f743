"""The connections of one installation to one server: a few that are shared in turn, and those that are held."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from moorage.broker.services.redis import refusals
from moorage.broker.services.redis.line import Line

#: Calls that wait for an answer at the same time; more wait for their turn.
SHARED = 8

#: Connections of transactions, of commands that wait, and of subscriptions.
HELD = 64

#: Of the keys and channels of all that is held, which are looked at anew whenever grants change. Some 60,000 of them.
MAX_REMEMBERED_BYTES = 16 * 1024 * 1024

#: Kept open when nobody uses them.
IDLE = 4

Open = Callable[[], Awaitable[Line]]


class Lines:
    def __init__(self, open_line: Open) -> None:
        self._open = open_line
        self._turns = asyncio.Semaphore(SHARED)
        self._idle: list[Line] = []
        self._held = 0
        self._remembered = 0
        self.closed = False

    @property
    def in_use(self) -> int:
        return self._held + SHARED - self._turns._value  # noqa: SLF001 - for the check whether any is used

    @contextlib.asynccontextmanager
    async def borrowed(self) -> AsyncIterator[Line]:
        """For a call that leaves nothing open. Raises CallError."""
        async with self._turns:
            line = await self.take_idle()
            try:
                yield line
            finally:
                await self._put_back(line)

    async def hold(self) -> Line:
        """The caller's own until ``give_back``. Raises CallError, also when too many are held."""
        if self._held >= HELD:
            raise refusals.too_many("held connections (transactions, subscriptions, commands that wait)", HELD)
        self._held += 1
        try:
            return await self.take_idle()
        except BaseException:
            self._held -= 1
            raise

    async def give_back(self, line: Line, *, reusable: bool) -> None:
        """``reusable``: nothing is open on it, and no reply still to come."""
        self._held -= 1
        if reusable:
            await self._put_back(line)
        else:
            await line.close()

    def remember(self, size_bytes: int) -> None:
        """Of what held connections depend on, or with a minus do no longer. Raises CallError(QUOTA_EXCEEDED)."""
        if size_bytes > 0 and self._remembered + size_bytes > MAX_REMEMBERED_BYTES:
            raise refusals.too_many_names()
        self._remembered += size_bytes

    async def take_idle(self) -> Line:
        while self._idle:
            line = self._idle.pop()
            if await line.is_usable():
                return line
            await line.close()
        return await self._open()

    async def drop_idle(self) -> None:
        """Those that are used are closed when they come back."""
        idle, self._idle = self._idle, []
        for line in idle:
            await line.close()

    async def close(self) -> None:
        self.closed = True
        await self.drop_idle()

    async def _put_back(self, line: Line) -> None:
        if await line.is_usable() and not self.closed and len(self._idle) < IDLE:
            self._idle.append(line)
        else:
            await line.close()
