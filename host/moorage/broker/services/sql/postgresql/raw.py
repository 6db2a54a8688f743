"""psycopg's connection with bounds: on what one reply may hold of the host's memory, and on how long it may take.

libpq keeps a whole row, and a whole reply, in memory before anybody sees it, and a row may have a gigabyte. So what
arrives is counted before libpq reads it. A connection that has overstepped is cut off: the server notices and ends.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import fcntl
import select
import socket
import termios
from collections.abc import Generator
from typing import Any, TypeVar

import psycopg
from psycopg import AsyncConnection
from psycopg.waiting import Ready, Wait

T = TypeVar("T")

#: Of what one call brings, before it is sent on in parts.
MAX_REPLY_BYTES = 64 * 1024 * 1024

#: For a cancel request to reach the server, and for the statement to end after it; then the connection is cut off.
CANCEL_SECONDS = 2.0

#: Between two cancel requests for one statement.
REPEAT_SECONDS = 0.1


class BoundedConnection(AsyncConnection[tuple[Any, ...]]):
    """Never wait for it in a task that may be cancelled: that would leave the server in the middle of a statement."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._left_bytes = MAX_REPLY_BYTES
        #: The reply was larger than one may be.
        self.overflowed = False
        #: It was cut off from here.
        self.severed = False
        #: Requests to stop that may still reach the server: they end whatever it does by then.
        self.stops = 0

    def begin(self) -> None:
        """Before each call: what was counted is forgotten."""
        self._left_bytes = MAX_REPLY_BYTES
        self.overflowed = False

    async def wait(self, gen: Generator[Wait, Ready, T], *_: Any, **__: Any) -> T:
        """Implements psycopg's, for the event loop, counting."""
        loop = asyncio.get_running_loop()
        descriptor = self.pgconn.socket
        try:
            wanted = next(gen)
            while True:
                ready = await _ready(loop, descriptor, wanted)
                if ready & Ready.R:
                    self._count(descriptor)
                wanted = gen.send(ready)
        except StopIteration as end:
            result: T = end.value
            return result
        except asyncio.CancelledError:
            self.sever()
            raise

    def sever(self) -> None:
        """Ends it at once, whatever the network does: whoever waits for it is told that it was closed."""
        self.severed = True
        with (
            contextlib.suppress(psycopg.Error, OSError),
            socket.socket(fileno=_copy(self.pgconn.socket)) as copy,
        ):
            copy.shutdown(socket.SHUT_RDWR)

    def seems_alive(self) -> bool:
        """Nothing arrives unasked on a connection at rest but its end."""
        if self.closed or self.severed:
            return False
        poll = select.poll()
        poll.register(self.pgconn.socket, select.POLLIN | select.POLLHUP)
        return not poll.poll(0)

    async def stop(self) -> None:
        """Asks the server to end what it does. May be called any time."""
        self.stops += 1
        with contextlib.suppress(psycopg.Error, OSError, TimeoutError):
            async with asyncio.timeout(CANCEL_SECONDS):
                await self.cancel_safe(timeout=CANCEL_SECONDS)
                self.stops -= 1

    def _count(self, descriptor: int) -> None:
        waiting = array.array("i", [0])
        fcntl.ioctl(descriptor, termios.FIONREAD, waiting)
        self._left_bytes -= waiting[0]
        if self._left_bytes < 0 and not self.severed:
            self.overflowed = True
            self.sever()


async def _ready(loop: asyncio.AbstractEventLoop, descriptor: int, wanted: Wait) -> Ready:
    """Waits until the descriptor may be read or written, as wanted."""
    if wanted & Wait.W:
        # It nearly always can be written: asking costs less than a turn of the loop.
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT | (select.POLLIN if wanted & Wait.R else 0))
        for _, events in poll.poll(0):
            found = (Ready.W if events & select.POLLOUT else 0) | (Ready.R if events & ~select.POLLOUT else 0)
            if found:
                return Ready(found)
    done: asyncio.Future[Ready] = loop.create_future()

    def ready(state: Ready) -> None:
        if not done.done():
            done.set_result(state)

    if wanted & Wait.R:
        loop.add_reader(descriptor, ready, Ready.R)
    if wanted & Wait.W:
        loop.add_writer(descriptor, ready, Ready.W)
    try:
        return await done
    finally:
        if wanted & Wait.R:
            loop.remove_reader(descriptor)
        if wanted & Wait.W:
            loop.remove_writer(descriptor)


def _copy(descriptor: int) -> int:
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 0)
