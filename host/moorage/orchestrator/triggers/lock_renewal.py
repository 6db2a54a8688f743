"""Keeps the lock of a Service Bus message while its execution goes on, however long that takes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from moorage.clock import Clock, sleep
from moorage_proto.errors import CallError, Reason

log = logging.getLogger(__name__)

#: A lock is renewed when this part of what is left of it is over, and at the latest after so long: the namespace's
#: clock, by which its end is told, may be ahead of ours.
RENEW_AFTER, LONGEST_WAIT = 0.5, timedelta(seconds=15)
SHORTEST_WAIT = timedelta(seconds=0.05)
#: Its end seems to be over although it was just given: the namespace's clock is behind ours.
SKEWED_WAIT = timedelta(seconds=2)
#: After a renewal that failed.
RETRY_WAIT = timedelta(seconds=1)


@dataclass
class Lock:
    #: It was lost: the message is handed out again, and this delivery of it can no more be settled.
    is_lost: bool = False


@contextlib.asynccontextmanager
async def kept(
    renew: Callable[[], Awaitable[datetime | None]], until: datetime | None, clock: Clock
) -> AsyncIterator[Lock]:
    """Renews it for as long as the block runs. ``renew`` returns until when it lasts then, and raises CallError."""
    lock = Lock()
    keeping = asyncio.create_task(_keep(lock, renew, until, clock), name="renew a lock of Service Bus")
    try:
        yield lock
    finally:
        keeping.cancel()
        await asyncio.wait((keeping,))


def wait_of(until: datetime | None, now: datetime) -> timedelta:
    """How long to wait before a lock that lasts until then is renewed."""
    if until is None or until <= now:
        return SKEWED_WAIT
    return min(LONGEST_WAIT, max(SHORTEST_WAIT, (until - now) * RENEW_AFTER))


async def _keep(
    lock: Lock, renew: Callable[[], Awaitable[datetime | None]], until: datetime | None, clock: Clock
) -> None:
    wait = wait_of(until, clock.now())
    while not lock.is_lost:
        await sleep(clock, wait)
        try:
            wait = wait_of(await renew(), clock.now())
        except CallError as error:
            lock.is_lost = error.reason == Reason.MESSAGE_LOCK_LOST
            log.info("a lock was not renewed%s: %s", " and is lost" if lock.is_lost else "", error)
            wait = RETRY_WAIT
