"""What one run used of its worker: two looks, one before and one after it. Pure, but for ``look``.

A worker that runs several at one time used it for all of them; nobody can tell whose it was.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from moorage.clock import Clock
from moorage.models.execution import ResourceUse
from moorage.supervisor.processes import stat_of
from moorage_sandbox import cgroup
from moorage_sandbox.cgroup import Group

#: Of /proc/PID/stat, in ticks, from its third field on: of the process itself, and of children that it has waited for.
_CPU_FIELDS = slice(11, 15)

#: The look at the end of one run serves for the beginning of the next: the kernel's own steps of time are no smaller.
YOUNG = timedelta(milliseconds=10)

_PEAK, _NOW = "VmHWM:", "VmRSS:"


@dataclass(frozen=True)
class Figures:
    """At one moment; None: not known."""

    cpu_seconds: float | None = None
    memory_bytes: int | None = None
    #: The most that it ever had.
    peak_memory_bytes: int | None = None


async def look(pid: int, group: Group | None) -> Figures:
    """A handful of small files, read in a thread: the kernel may take its time to add up a control group."""
    return await asyncio.to_thread(_read, pid, group) if pid else Figures()


class Looks:
    """At one worker. Runs that follow each other share the look between them: each costs a way to a thread and back."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._latest = Figures()
        self._at: timedelta | None = None

    async def before(self, pid: int, group: Group | None) -> Figures:
        """As the run begins, or at most ``YOUNG`` before it."""
        if self._at is not None and self._clock.elapsed() - self._at <= YOUNG:
            return self._latest
        return await self.after(pid, group)

    async def after(self, pid: int, group: Group | None) -> Figures:
        """Now."""
        self._latest = await look(pid, group)
        self._at = self._clock.elapsed()
        return self._latest


def used(before: Figures, after: Figures, calls: ResourceUse | None) -> ResourceUse:
    """``calls``: those of the run's scope, if it got that far."""
    seconds = None
    if before.cpu_seconds is not None and after.cpu_seconds is not None:
        seconds = max(0.0, after.cpu_seconds - before.cpu_seconds)
    return replace(calls or ResourceUse(), cpu_seconds=seconds, peak_memory_bytes=_peak(before, after))


def _peak(before: Figures, after: Figures) -> int | None:
    """The highest of all times is this run's if it grew meanwhile; else it had at least what was seen."""
    if (after.peak_memory_bytes or 0) > (before.peak_memory_bytes or 0):
        return after.peak_memory_bytes
    return max((seen for seen in (before.memory_bytes, after.memory_bytes) if seen is not None), default=None)


def _read(pid: int, group: Group | None) -> Figures:
    own = _of_process(pid)
    if group is None:
        return own
    seconds, memory = cgroup.cpu_seconds(group), cgroup.memory_bytes(group)
    if memory is None:
        return replace(own, cpu_seconds=own.cpu_seconds if seconds is None else seconds)
    return Figures(own.cpu_seconds if seconds is None else seconds, memory, cgroup.peak_memory_bytes(group))


def _of_process(pid: int) -> Figures:
    stat = stat_of(pid)
    if stat is None:
        return Figures()
    seconds = sum(map(int, stat[_CPU_FIELDS])) / os.sysconf("SC_CLK_TCK")
    try:
        text = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return Figures(seconds)
    lines = [line.split() for line in text.splitlines()]
    kilobytes = {words[0]: int(words[1]) for words in lines if words and words[0] in (_PEAK, _NOW)}
    found = [kilobytes.get(name) for name in (_NOW, _PEAK)]
    return Figures(seconds, *(None if each is None else 1024 * each for each in found))
