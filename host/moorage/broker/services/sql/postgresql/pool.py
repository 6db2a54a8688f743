"""Connections to one server: few for each installation, made when they are needed, never more than a budget in all.

A connection belongs to one installation for its whole life: it is logged in as that one's role.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import psycopg

from moorage.broker.services.sql.postgresql import failures
from moorage.broker.services.sql.postgresql.raw import BoundedConnection
from moorage.models.installation import InstallationId

log = logging.getLogger(__name__)

#: Makes one for an installation. Raises psycopg.Error, OSError, TimeoutError and CallError.
Connect = Callable[[InstallationId], Awaitable[BoundedConnection]]


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """Of one backend; times in seconds."""

    #: Open at the same time, of all installations together.
    all: int = 20
    #: Of one installation.
    each: int = 5
    #: Longest wait for one that is free.
    wait: float = 10.0
    #: One at rest for so long is closed.
    rest: float = 60.0
    #: Until one that is made has answered.
    connect: float = 5.0


@dataclass
class _Share:
    """What one installation has."""

    resting: list[tuple[float, BoundedConnection]] = field(default_factory=list)
    open: int = 0


class Pool:
    """Used on the event loop only."""

    def __init__(self, backend: str, connect: Connect, limits: PoolLimits) -> None:
        self._backend = backend
        self._connect = connect
        self._limits = limits
        self._shares: dict[InstallationId, _Share] = {}
        self._open = 0
        #: In the order of asking; each is for an installation.
        self._waiting: deque[tuple[InstallationId, asyncio.Future[None]]] = deque()
        self._sweep: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def open_connections(self) -> int:
        return self._open

    def open_of(self, installation: InstallationId) -> int:
        return self._shares[installation].open if installation in self._shares else 0

    async def take(self, installation: InstallationId, deadline: float | None) -> BoundedConnection:
        """Raises CallError: BACKEND_UNAVAILABLE, QUOTA_EXCEEDED when none was free in time."""
        resting = self._rested(installation)
        if resting is not None:
            return resting
        await self._place(installation, deadline)
        try:
            async with asyncio.timeout(self._limits.connect):
                return await self._connect(installation)
        except (psycopg.Error, OSError, TimeoutError) as error:
            self._free(installation)
            log.warning("sql %s: no connection for %s: %s", self._backend, installation, error)
            raise failures.unreachable(self._backend) from None
        except BaseException:
            self._free(installation)
            raise

    def give(self, installation: InstallationId, connection: BoundedConnection) -> None:
        """Back, for the next one of the installation. It is in no transaction."""
        share = self._shares[installation]
        waits = next((waiting for waiting, _ in self._waiting), None)
        if not connection.seems_alive() or (waits is not None and waits != installation):
            self.drop(installation, connection)
            return
        share.resting.append((asyncio.get_running_loop().time(), connection))
        self._hand_on()
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(self._limits.rest, self._close_rested)

    def drop(self, installation: InstallationId, connection: BoundedConnection) -> None:
        """Closes it."""
        self._close(connection)
        self._free(installation)

    def forget(self, installation: InstallationId) -> None:
        """Closes what rests of an installation, such as after its rights to log in have changed."""
        share = self._shares.get(installation)
        while share is not None and share.resting:
            self.drop(installation, share.resting.pop()[1])

    async def close(self) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for installation in self._shares:
            self.forget(installation)
        if self._closing:
            await asyncio.wait(tuple(self._closing), timeout=self._limits.connect)

    def _rested(self, installation: InstallationId) -> BoundedConnection | None:
        share = self._shares.setdefault(installation, _Share())
        while share.resting:
            _, connection = share.resting.pop()
            if connection.seems_alive():
                return connection
            self.drop(installation, connection)
        return None

    async def _place(self, installation: InstallationId, deadline: float | None) -> None:
        """Counts one more for the installation, as soon as there is room for it."""
        if not self._waiting and self._has_room(installation):
            self._count(installation)
            return
        loop = asyncio.get_running_loop()
        seconds = self._limits.wait if deadline is None else min(self._limits.wait, max(0.0, deadline - loop.time()))
        turn: asyncio.Future[None] = loop.create_future()
        entry = (installation, turn)
        self._waiting.append(entry)
        self._hand_on()
        try:
            async with asyncio.timeout(seconds):
                await turn
        except BaseException as error:
            if entry in self._waiting:
                self._waiting.remove(entry)
            elif turn.done() and not turn.cancelled():
                # The turn came in the moment of giving up.
                self._free(installation)
            if isinstance(error, TimeoutError):
                raise failures.connections_busy(self._backend, seconds) from None
            raise

    def _has_room(self, installation: InstallationId) -> bool:
        share = self._shares.setdefault(installation, _Share())
        if share.open - len(share.resting) >= self._limits.each:
            return False
        while share.open >= self._limits.each or self._open >= self._limits.all:
            oldest = self._longest_rested(installation if share.open >= self._limits.each else None)
            if oldest is None:
                return False
            owner, connection = oldest
            self._close(connection)
            self._uncount(owner)
        return True

    def _longest_rested(self, only: InstallationId | None) -> tuple[InstallationId, BoundedConnection] | None:
        resting = [
            (since, owner, connection)
            for owner, share in self._shares.items()
            if only is None or owner == only
            for since, connection in share.resting
        ]
        if not resting:
            return None
        since, owner, connection = min(resting, key=lambda each: each[0])
        self._shares[owner].resting.remove((since, connection))
        return owner, connection

    def _hand_on(self) -> None:
        """To those who wait, in their order; who would go beyond their own share let others pass."""
        for entry in tuple(self._waiting):
            installation, turn = entry
            if not turn.done() and self._has_room(installation):
                self._waiting.remove(entry)
                self._count(installation)
                turn.set_result(None)

    def _count(self, installation: InstallationId) -> None:
        self._shares[installation].open += 1
        self._open += 1

    def _uncount(self, installation: InstallationId) -> None:
        self._shares[installation].open -= 1
        self._open -= 1

    def _free(self, installation: InstallationId) -> None:
        self._uncount(installation)
        self._hand_on()

    def _close_rested(self) -> None:
        self._sweep = None
        loop = asyncio.get_running_loop()
        for installation, share in self._shares.items():
            old = [each for each in share.resting if each[0] <= loop.time() - self._limits.rest]
            for each in old:
                share.resting.remove(each)
                self.drop(installation, each[1])
        if any(share.resting for share in self._shares.values()):
            self._sweep = loop.call_later(self._limits.rest, self._close_rested)

    def _close(self, connection: BoundedConnection) -> None:
        async def closed() -> None:
            with contextlib.suppress(psycopg.Error, OSError):
                await connection.close()

        task = asyncio.get_running_loop().create_task(closed(), name=f"sql {self._backend} closes a connection")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    @contextlib.asynccontextmanager
    async def borrowed(self, installation: InstallationId, deadline: float | None) -> AsyncIterator[BoundedConnection]:
        """For one use outside of any transaction of the plugin's."""
        connection = await self.take(installation, deadline)
        try:
            yield connection
        except BaseException:
            self.drop(installation, connection)
            raise
        self.give(installation, connection)
