"""Whose turn it is among all installations. Pure."""

from __future__ import annotations

from collections import OrderedDict
from datetime import timedelta

from moorage.models.installation import InstallationId
from moorage.orchestrator.line import Line


class Turns:
    """Round robin: with few places to run in, each installation that waits has one turn before any has two."""

    def __init__(self, most: int | None = None) -> None:
        """``most``: executions that run at one time, of all installations together; None: as many as the lines let."""
        self.most = most
        self.lines: dict[InstallationId, Line] = {}
        #: Those that may have something to begin, in the order of their turns.
        self._ready: OrderedDict[InstallationId, None] = OrderedDict()
        self._running = 0
        #: Those whose rate lets nothing begin, and when it will.
        self._held_up: dict[InstallationId, timedelta] = {}

    def look(self, installation: InstallationId) -> None:
        """Something has changed that may let one of it begin."""
        self._ready.setdefault(installation, None)

    def begin(self, now: timedelta) -> tuple[InstallationId, str] | None:
        """The next execution that begins, which runs from now on; None: nobody's turn."""
        while self._ready and (self.most is None or self._running < self.most):
            installation, _ = self._ready.popitem(last=False)
            line = self.lines[installation]
            execution = line.begin(now)
            if execution is not None:
                self._ready[installation] = None
                self._running += 1
                return installation, execution
            if line.waits and (at := line.rate_allows_at(now)) > now:
                self._held_up[installation] = at
        return None

    def take_held_up(self) -> tuple[tuple[InstallationId, timedelta], ...]:
        """Those that somebody has to ``look`` at again at these times; each is told once."""
        held_up, self._held_up = tuple(self._held_up.items()), {}
        return held_up

    def done(self, installation: InstallationId, execution: str) -> None:
        """It runs no more."""
        self.lines[installation].done(execution)
        self._free(installation)

    def back(self, installation: InstallationId, execution: str) -> None:
        """It could not run after all, and waits again, before all others of its installation."""
        self.lines[installation].back(execution)
        self._free(installation)

    def _free(self, installation: InstallationId) -> None:
        self._running -= 1
        self.look(installation)
