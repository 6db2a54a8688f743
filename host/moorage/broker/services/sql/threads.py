"""Threads for calls that block, with a bounded share for each installation."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

from moorage.models.installation import InstallationId

Result = TypeVar("Result")

#: Of one database; several installations' slowest statements fit in beside each other.
THREADS = 16

#: Statements of one installation that run at the same time; further ones wait for those alone.
THREADS_EACH = 4

#: How long a cancelled call may go on before its thread is left to itself.
GRACE_SECONDS = 1.0


class Share:
    """What one installation may use of a database's threads and connections."""

    def __init__(self, pool: concurrent.futures.ThreadPoolExecutor) -> None:
        self._pool = pool
        self._turns = asyncio.Semaphore(THREADS_EACH)
        self.connections = 0

    async def run(
        self, function: Callable[[], Result], stop: Callable[[], None], forsaken: Callable[[], None]
    ) -> Result:
        """Runs the function in a thread and waits for it.

        When the waiting task is cancelled, ``stop`` asks the function to end, and the cancellation goes on once it has.
        If it does not end, ``forsaken`` is called in its thread, when it has ended after all; ``Forsaken`` is raised.
        """
        async with self._turns:
            job = self._pool.submit(function)
            waiter = asyncio.wrap_future(job)
            try:
                return await asyncio.shield(waiter)
            except asyncio.CancelledError:
                # Read here: a future whose exception nobody looks at complains when it is collected.
                waiter.add_done_callback(lambda done: done.cancelled() or done.exception())
                if not job.cancel():
                    stop()
                    await _wait_out(waiter)
                    if not job.done():
                        job.add_done_callback(lambda _: forsaken())
                        raise Forsaken from None
                raise


async def _wait_out(waiter: asyncio.Future[Any]) -> None:
    """Until it is done or the grace is over, however often the waiting task is cancelled meanwhile.

    Whoever went on before would hand a connection that is in use to the next call, or close it: that ends the process.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + GRACE_SECONDS
    while not waiter.done() and (left := end - loop.time()) > 0:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([waiter], timeout=left)


class Forsaken(asyncio.CancelledError):
    """The call was cancelled and its thread goes on: what the thread uses must not be touched any more."""


class Threads:
    """Of one database."""

    def __init__(self, name: str) -> None:
        self._pool = concurrent.futures.ThreadPoolExecutor(THREADS, thread_name_prefix=f"moorage-sql-{name}")
        self._shares: dict[InstallationId, Share] = {}

    def share(self, installation: InstallationId) -> Share:
        return self._shares.setdefault(installation, Share(self._pool))

    async def run(self, function: Callable[[], Result]) -> Result:
        """For the database itself."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, function)

    def close(self) -> None:
        """Does not wait for threads that were forsaken."""
        self._pool.shutdown(wait=False, cancel_futures=True)
