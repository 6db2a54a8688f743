"""Threads for the plugin's sync code.

All sync code of one scope, providers, task and their ends, runs in one thread, so that objects bound to the thread
that made them (``sqlite3`` connections) work; and in one copy of the context, so that what one sets the next sees.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import threading
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Callable, Generic, List, Optional, TypeVar

Result = TypeVar("Result")

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Outcome(Generic[Result]):
    """What a call came to. Exceptions are carried, not raised, as futures refuse some (StopIteration)."""

    value: Optional[Result] = None
    error: Optional[BaseException] = None

    def unwrap(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.value


class ScopeThread:
    """One thread that runs one function after another."""

    def __init__(self) -> None:
        self._inbox: SimpleQueue[Optional[Callable[[], None]]] = SimpleQueue()
        # A daemon: sync code that never returns must not keep a worker alive that was told to go.
        threading.Thread(target=self._work, name=f"moorage-sync-{next(_numbers)}", daemon=True).start()

    async def run(self, context: contextvars.Context, function: Callable[[], Result]) -> Result:
        """Waits for the function; when the waiting task is cancelled the function goes on all the same."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Outcome[Result]] = loop.create_future()

        def work() -> None:
            outcome = _outcome(context, function)
            try:
                loop.call_soon_threadsafe(_settle, done, outcome)
            except RuntimeError:
                # The loop is closed: nobody waits any more.
                return

        self._inbox.put(work)
        result: Result = (await done).unwrap()
        return result

    def stop(self) -> None:
        """The thread ends after what it was given."""
        self._inbox.put(None)

    def _work(self) -> None:
        while True:
            work = self._inbox.get()
            if work is None:
                return
            work()
            # Or its arguments would live until the next function comes.
            del work


class Threads:
    """Idle threads are kept for the next scope; used from the plugin's loop only."""

    def __init__(self) -> None:
        self._idle: List[ScopeThread] = []

    def take(self) -> ScopeThread:
        return self._idle.pop() if self._idle else ScopeThread()

    def give_back(self, thread: ScopeThread) -> None:
        self._idle.append(thread)

    def close(self) -> None:
        while self._idle:
            self._idle.pop().stop()


def _outcome(context: contextvars.Context, function: Callable[[], Result]) -> Outcome[Result]:
    try:
        return Outcome(context.run(function))
    except BaseException as error:  # noqa: BLE001 - carried to the loop, which raises it there
        return Outcome(error=error)


def _settle(done: asyncio.Future[Outcome[Result]], outcome: Outcome[Result]) -> None:
    if not done.done():
        done.set_result(outcome)
