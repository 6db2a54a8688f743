"""All that is learnt of one worker from outside: whether it answers, what its threads do, and how it died."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psutil

from moorage.clock import Clock
from moorage.models.attachment import Health
from moorage.models.health import Condition
from moorage.models.incarnation import Verdict
from moorage.supervisor import stacks, verdicts
from moorage.supervisor.health import HealthPolicy, HealthWatch, Processing
from moorage.supervisor.launcher import Worker, WorkerOrder
from moorage.supervisor.shard import AttachedWorker
from moorage.supervisor.stacks import DumpCutter, Places, Stack, StackTaker
from moorage.supervisor.verdicts import Evidence
from moorage.telemetry.capture import OutputCapture

_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


class Observer:
    """Made with the incarnation, before its first byte; implements the health watch's Subject."""

    def __init__(
        self,
        order: WorkerOrder,
        capture: OutputCapture,
        policy: HealthPolicy,
        clock: Clock,
        on_change: Callable[[Condition], Awaitable[None]],
        condemn: Callable[[Verdict], Awaitable[None]],
    ) -> None:
        """``condemn`` ends the worker for a verdict: at once when it does not answer, politely otherwise."""
        self._installation = order.installation
        self._capture = capture
        self._worker: Worker | None = None
        self._attached: AttachedWorker | None = None
        self._condemn = condemn
        cutter = DumpCutter()
        capture.divert(cutter.feed)
        places = Places.of(order.code_path, order.code_roots)
        self._taker = StackTaker(cutter, self._ask, capture.plain, places)
        self.watch = HealthWatch(self, policy, clock, on_change)

    def meet(self, worker: Worker, attached: AttachedWorker) -> None:
        """The worker runs from now on."""
        self._worker, self._attached = worker, attached

    async def take_stack(self) -> Stack:
        """What all its threads do; empty when it cannot tell."""
        return Stack() if self._worker is None else await self._taker.take()

    async def start_deadline(self, limit: timedelta) -> Verdict:
        """On a worker that is not ready in time: what it was at is asked before it is killed."""
        return verdicts.start_deadline(limit, await self.take_stack())

    def judged(self, verdict: Verdict, memory: str = "") -> Verdict:
        """After its end and the end of its output; ``memory``: see Evidence."""
        evidence = Evidence(self._capture.tail(verdicts.LINES), self._taker.dying(), memory)
        return verdicts.judged(verdict, evidence)

    # -- Subject -------------------------------------------------------------------------------------------------

    async def health(self, timeout: timedelta) -> Health:
        assert self._attached is not None, "watched from ready on"
        health = await self._attached.health(timeout)
        return replace(health, message=self._capture.plain(health.message))

    async def ping(self, timeout: timedelta) -> float:
        assert self._attached is not None, "watched from ready on"
        return await self._attached.ping(timeout)

    def processing(self) -> Processing:
        assert self._worker is not None, "watched from ready on"
        return processing_of(self._worker.pid)

    async def condemn(self, verdict: Verdict) -> None:
        await self._condemn(verdict)

    def _ask(self) -> bool:
        worker = self._worker
        if worker is None:
            return False
        try:
            handled = stacks.answers(read_proc(worker.pid, "status"))
        except OSError:
            return False
        if handled:
            worker.dump_stacks()
        return handled


def read_proc(pid: int, name: str) -> str:
    """An entry of /proc/PID. In it stands the process's name, which it may change to bytes that are no text.

    Raises OSError when the process is gone.
    """
    return Path(f"/proc/{pid}/{name}").read_text(errors="replace")


def processing_of(pid: int) -> Processing:
    """Raises OSError when the process is gone."""
    if sys.platform == "linux":
        return read_processing(read_proc(pid, "stat"))
    try:
        process = psutil.Process(pid)
        times = process.cpu_times()
        return Processing(times.user + times.system, process.status() == psutil.STATUS_STOPPED)
    except psutil.Error as error:
        raise ProcessLookupError(str(error)) from error


def read_processing(stat: str) -> Processing:
    """Of /proc/PID/stat (proc_pid_stat(5)): state, utime and stime; the name before them may hold anything."""
    fields = stat.rpartition(")")[2].split()
    return Processing((int(fields[11]) + int(fields[12])) / _CLOCK_TICKS, stopped=fields[0] in "Tt")
