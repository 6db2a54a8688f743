"""Listening to one source: it is made and run, and again after a backoff when it fails, until nobody wants it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Protocol

from moorage.clock import Clock, sleep
from moorage.models.trigger import TriggerId
from moorage.orchestrator.triggers.base import Door, NotNow, Source, SourceFailed
from moorage.owned import OwnedTasks
from moorage.store.errors import StoreFailed

log = logging.getLogger(__name__)

#: Before a source that failed is made again: the first wait, doubled up to the last, and jittered.
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=1), timedelta(minutes=1)

#: A source that runs for so long without failing works: its problem is over, and the next pause is the first again.
SETTLED = timedelta(seconds=10)

#: How long the end of a source may take that is to end; then it is left to itself, and said so.
STOP = timedelta(seconds=10)

#: How often a host looks whether a source has become free that another host listens to.
LOOK = timedelta(seconds=2)

#: Of sources, made anew for each time that they are listened to.
Make = Callable[[], Source]


class Claims(Protocol):
    """The store's, of sources that one host alone may listen to."""

    async def claim(self, trigger: TriggerId) -> bool:
        """False: another host has it."""

    async def release(self, trigger: TriggerId) -> None: ...


@dataclass
class Listening:
    """One trigger's, from ``start`` to ``stop``."""

    trigger: TriggerId
    make: Make
    #: Gives the door that signals are brought to; calls back when one is in.
    door: Callable[[Callable[[], None]], Door]
    clock: Clock
    #: Is told why it does not work, and with an empty sentence that it does again.
    tell: Callable[[TriggerId, str], Awaitable[None]]
    #: Of a source that one host alone may listen to; None: all hosts may.
    claims: Claims | None = None
    random: Random = field(default_factory=Random)
    #: Why it does not work at present; empty: it does.
    problem: str = ""
    #: It has said that there can be no more signals.
    is_over: bool = False
    _task: asyncio.Task[None] | None = None
    _tasks: OwnedTasks = field(default_factory=OwnedTasks)

    def start(self) -> None:
        self._task = self._tasks.start(self._listen(), f"trigger {self.trigger}")

    async def stop(self, bound: timedelta = STOP) -> bool:
        """Returns when it has ended; False: it has not in time. What it had not acknowledged comes again."""
        if self._task is None:
            return True
        self._task.cancel()
        await asyncio.wait((self._task,), timeout=bound.total_seconds())
        if not self._task.done():
            log.error(
                "%s: its source has not ended within %g s and is left behind", self.trigger, bound.total_seconds()
            )
        return self._task.done()

    def works(self) -> None:
        """A signal has come in, or time has passed without a failure."""
        if self.problem:
            self._tasks.start(self._told(""), f"trigger {self.trigger} works")

    async def _listen(self) -> None:
        pause = FIRST_PAUSE
        while not self.is_over:
            began = self.clock.elapsed()
            sentence = await self._attempt()
            if self.clock.elapsed() - began >= SETTLED:
                pause = FIRST_PAUSE
            if sentence:
                await self._told(sentence)
            if not self.is_over:
                await sleep(self.clock, pause * (0.5 + self.random.random() / 2))
                pause = min(2 * pause, LONGEST_PAUSE)

    async def _attempt(self) -> str:
        """One source's whole life. Returns why it ended, where that is a problem."""
        try:
            await self._claimed()
            settled = self.clock.call_later(SETTLED, self.works)
            try:
                await self.make().run(self.door(self.works))
                self.is_over = True
            finally:
                settled.cancel()
                await self._released()
        except (SourceFailed, StoreFailed) as error:
            return str(error)
        except NotNow:
            return ""
        except Exception as error:
            log.exception("%s: its source failed", self.trigger)
            return f"The source of {self.trigger} failed: {type(error).__name__}. The host's log has more."
        return ""

    async def _claimed(self) -> None:
        while self.claims is not None and not await self.claims.claim(self.trigger):
            await sleep(self.clock, LOOK)

    async def _released(self) -> None:
        if self.claims is not None:
            # Also while it is cancelled: another host may have it at once, and not only when this one's lease is out.
            await asyncio.shield(self._tasks.start(self.claims.release(self.trigger), f"release {self.trigger}"))

    async def _told(self, sentence: str) -> None:
        if sentence == self.problem:
            return
        self.problem = sentence
        try:
            await self.tell(self.trigger, sentence)
        except StoreFailed as error:
            log.warning("%s: what is wrong with it was not stored: %s", self.trigger, error)
