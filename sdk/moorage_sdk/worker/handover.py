"""Work handed to an event loop from other threads, many pieces for one wake-up."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Any, Callable, Deque, Tuple

log = logging.getLogger(__name__)


class Handover:
    """``call_soon_threadsafe`` writes to a socket each time; this does so only when the loop is not yet woken."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queue: Deque[Tuple[Callable[..., Any], Tuple[Any, ...]]] = deque()
        self._woken = False
        self._ended = False

    def post(self, callback: Callable[..., Any], *arguments: Any) -> None:
        """Runs it in the loop, after what was posted before. Raises RuntimeError when the loop has ended."""
        # In this order: whoever finds the loop woken, or not ended, has queued before the loop looks.
        work = (callback, arguments)
        self._queue.append(work)
        if self._ended:
            self._take_back(work)
        elif not self._woken:
            self._woken = True
            try:
                self._loop.call_soon_threadsafe(self._run)
            except RuntimeError:
                self._woken = False
                self._queue.clear()
                raise

    def end(self) -> None:
        """Runs what was posted; in the loop's thread, before the loop closes. What comes later is refused."""
        self._ended = True
        self._run()

    def _take_back(self, work: Tuple[Callable[..., Any], Tuple[Any, ...]]) -> None:
        try:
            self._queue.remove(work)
        except ValueError:
            return  # the end found it, and ran it
        raise RuntimeError("the event loop has ended")

    def _run(self) -> None:
        self._woken = False
        for _ in range(len(self._queue)):
            callback, arguments = self._queue.popleft()
            try:
                callback(*arguments)
            except Exception:
                log.exception("what another thread handed over failed")
