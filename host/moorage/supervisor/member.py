"""One place among the workers of an installation, from the decision to start one until nothing of it is left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

import psutil

from moorage.models.incarnation import IncarnationState
from moorage.models.installation import Installation
from moorage.supervisor.incarnation import Incarnation
from moorage.supervisor.reconcile import Phase, Seen
from moorage_sandbox import cgroup

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ended:
    """What a stop or kill cost."""

    #: Executions that were cancelled.
    executions: tuple[str, ...] = ()
    #: Processes that are gone.
    processes: int = 0

    @classmethod
    def of(cls, parts: Iterable[Ended]) -> Self:
        """Of several workers together."""
        parts = tuple(parts)
        executions = tuple(execution for part in parts for execution in part.executions)
        return cls(executions, sum(part.processes for part in parts))


class Member:
    """Made by the keeper, who owns its ``life``."""

    #: From the first attempt to make it until it is gone; set by the keeper.
    life: asyncio.Task[None]

    def __init__(self, installation: Installation, key: int, *, serving: bool) -> None:
        #: What it runs.
        self.manifest = installation.manifest
        self.key = key
        #: False: prepared for a reload, it takes no sessions and holds no place yet.
        self.serving = serving
        self.incarnation: Incarnation | None = None
        #: The clock's ``elapsed`` when it became ready; None: it did not.
        self.ready_since: timedelta | None = None
        #: When it was given a session last, counted in sessions.
        self.turn = 0
        #: Why another one has to take its place; empty: it fits.
        self.outdated = ""
        #: Done when it is ready, or with what became of its start.
        self.started: asyncio.Future[Incarnation] = asyncio.get_running_loop().create_future()
        self._leaving: asyncio.Task[Ended] | None = None

    @property
    def phase(self) -> Phase:
        if self._leaving is not None:
            return Phase.LEAVING
        if self._starting:
            return Phase.STARTING
        return Phase.READY if self.incarnation is not None and self.incarnation.ready else Phase.LEAVING

    @property
    def sent_off(self) -> bool:
        """It was told to go; how it goes is no news."""
        return self._leaving is not None

    @property
    def _starting(self) -> bool:
        return self.incarnation is None or self.incarnation.status.state is IncarnationState.STARTING

    @property
    def takes_sessions(self) -> bool:
        return self.serving and not self.outdated and self.phase is Phase.READY

    @property
    def load(self) -> int:
        return self.incarnation.sessions if self.incarnation is not None else 0

    @property
    def seen(self) -> Seen:
        return Seen(self.key, self.phase, self.load, self.outdated)

    async def bring_up(self, make: Callable[[], Awaitable[Incarnation]]) -> Incarnation:
        """Returns when it is ready; raises what making and starting one raise."""
        try:
            self.incarnation = await make()
            await self.incarnation.start()
        except Exception as error:
            self.failed(error)
            raise
        self.started.set_result(self.incarnation)
        return self.incarnation

    def failed(self, error: Exception) -> None:
        """Its start came to nothing. The first word counts."""
        if not self.started.done():
            self.started.set_exception(error)
            # Nobody may be waiting.
            self.started.exception()

    def leave(self, reason: str, drain: timedelta | None = None) -> Awaitable[Ended]:
        """As ``send_off``; until it is gone. One that was sent off before with more time has no more than this."""
        if self._leaving is None:
            return asyncio.shield(self.send_off(reason, drain))
        return self._hastened(drain)

    async def _hastened(self, drain: timedelta | None) -> Ended:
        executions = await self.incarnation.hasten(drain) if self.incarnation is not None else ()
        await asyncio.wait((self.life,))
        return Ended(executions)

    def send_off(self, reason: str, drain: timedelta | None = None) -> asyncio.Task[Ended]:
        """It takes no sessions from now on, and stops; a start is given up. The first reason counts."""
        if self._leaving is None:
            self._leaving = asyncio.create_task(self._leave(reason, drain), name=f"{self.life.get_name()} leaves")
        return self._leaving

    async def kill(self, reason: str) -> Ended:
        """At once, also where a stop waits for the plugin. Returns when nothing of it is left."""
        incarnation = self.incarnation
        if self._starting or incarnation is None:
            return await asyncio.shield(self.send_off(reason))
        if incarnation.ended:
            return Ended()
        processes = count_processes(incarnation)
        executions = await incarnation.kill(reason)
        await asyncio.wait((self.life,))
        return Ended(executions, processes)

    async def _leave(self, reason: str, drain: timedelta | None) -> Ended:
        """It may have become ready since it was told to."""
        if self._starting:
            return await self._give_up()
        incarnation = self.incarnation
        if incarnation is None or incarnation.ended:
            return Ended()
        processes = count_processes(incarnation)
        try:
            executions = await incarnation.stop(reason, drain)
        except Exception:
            log.exception("%s: its stop failed, and it is killed", incarnation.id)
            executions = await incarnation.kill("after its stop had failed")
        await asyncio.wait((self.life,))
        return Ended(executions, processes)

    async def _give_up(self) -> Ended:
        processes = count_processes(self.incarnation) if self.incarnation is not None else 0
        self.life.cancel()
        await asyncio.wait((self.life,))
        return Ended(processes=processes)


def count_processes(incarnation: Incarnation) -> int:
    """Of a worker's tree, itself included. It is for a sentence: where they cannot be counted, the end goes on.

    By its control group: a walk through all processes of the machine would hold up a kill.
    """
    pid, group = incarnation.status.pid, incarnation.group
    if not pid:
        return 0
    try:
        return (
            len(cgroup.processes(group)) if group is not None else 1 + len(psutil.Process(pid).children(recursive=True))
        )
    except psutil.NoSuchProcess:
        return 0
    except (psutil.Error, OSError):
        return 1
