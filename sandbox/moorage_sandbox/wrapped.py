"""A worker's second life inside of what bwrap made: the last stage, which bwrap does not do."""

from __future__ import annotations

import os

from moorage_sandbox import confine, image, plan, program, syscalls, wire
from moorage_sandbox.inner import InnerPlan
from moorage_sandbox.sealing import failures_reported, seal
from moorage_sandbox.setup import step


def main() -> None:
    os.dup2(wire.STDERR_FD, 2)
    syscalls.close_range(wire.STDERR_FD)
    with failures_reported():
        worker = plan.worker_plan_from(image.read_note(wire.WORKER_PLAN_FD))
        os.umask(0o077)
        with step("limits"):
            confine.set_limits(worker.limits)
        with step("privileges"):
            confine.drop_privileges(worker.uid, worker.gid, change_user=not worker.user_namespace)
        inner = InnerPlan(worker.files, worker.program, worker.filter)
        seal(inner)
    program.run(inner.program)
