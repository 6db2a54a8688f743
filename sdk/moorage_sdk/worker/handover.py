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

    def post(self, callback: Callable[..., Any], *arguments: Any) -> None:
        """Runs it in the loop, after what was posted before. Raises RuntimeError when the loop has ended."""
        # In this order: whoever finds the loop woken has queued before the loop looks.
        self._queue.append((callback, arguments))
        if not self._woken:
            self._woken = True
            try:
                self._loop.call_soon_threadsafe(self._run)
            except RuntimeError:
                self._woken = False
                self._queue.clear()
                raise

    def _run(self) -> None:
        self._woken = False
        for _ in range(len(self._queue)):
            callback, arguments = self._queue.popleft()
            try:
                callback(*arguments)
            except Exception:
                log.exception("what another thread handed over failed")
