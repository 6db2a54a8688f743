"""A forked worker's way into its sandbox: steps 1 to 9, in an order in which each still has what it needs."""

from __future__ import annotations

import fcntl
import gc
import os
from typing import Sequence

from moorage_sandbox import confine, hosted, image, init, loopback, namespaces, plan, program, syscalls, wire, wrapping
from moorage_sandbox.inner import InnerPlan
from moorage_sandbox.mounts import finish_root
from moorage_sandbox.plan import WorkerPlan
from moorage_sandbox.sealing import failures_reported, seal
from moorage_sandbox.setup import step
from moorage_sandbox.syscalls import (
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWUTS,
    sethostname,
    unshare,
)

_OTHER_NAMESPACES = CLONE_NEWCGROUP | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWUTS
#: Above all descriptors that are moved to their places.
_HIGH_FD = 64


def main(fds: Sequence[int], zygote: int) -> None:
    """Returns when the worker's entry has returned.

    ``fds``: plan, start record, stdout, stderr, status. ``zygote``: its pid, as seen by a worker without namespaces.
    """
    _place_descriptors(fds)
    with failures_reported():
        worker = plan.worker_plan_from(image.read_note(wire.WORKER_PLAN_FD))
        if worker.level == "full-bwrap":
            wrapping.execute(worker, zygote)
        if worker.level == "restricted":
            hosted.enter(worker, zygote)
        else:
            enter(worker)
        inner = InnerPlan(worker.files, worker.program, worker.filter, worker.proxy_port)
        if worker.start == "fresh":
            with step("interpreter"):
                image.leave_note(plan.as_json(inner), wire.WORKER_PLAN_FD)
                image.execute(worker.executable, worker.library_path, "fresh", worker.program.sdk)
        seal(inner)
    gc.enable()
    program.run(inner.program)


def _place_descriptors(fds: Sequence[int]) -> None:
    raised = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _HIGH_FD) for fd in fds]
    places = (wire.WORKER_PLAN_FD, 0, 1, 2, wire.STATUS_FD)
    for fd, place in zip(raised, places):
        os.dup2(fd, place)
    syscalls.close_range(wire.PROC_FD + 1)


def enter(worker: WorkerPlan) -> None:
    """Own namespaces, own root, own limits, no privileges."""
    in_userns = worker.user_namespace
    with step("namespaces"):
        unshare(CLONE_NEWNS if in_userns else CLONE_NEWNS | _OTHER_NAMESPACES)
    if worker.init:
        init.fork_plugin(worker)
    with step("mounts"):
        # In the zygote's user namespace the host's user is 0.
        owner = (0, 0) if in_userns else (worker.uid, worker.gid)
        finish_root(worker, *owner)
    if in_userns:
        # Made after the mounts: those of a namespace that is copied into a new user namespace are locked.
        with step("user namespace"):
            namespaces.enter_user_namespace(wire.PROC_FD, worker.uid, worker.gid)
        with step("namespaces"):
            unshare(_OTHER_NAMESPACES)
    if worker.proxy_port:
        with step("loopback"):
            loopback.listen()
    with step("host name"):
        sethostname(worker.host_name)
    os.close(wire.PROC_FD)
    os.umask(0o077)
    with step("limits"):
        confine.set_limits(worker.limits)
    with step("privileges"):
        confine.drop_privileges(worker.uid, worker.gid, change_user=not in_userns)
