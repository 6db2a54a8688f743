"""A worker's second life when it starts fresh: a new image of the interpreter, still to be sealed."""

from __future__ import annotations

from moorage_sandbox import image, program, wire
from moorage_sandbox.inner import inner_plan_from
from moorage_sandbox.sealing import failures_reported, seal
from moorage_sandbox.setup import step


def main() -> None:
    with failures_reported():
        inner = inner_plan_from(image.read_note(wire.WORKER_PLAN_FD))
        with step("limits"):
            image.free_main_stack()
        seal(inner)
    program.run(inner.program)
