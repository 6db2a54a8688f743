"""A worker without namespaces: it stays on the host's file system, and its zygote's death is its own."""

from __future__ import annotations

import os
import signal

from moorage_sandbox import confine, syscalls, wire
from moorage_sandbox.plan import WorkerPlan
from moorage_sandbox.setup import step


def enter(worker: WorkerPlan, zygote: int) -> None:
    """Own limits, no privileges and, as root, another user. What remains is the seal: Landlock and the filter."""
    os.close(wire.PROC_FD)
    os.umask(0o077)
    as_root = os.geteuid() == 0
    with step("limits"):
        confine.set_limits(worker.limits)
    with step("privileges"):
        confine.drop_privileges(worker.uid, worker.gid, change_user=as_root, empty_bounding_set=as_root)
    with step("zygote"):
        end_with(zygote)


def end_with(zygote: int) -> None:
    """From now on the kernel kills this process when its zygote dies. A change of user would undo it: not before.

    The zygote has one thread, so its "parent thread" (PR_SET_PDEATHSIG(2const)) lives as long as it does. The filter
    keeps the worker from taking it back.
    """
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != zygote:
        raise RuntimeError("the zygote ended before its worker could be bound to it")
