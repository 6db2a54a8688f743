"""One link of the client library: a sender or a receiver, with a connection of its own.

The library's links are not made for two operations at a time, do not survive being cancelled in the middle of one, and
may wait for a broken peer for minutes. So operations take turns, run in tasks of their own that nobody cancels but
their bound, and a link on which one failed is given up for a fresh one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from moorage.broker.services.servicebus import failures
from moorage.broker.services.servicebus.failures import Cure
from moorage_proto.errors import CallError
from moorage_proto.servicebus_names import Entity

log = logging.getLogger(__name__)

Result = TypeVar("Result")


class Connections:
    """Those that a link has opened, by way of attributes that the library keeps to itself.

    It forgets, without closing it, a connection that breaks, or is given up while it is being opened.
    """

    def __init__(self, link: Any) -> None:
        self._link = link
        self._clients: list[Any] = []
        self._writers: list[asyncio.StreamWriter] = []
        create = getattr(link, "_create_handler", None)
        if create is not None:
            self._create = create
            link._create_handler = self._remember  # noqa: SLF001 - there is no public way to them

    def note(self) -> None:
        """While the library still knows its connection."""
        for client in self._clients:
            transport = getattr(getattr(client, "_connection", None), "_transport", None)
            writer = getattr(transport, "writer", None)
            if writer is not None and writer not in self._writers:
                self._writers.append(writer)

    def cut(self) -> None:
        self.note()
        for writer in self._writers:
            writer.transport.abort()

    def _remember(self, auth: Any) -> None:
        self._create(auth)
        self._clients.append(self._link._handler)  # noqa: SLF001 - as above


#: Longest time of an operation for callers without a deadline of their own.
PATIENCE_SECONDS = 30.0

#: Of one try: a connection that only seems to be there is given up after it.
ATTEMPT_SECONDS = 10.0
ATTEMPTS = 3
PAUSE_SECONDS = 0.1

CLOSE_SECONDS = 3.0

#: An answer has to reach the caller before its own patience ends: this part of its time, at most that many seconds.
MARGIN, MAX_MARGIN_SECONDS = 0.1, 0.25


class Line:
    """Opened when it is first needed. Whoever makes it closes it."""

    def __init__(self, backend: str, entity: Entity, make: Callable[[], Any]) -> None:
        """``make`` gives a fresh sender or receiver of the library's."""
        self.entity = entity
        self.last_used = time.monotonic()
        self._backend = backend
        self._make = make
        self._link: Any = None
        self._connections: Connections | None = None
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    @property
    def is_busy(self) -> bool:
        return self._turn.locked()

    @property
    def is_open(self) -> bool:
        return self._link is not None and not self._closed

    async def open(self, deadline: float | None) -> None:
        """Raises CallError when the entity cannot be used."""
        await self.run(_nothing, deadline)

    async def run(
        self, operation: Callable[[Any], Awaitable[Result]], deadline: float | None, *, retry: bool = True
    ) -> Result:
        """The operation's result, before the deadline of the loop's clock. Goes on when the caller is cancelled.

        ``retry`` False: it is tried once, because to try it again on another link could not succeed. Raises CallError.
        """
        self.last_used = time.monotonic()
        task = asyncio.create_task(self._run(operation, deadline, retry=retry), name=f"servicebus {self.entity}")
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    async def idle(self) -> None:
        """Until nothing is on its way. Operations that come meanwhile are waited for, too."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    async def close(self) -> None:
        """After what is on its way. May be called twice."""
        self._closed = True
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=CLOSE_SECONDS)
        for task in tuple(self._tasks):
            task.cancel()
        link, self._link = self._link, None
        if link is not None and self._connections is not None:
            await _closed(link, self._connections)

    async def _run(
        self, operation: Callable[[Any], Awaitable[Result]], deadline: float | None, *, retry: bool
    ) -> Result:
        end = _end(deadline)
        try:
            async with asyncio.timeout_at(end), self._turn:
                return await self._attempts(operation, end, ATTEMPTS if retry else 1)
        except TimeoutError:
            # In somebody else's turn, as a rule: one's own tries are shorter.
            raise failures.unavailable(self._backend, "did not answer in time") from None

    async def _attempts(self, operation: Callable[[Any], Awaitable[Result]], end: float, count: int) -> Result:
        loop = asyncio.get_running_loop()
        for attempt in range(1, count + 1):
            if self._closed:
                raise failures.unavailable(self._backend, "is being closed")
            try:
                async with asyncio.timeout_at(min(end, loop.time() + ATTEMPT_SECONDS)):
                    return await operation(await self._opened())
            except asyncio.CancelledError:
                self._forget()
                raise
            except TimeoutError:
                self._forget()
                error = failures.unavailable(self._backend, "did not answer in time")
                must_end = loop.time() >= end
            except CallError:
                raise
            except Exception as failure:  # noqa: BLE001 - the library lets through whatever breaks inside it
                error = failures.call_error(self._backend, self.entity, failure)
                cure = failures.cure(failure)
                if cure is not Cure.KEEP:
                    self._forget()
                must_end = cure is not Cure.RETRY
            if must_end or attempt == count:
                raise error
            await asyncio.sleep(PAUSE_SECONDS * attempt)
        raise AssertionError

    async def _opened(self) -> Any:
        if self._link is None:
            link = self._make()
            self._connections = Connections(link)
            try:
                await link.__aenter__()
            except BaseException:
                self._abandon(link, self._connections)
                raise
            self._connections.note()
            self._link = link
        return self._link

    def _forget(self) -> None:
        """The next operation opens another link; this one is closed beside it."""
        link, self._link = self._link, None
        if link is not None and self._connections is not None:
            self._abandon(link, self._connections)

    def _abandon(self, link: Any, connections: Connections) -> None:
        task = asyncio.create_task(_closed(link, connections), name=f"close servicebus {self.entity}")
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            # Looked at, so that asyncio does not complain of one whose caller has gone.
            task.exception()


async def stop_credit(link: Any) -> None:
    """Asks the namespace for nothing more until somebody receives again.

    The library leaves the credit of a wait that is over with the namespace, which then hands messages to a link on
    which nobody waits; others get them seconds later. There is no public way to take it back.
    """
    handler = getattr(link, "_handler", None)
    stop = getattr(getattr(link, "_amqp_transport", None), "reset_link_credit_async", None)
    if handler is not None and stop is not None:
        await stop(handler, 0)


async def _nothing(_link: Any) -> None:
    """What an operation does that only opens the link."""


async def _closed(link: Any, connections: Connections) -> None:
    try:
        with contextlib.suppress(Exception):
            async with asyncio.timeout(CLOSE_SECONDS):
                await link.close()
    finally:
        connections.cut()


def _end(deadline: float | None) -> float:
    now = asyncio.get_running_loop().time()
    patience = PATIENCE_SECONDS if deadline is None else min(PATIENCE_SECONDS, deadline - now)
    return now + patience - min(MAX_MARGIN_SECONDS, max(0.0, patience * MARGIN))
