"""What cannot be asked of an execution."""

from __future__ import annotations

from moorage.errors import Conflict
from moorage.models.execution import Execution, ExecutionRequest


class KeyTaken(Conflict):
    code = "key_taken"

    def __init__(self, request: ExecutionRequest, taken: Execution) -> None:
        super().__init__(
            f"The key {request.key!r} belongs to {taken.id}, a run of {taken.installation} {taken.task}. A key stands "
            f"for one run; give the run of {request.installation} {request.task} another one."
        )


class ExecutionOpen(Conflict):
    code = "execution_open"

    def __init__(self, execution: Execution) -> None:
        super().__init__(
            f"{execution.id} is still {execution.state}, and only what has ended is retried. Wait for it, or end it: "
            f"moorage cancel {execution.id}"
        )


class RunsElsewhere(Conflict):
    code = "runs_elsewhere"

    def __init__(self, execution: Execution) -> None:
        super().__init__(
            f"{execution.id} runs on the host {execution.host}, and that host alone can cancel it. Ask there."
        )
