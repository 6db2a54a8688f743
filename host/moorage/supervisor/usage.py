"""What workers use, looked at by one task for all of them: at an interval that grows when looking itself takes long."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import psutil

from moorage.clock import Clock, SystemClock, sleep
from moorage.models.installation import InstallationId
from moorage.models.usage import Usage, combined
from moorage.supervisor.processes import processes_of
from moorage_sandbox import cgroup
from moorage_sandbox.cgroup import Group

log = logging.getLogger(__name__)

#: Looking takes at most this part of one core: after a look of 20 ms nobody looks for a second.
SHARE = 0.02
#: Who asks sooner gets the last answer: rates over less say little.
LEAST = timedelta(milliseconds=500)


@dataclass(frozen=True)
class Subject:
    """A worker to look at."""

    installation: InstallationId
    incarnation: str
    pid: int
    group: Group | None
    #: Of its gate, so far.
    calls: int
    denied: int


@dataclass(frozen=True)
class Reading:
    """What one look saw."""

    at: timedelta
    cpu_seconds: float
    memory_bytes: int
    processes: int
    descriptors: int | None
    read_bytes: int | None
    written_bytes: int | None
    calls: int
    denied: int
    #: As the control group counted, between looks too; 0 where nobody does.
    peak_memory_bytes: int = 0


def usage_of(now: Reading, before: Reading | None, peak_memory_bytes: int = 0) -> Usage:
    """Pure. Without an earlier look there are no rates yet."""
    seconds = (now.at - before.at).total_seconds() if before is not None else 0.0

    def rate(amount: float) -> float:
        return max(0.0, amount) / seconds if seconds > 0 else 0.0

    return Usage(
        cpu_percent=rate(100 * (now.cpu_seconds - before.cpu_seconds)) if before is not None else 0.0,
        cpu_seconds=now.cpu_seconds,
        memory_bytes=now.memory_bytes,
        processes=now.processes,
        descriptors=now.descriptors,
        read_bytes=now.read_bytes,
        written_bytes=now.written_bytes,
        peak_memory_bytes=max(peak_memory_bytes, now.peak_memory_bytes, now.memory_bytes),
        calls_per_second=rate(now.calls - before.calls) if before is not None else 0.0,
        denied_per_second=rate(now.denied - before.denied) if before is not None else 0.0,
    )


class UsageSampler:
    """``run`` looks again and again; ``look`` looks now. ``of`` answers from what was seen last."""

    def __init__(
        self, subjects: Callable[[], Sequence[Subject]], interval: timedelta, clock: Clock | None = None
    ) -> None:
        self._subjects = subjects
        self._interval = interval
        self._clock = clock or SystemClock()
        self._readings: dict[str, Reading] = {}
        self._usages: dict[str, Usage] = {}
        self._looking = asyncio.Lock()
        self._looked_at: timedelta | None = None
        self._took = timedelta()

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await sleep(self._clock, max(self._interval, self._took / SHARE))
            try:
                await self.look()
            except Exception:
                log.exception("what workers use could not be looked at")

    async def look(self) -> None:
        """At all workers, unless somebody just has, and there is no new one."""
        async with self._looking:
            began = self._clock.elapsed()
            subjects = self._subjects()
            known = all(subject.incarnation in self._usages for subject in subjects)
            if known and self._looked_at is not None and began - self._looked_at < LEAST:
                return
            readings = await asyncio.to_thread(read_all, subjects, began)
            for name, reading in readings.items():
                before = self._usages.get(name)
                peak = before.peak_memory_bytes if before is not None else 0
                self._usages[name] = usage_of(reading, self._readings.get(name), peak)
            self._readings = readings
            self._usages = {name: self._usages[name] for name in readings}
            self._looked_at = began
            self._took = self._clock.elapsed() - began

    def of(self, incarnations: Iterable[str]) -> Usage | None:
        """Of these together; None while nobody has looked at any of them."""
        return combined(self._usages[name] for name in incarnations if name in self._usages)


def read_all(subjects: Sequence[Subject], at: timedelta) -> dict[str, Reading]:
    """By incarnation; those that have ended meanwhile are left out."""
    readings = {}
    for subject in subjects:
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError, FileNotFoundError):
            readings[subject.incarnation] = read(subject, at)
    return readings


def read(subject: Subject, at: timedelta) -> Reading:
    """Raises psutil.NoSuchProcess when the worker is gone."""
    found = [each for pid in processes_of(subject.pid, subject.group) if (each := _read_process(pid)) is not None]
    if not found:
        raise psutil.NoSuchProcess(subject.pid)
    group = subject.group
    counted = cgroup.cpu_seconds(group) if group is not None else None
    charged = cgroup.memory_bytes(group) if group is not None else None
    proportional = [each.proportional for each in found]
    if None not in proportional:
        memory = sum(each.proportional or 0 for each in found)
    else:
        memory = charged if charged is not None else sum(each.resident for each in found)
    return Reading(
        at=at,
        cpu_seconds=counted if counted is not None else sum(each.cpu_seconds for each in found),
        memory_bytes=memory,
        processes=len(found),
        descriptors=_known(each.descriptors for each in found),
        read_bytes=_known(each.read_bytes for each in found),
        written_bytes=_known(each.written_bytes for each in found),
        calls=subject.calls,
        denied=subject.denied,
        peak_memory_bytes=(cgroup.peak_memory_bytes(group) if group is not None else None) or 0,
    )


@dataclass(frozen=True)
class _Process:
    cpu_seconds: float
    resident: int
    proportional: int | None = None
    descriptors: int | None = None
    read_bytes: int | None = None
    written_bytes: int | None = None


def _read_process(pid: int) -> _Process | None:
    """What the host's user may read of it; None when it is gone."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            times = process.cpu_times()
            found = _Process(times.user + times.system, process.memory_info().rss)
            with contextlib.suppress(psutil.AccessDenied):
                found = replace(found, proportional=process.memory_full_info().pss)
            with contextlib.suppress(psutil.AccessDenied):
                found = replace(found, descriptors=process.num_fds())
            with contextlib.suppress(psutil.AccessDenied):
                counters = process.io_counters()
                found = replace(found, read_bytes=counters.read_bytes, written_bytes=counters.write_bytes)
    except (psutil.NoSuchProcess, ProcessLookupError, FileNotFoundError):
        return None
    return found


def _known(values: Iterable[int | None]) -> int | None:
    found = [value for value in values if value is not None]
    return sum(found) if found else None
