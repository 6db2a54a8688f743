"""The zygote's child becomes bwrap, which makes namespaces and a root, and executes the last stage in there."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import NoReturn

from moorage_sandbox import bwrap, hosted, image, plan, wire
from moorage_sandbox.plan import WorkerPlan
from moorage_sandbox.setup import step


def execute(worker: WorkerPlan, zygote: int) -> NoReturn:
    """No path of the host stands in its arguments or its environment."""
    with step("bwrap"):
        hosted.end_with(zygote)
        # What bwrap complains of goes to the host.
        os.dup2(2, wire.STDERR_FD)
        os.dup2(wire.STATUS_FD, 2)
        image.leave_note("".join(f"{option}\0" for option in worker.options).encode(), bwrap.OPTIONS_FD)
        for number, (_, text) in enumerate(worker.etc):
            image.leave_note(text.encode(), bwrap.FIRST_FILE_FD + number)
        last_stage = replace(worker, mounts=(), openings=(), etc=(), wrapper=(), options=())
        image.leave_note(plan.as_json(last_stage), wire.WORKER_PLAN_FD)
        image.bound_thread_stacks()
        command = (*worker.wrapper, "--", *image.call(worker.executable, "wrapped"))
        os.execve(worker.wrapper[0], command, {})  # noqa: S606 - no shell is meant
