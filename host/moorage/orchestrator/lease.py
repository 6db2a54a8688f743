"""A host's lease on its work, where several share a store: kept, lost, gained again; and what dead ones leave behind.

A host that cannot renew its lease knows by its own clock when others may take over its work, and lets go of it before
that. What it counts from is the moment at which it asked for the renewal: the database granted it later than that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from datetime import timedelta
from typing import Protocol

from moorage.clock import Alarm, Clock, sleep
from moorage.errors import MoorageError
from moorage.owned import OwnedTasks

log = logging.getLogger(__name__)

#: Parts of the lease's length: between renewals, and between attempts while the store does not answer.
_EACH, _AGAIN = 3, 10


class Leases(Protocol):
    """``moorage.store.hosts.Hosts`` is one."""

    async def register(self, name: str, version: str, length: timedelta) -> None: ...

    async def renew(self, length: timedelta) -> bool: ...

    async def regain(self, name: str, version: str, length: timedelta) -> bool: ...

    async def leave(self) -> None: ...

    async def expired(self) -> tuple[str, ...]: ...

    async def forget(self, hosts: Collection[str]) -> None: ...


class LeaseKeeper:
    """Between ``open`` and ``close``; on one event loop."""

    def __init__(
        self,
        hosts: Leases,
        clock: Clock,
        length: timedelta,
        *,
        name: str,
        version: str,
        on_lost: Callable[[], None],
        on_regained: Callable[[], Awaitable[None]],
        on_dead: Callable[[tuple[str, ...]], Awaitable[None]],
    ) -> None:
        """``on_lost``: nothing of this host's may begin, or write an outcome, any more. ``on_regained``: it may again.
        ``on_dead``: takes over what these hosts had. Where these two raise, they are called again; neither keeps the
        lease from being renewed.
        """
        self._hosts = hosts
        self._clock = clock
        self._length = length
        self._name, self._version = name, version
        self._on_lost = on_lost
        self._on_regained = on_regained
        self._on_dead = on_dead
        #: Whether this host may work.
        self.held = False
        self._failing = False
        self._alarm: Alarm | None = None
        self._keeping: asyncio.Task[None] | None = None
        #: What has to be done because the lease is held again, or is being done.
        self._owed = False
        self._tasks = OwnedTasks()
        #: By name, what goes on at present.
        self._busy: set[str] = set()
        #: As they were found last.
        self._dead: frozenset[str] = frozenset()

    async def open(self) -> None:
        """Raises what the store raises."""
        began = self._clock.elapsed()
        await self._hosts.register(self._name, self._version, self._length)
        self.held = True
        self._renewed(began)
        self._keeping = asyncio.create_task(self._keep(), name="lease")

    async def close(self) -> None:
        """Others take over what is left of this host's. May be called twice."""
        if self._keeping is None:
            return
        self._keeping.cancel()
        await asyncio.wait((self._keeping,))
        self._keeping = None
        self._cancel_alarm()
        await self._tasks.settled()
        try:
            await self._hosts.leave()
        except MoorageError as error:
            log.warning("others take over when the lease has run out, and not at once: %s", error)

    async def _keep(self) -> None:
        while True:
            await sleep(self._clock, self._length / (_AGAIN if self._failing else _EACH))
            try:
                await self._once()
            except MoorageError as error:
                self._complain(error)
            else:
                self._failing = False

    async def _once(self) -> None:
        began = self._clock.elapsed()
        if not await self._ask():
            if self.held:
                self._lose("others have found this host dead, or another process has its id")
            return
        self._renewed(began)
        if not self.held:
            self.held = self._owed = True
            log.warning("this host has a lease again, and works on")
        if self._owed:
            self._begin("lease regained", self._regained)
        self._begin("dead hosts", self._bury)

    async def _ask(self) -> bool:
        if self.held:
            return await self._hosts.renew(self._length)
        return await self._hosts.regain(self._name, self._version, self._length)

    def _renewed(self, began: timedelta) -> None:
        self._cancel_alarm()
        left = self._length - (self._clock.elapsed() - began)
        self._alarm = self._clock.call_later(max(left, timedelta(0)), self._run_out)

    def _run_out(self) -> None:
        if self.held:
            self._lose("it could not be renewed in time")

    def _lose(self, reason: str) -> None:
        self.held = False
        self._cancel_alarm()
        log.error("this host has lost its lease, and stops its work: %s", reason)
        self._on_lost()

    def _begin(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Unless it goes on already. What fails is begun again with the next renewal."""
        if name not in self._busy:
            self._busy.add(name)
            self._tasks.start(self._done(name, work), name)

    async def _done(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except MoorageError as error:
            log.error("%s: not done yet, and tried again: %s", name, error)
        except Exception:
            log.exception("%s: not done yet, and tried again", name)
        finally:
            self._busy.discard(name)

    async def _regained(self) -> None:
        await self._on_regained()
        self._owed = False

    async def _bury(self) -> None:
        dead = await self._hosts.expired()
        if new := set(dead) - self._dead:
            log.warning("dead hosts, whose work others take over: %s", ", ".join(sorted(new)))
        self._dead = frozenset(dead)
        if dead:
            await self._on_dead(dead)
            await self._hosts.forget(dead)

    def _cancel_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _complain(self, error: MoorageError) -> None:
        """Once for each outage."""
        if not self._failing:
            log.error("the lease of this host was not renewed, and is tried again: %s", error)
        self._failing = True
