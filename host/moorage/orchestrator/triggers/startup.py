"""The start of the host: one execution for each."""

from __future__ import annotations

from moorage.clock import Clock, SystemClock
from moorage.orchestrator.triggers.base import Door, Signal
from moorage.orchestrator.triggers.beside import taken


class StartupSource:
    """Brings one signal, with no input but the trigger's own, and is over. Where it is listened to again, because its
    installation was disabled meanwhile for example, that is the same signal.
    """

    def __init__(self, start: str, *, clock: Clock | None = None) -> None:
        """``start``: of this run of the host, and of no other host's or other run."""
        self._start = start
        self._clock = clock or SystemClock()

    async def run(self, door: Door) -> None:
        await taken(door, Signal(self._start, None, "the host has started"), self._clock)
