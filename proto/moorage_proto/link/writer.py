"""The one writer of a lane: one write at a time, each begun where it is asked for."""

from __future__ import annotations

import asyncio
from typing import Any, Callable, Coroutine, Optional

#: Longest that the last write may take, and its cancellation after that.
FLUSH_TIMEOUT_SECONDS = 1.0


class Writer:
    """Steps the coroutines of ``write`` itself, as a task would.

    A task begins a write in the loop's next turn; beginning it at once saves a lone call 5 to 8 us at each end. All
    methods and callbacks belong to the event loop in which it is made.
    """

    def __init__(
        self,
        write: Callable[[bytes], Coroutine[Any, Any, None]],
        take: Callable[[], bytes],
        written: Callable[[], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        """``take`` gives the next data, b"" for nothing; ``written`` is told after each write, ``failed`` once what a
        write raised.
        """
        self._write = write
        self._take = take
        self._written = written
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._writing: Optional[Coroutine[Any, Any, None]] = None
        #: What the write under way waits for.
        self._waits_for: Optional[asyncio.Future[Any]] = None
        self._held = False
        self._broken = False
        self._idle: Optional[asyncio.Future[None]] = None

    def wake(self) -> None:
        """There is something to write. What comes while a write is under way goes together in the next one."""
        if self._writing is None and not self._held:
            self._run()

    def hold(self) -> None:
        """Begins no write until ``release``: what comes meanwhile goes together."""
        self._held = True

    def release(self) -> None:
        self._held = False
        self.wake()

    async def finish(self) -> None:
        """Until nothing is being written, for a bounded time."""
        if self._writing is None:
            return
        self._idle = self._loop.create_future()
        await asyncio.wait([self._idle], timeout=FLUSH_TIMEOUT_SECONDS)
        if self._waits_for is not None:
            self._waits_for.cancel()
            await asyncio.wait([self._idle], timeout=FLUSH_TIMEOUT_SECONDS)

    def _run(self) -> None:
        while not self._broken and (data := self._take()):
            self._writing = self._write(data)
            if not self._step():
                return
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def _step(self) -> bool:
        """Goes on with the write under way; whether it is done."""
        assert self._writing is not None
        try:
            waits_for = self._writing.send(None)
        except StopIteration:
            # While this write still counts as under way: what is queued meanwhile must not begin the next in here.
            self._written()
            self._writing = None
            return True
        except BaseException as problem:  # noqa: BLE001 - told to the owner, as a task would keep it for its own
            self._writing = None
            self._broken = True
            # Not at once: whoever has just queued something is in the middle of its own work.
            self._loop.call_soon(self._failed, problem)
            return True
        if waits_for is None:
            self._loop.call_soon(self._resume, None)
        else:
            waits_for._asyncio_future_blocking = False  # noqa: SLF001 - a task does so too: the wait has been seen
            waits_for.add_done_callback(self._resume)
            self._waits_for = waits_for
        return False

    def _resume(self, _: Optional[asyncio.Future[Any]]) -> None:
        self._waits_for = None
        if self._step():
            self._run()
