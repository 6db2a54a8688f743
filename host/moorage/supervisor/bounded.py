"""A launcher around another: each worker gets its control group and its run record, and leaves neither behind."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
from dataclasses import replace
from datetime import timedelta

from moorage.models.incarnation import Verdict, VerdictKind
from moorage.supervisor import cgroups
from moorage.supervisor.cgroups import Cgroups, Member
from moorage.supervisor.errors import SandboxFailed
from moorage.supervisor.launcher import Launcher, Worker, WorkerOrder
from moorage.supervisor.records import Records, record_of
from moorage_sandbox import cgroup
from moorage_sandbox.cgroup import Bounds, Group
from moorage_sandbox.layers import missing_layer

log = logging.getLogger(__name__)

#: The nice value of workers whose CPU time no control group bounds: a tenth of the host's weight; sched(7).
YIELDING = 10


class Admission:
    """Implements the launcher's Admission for one worker."""

    def __init__(self, order: WorkerOrder, member: Member | None, records: Records, *, yields: bool = False) -> None:
        """``yields``: nothing bounds its CPU time, so it gives way to the host where both want some."""
        self._order = order
        self._member = member
        self._records = records
        self._yields = yields

    @property
    def group(self) -> Group | None:
        return self._member.group if self._member is not None else None

    async def admit(self, pid: int) -> None:
        """Returns when the process is seen in its group and its record is written. Raises SandboxFailed."""
        try:
            await asyncio.to_thread(self._admit, pid)
        except OSError as error:
            raise _refused(error) from error

    def _admit(self, pid: int) -> None:
        order, group = self._order, self.group
        if sys.platform != "linux":  # a start time without /proc proves nothing
            return
        if group is not None:
            cgroups.see_joined(group, pid)
        if self._yields:
            # It has one thread yet; those that it makes, and its children, take after it. Nobody may go back.
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, pid, YIELDING)
        self._records.write(record_of(order.installation, order.number, order.incarnation, pid, group))


class BoundedWorker:
    """Implements the launcher's Worker. Its end is the end of all that lives in its group."""

    def __init__(self, worker: Worker, order: WorkerOrder, member: Member | None, parts: BoundedLauncher) -> None:
        self._worker = worker
        self._order = order
        self._member = member
        self._parts = parts
        #: That the kernel killed one of its processes for its memory; known when it has ended.
        self.out_of_memory = ""
        self._ending = asyncio.create_task(self._end(), name=f"group of {order.incarnation}")

    @property
    def pid(self) -> int:
        return self._worker.pid

    @property
    def sandbox_level(self) -> str:
        return self._worker.sandbox_level

    @property
    def group(self) -> Group | None:
        return self._member.group if self._member is not None else None

    async def wait(self) -> Verdict:
        return await asyncio.shield(self._ending)

    def take_proxy(self) -> socket.socket | None:
        return self._worker.take_proxy()

    def terminate(self) -> None:
        self._worker.terminate()

    def dump_stacks(self) -> None:
        self._worker.dump_stacks()

    def kill(self) -> None:
        # First the one that the launcher knows: it notes that the host wanted it.
        self._worker.kill()
        if self._member is not None and not self._ending.done():
            try:
                self._parts.cgroups.kill(self._member)
            except OSError as error:
                log.warning("%s: its control group could not be killed: %s", self._order.incarnation, error)

    async def _end(self) -> Verdict:
        verdict = await self._worker.wait()
        try:
            return await asyncio.to_thread(self._clean_up, verdict)
        except Exception:
            # It is gone all the same, and whoever waits for its end is told so.
            log.exception("%s: what it left behind could not be cleared away", self._order.incarnation)
            return verdict

    def _clean_up(self, verdict: Verdict) -> Verdict:
        """Evidence first, then nothing of it stays."""
        order, records = self._order, self._parts.records
        by = records.killed_by(order.installation, order.number)
        if self._member is not None:
            self._empty(self._member.group)
            if cgroup.out_of_memory_kills(self._member.group):
                self.out_of_memory = out_of_memory(order.memory_bytes)
            if not self._parts.cgroups.leave(self._member):
                log.error("%s: its control group could not be removed", order.incarnation)
        records.remove(order.installation, order.number)
        if by:
            return replace(verdict, kind=VerdictKind.KILLED_BY_OPERATOR, sentence=f"Killed directly by {by}.")
        if self.out_of_memory and verdict.signal == "SIGKILL":
            return replace(verdict, kind=VerdictKind.OUT_OF_MEMORY, sentence=self.out_of_memory)
        return verdict

    def _empty(self, group: Group) -> None:
        """The kernel's word that the whole tree is gone; what is left of it has no worker any more."""
        if cgroup.populated(group):
            cgroup.kill(group)
            if not cgroup.wait_until_empty(group, cgroups.EMPTY_SECONDS):
                log.error("%s: processes survived SIGKILL: %s", self._order.incarnation, cgroup.processes(group))


class BoundedLauncher:
    """Implements the launcher's contract with another launcher, control groups and run records."""

    def __init__(self, launcher: Launcher, groups: Cgroups, records: Records) -> None:
        self._launcher = launcher
        self.cgroups = groups
        self.records = records

    async def start(self, order: WorkerOrder, *, timeout: timedelta) -> BoundedWorker:
        """See Launcher.start."""
        member = await self._enter(order)
        try:
            # Without a group that bounds them together, each holds to the bound by itself.
            together = member is not None and member.group.folder_of("pids") is not None
            overlapping = order.overlapping if together else 1
            yields = "cpu" not in self.cgroups.available.controllers
            admitted = replace(
                order, admission=Admission(order, member, self.records, yields=yields), overlapping=overlapping
            )
            worker = await self._launcher.start(admitted, timeout=timeout)
        except BaseException:
            await asyncio.shield(asyncio.to_thread(self._give_up, order, member))
            raise
        return BoundedWorker(worker, order, member, self)

    async def close(self) -> None:
        await self._launcher.close()

    async def _enter(self, order: WorkerOrder) -> Member | None:
        bounds = Bounds(order.memory_bytes, order.pids, order.cpus)
        try:
            # Some ten quick calls: a thread would cost more than they do.
            return self.cgroups.enter(order.installation, order.number, _generation(order), bounds)
        except OSError as error:
            raise _refused(error) from error

    def _give_up(self, order: WorkerOrder, member: Member | None) -> None:
        if member is not None:
            if cgroup.populated(member.group):
                cgroup.kill(member.group)
                cgroup.wait_until_empty(member.group, cgroups.EMPTY_SECONDS)
            self.cgroups.leave(member)
        self.records.remove(order.installation, order.number)


def _generation(order: WorkerOrder) -> str:
    """Another version of the code is another generation, where nobody says more."""
    return order.generation or str(order.code_path)


def out_of_memory(memory_bytes: int) -> str:
    """The sentence of a verdict."""
    limit = f"{memory_bytes / 2**20:g} MiB"
    return (
        f"It used more than its {limit} of memory, and the kernel killed it. If it needs more, raise limits.memory in"
        " its manifest."
    )


def _refused(error: OSError) -> SandboxFailed:
    place = f"{error.filename}: " if error.filename else ""
    return SandboxFailed(missing_layer("cgroup", error.errno or 0, f"{place}{error.strerror or error}."), "full")
