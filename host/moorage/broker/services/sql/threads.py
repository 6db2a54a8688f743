"""Threads for calls that block: a few for each installation, which it alone can use up.

One call of an SQL function cannot be interrupted. A thread that goes on although its caller has left therefore keeps
its turn until it really ends, and stands in the way of its own installation alone. The threads are daemons: a process
that is to end waits for none of them, as it would for those of ``concurrent.futures``.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from moorage.broker.services.sql.pace import Pace, PaceOf
from moorage.config.settings import usable_cores
from moorage.models.installation import InstallationId
from moorage_proto.sqlite_session import SqliteSession

Result = TypeVar("Result")

#: Statements of one installation that run at the same time on one database; further ones wait for those alone. On a
#: small machine fewer: they share the interpreter's lock with everyone's.
THREADS_EACH = max(2, min(4, usable_cores()))

#: How long a cancelled call may go on before its thread is left to itself.
GRACE_SECONDS = 1.0


class Share:
    """What one installation may use of a database's threads, connections and cursors. The event loop's."""

    def __init__(self, name: str, pace: Pace | None = None) -> None:
        self._name = name
        #: What its statements may take of the host's CPU time; None: whatever they take.
        self.pace = pace
        self._turns = asyncio.Semaphore(THREADS_EACH)
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._started = 0
        self._busy = 0
        self.connections = 0
        #: Those that are not collected yet: a thread without a caller may still use one.
        self.sessions: weakref.WeakSet[SqliteSession] = weakref.WeakSet()

    def open_cursors(self) -> int:
        return sum(session.open_cursors for session in self.sessions)

    async def run(
        self, function: Callable[[], Result], stop: Callable[[], None], forsaken: Callable[[], None]
    ) -> Result:
        """Runs the function in a thread and waits for it.

        When the waiting task is cancelled, ``stop`` asks the function to end, and the cancellation goes on once it has.
        If it does not end, ``forsaken`` is called in its thread, when it has ended after all; ``Forsaken`` is raised.
        """
        await self._turns.acquire()
        job, waiter = self._submit(function)
        waiter.add_done_callback(self._give_back)
        try:
            return await asyncio.shield(waiter)
        except asyncio.CancelledError:
            if not job.cancel():
                stop()
                await _wait_out(waiter)
                if not job.done():
                    job.add_done_callback(lambda _: forsaken())
                    raise Forsaken(waiter) from None
            raise

    def later(self, function: Callable[[], None]) -> asyncio.Future[None]:
        """Runs the function in a thread soon, whether or not there is a turn, and whoever goes on waiting for it."""
        _, waiter = self._submit(function)
        waiter.add_done_callback(self._end)
        return waiter

    def close(self) -> None:
        """Does not wait for threads that were forsaken."""
        for _ in range(self._started):
            self._jobs.put(None)

    def _submit(self, function: Callable[[], Result]) -> tuple[Future[Result], asyncio.Future[Result]]:
        job: Future[Result] = Future()
        waiter = asyncio.wrap_future(job)
        self._busy += 1
        if self._started < self._busy:
            self._started += 1
            threading.Thread(target=_work, args=(self._jobs,), name=self._name, daemon=True).start()
        self._jobs.put(lambda: _fulfil(job, function))
        return job, waiter

    def _give_back(self, ended: asyncio.Future[Any]) -> None:
        self._turns.release()
        self._end(ended)

    def _end(self, ended: asyncio.Future[Any]) -> None:
        self._busy -= 1
        # Read here: a future whose exception nobody looks at complains when it is collected.
        if not ended.cancelled():
            ended.exception()


async def _wait_out(waiter: asyncio.Future[Any]) -> None:
    """Until it is done or the grace is over, however often the waiting task is cancelled meanwhile.

    Whoever went on before would hand a connection that is in use to the next call, or close it: that ends the process.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + GRACE_SECONDS
    while not waiter.done() and (left := end - loop.time()) > 0:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([waiter], timeout=left)


def _work(jobs: queue.SimpleQueue[Callable[[], None] | None]) -> None:
    """One thread's life."""
    while (job := jobs.get()) is not None:
        job()
        # Else what the last job held would live until the next one comes.
        del job


def _fulfil(job: Future[Result], function: Callable[[], Result]) -> None:
    if not job.set_running_or_notify_cancel():
        return
    try:
        result = function()
    except BaseException as error:  # noqa: BLE001 - whatever it is, it belongs to whoever waits for the result
        job.set_exception(error)
    else:
        job.set_result(result)


class Forsaken(asyncio.CancelledError):
    """The call was cancelled and its thread goes on: what the thread uses must not be touched any more."""

    def __init__(self, ended: asyncio.Future[Any]) -> None:
        super().__init__()
        #: Done when the thread has ended after all.
        self.ended = ended


class Threads:
    """Of one database."""

    def __init__(self, name: str, pace_of: PaceOf = lambda _: None) -> None:
        self._name = f"moorage-sql-{name}"
        self._pace_of = pace_of
        #: For the database itself.
        self._own = Share(self._name)
        self._shares: dict[InstallationId, Share] = {}

    def share(self, installation: InstallationId) -> Share:
        if installation not in self._shares:
            self._shares[installation] = Share(f"{self._name}-{installation}", self._pace_of(installation))
        return self._shares[installation]

    async def run(self, function: Callable[[], Result]) -> Result:
        """For the database itself."""
        return await self._own.run(function, stop=_nothing, forsaken=_nothing)

    def close(self) -> None:
        """Does not wait for threads that were forsaken."""
        for share in (self._own, *self._shares.values()):
            share.close()


def _nothing() -> None:
    """Opening a file cannot be stopped."""
