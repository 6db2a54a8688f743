"""A worker's second life when it starts fresh: a new image of the interpreter, still to be sealed."""

from __future__ import annotations

from moorage_sandbox import image, plan, program, wire
from moorage_sandbox.setup import step
from moorage_sandbox.worker import failures_reported, seal


def main() -> None:
    with failures_reported():
        inner = plan.inner_plan_from(image.read_note(wire.WORKER_PLAN_FD))
        with step("limits"):
            image.free_main_stack()
        seal(inner)
    program.run(inner.program)
