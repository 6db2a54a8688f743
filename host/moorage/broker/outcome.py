"""From what a worker answered to how its execution ended. Pure."""

from __future__ import annotations

from moorage.models.execution import ExecutionError, ExecutionState, TaskOutcome
from moorage_proto import error_pb2
from moorage_proto.errors import CallError, Reason

_STATES = {
    Reason.DEADLINE_EXCEEDED: ExecutionState.TIMED_OUT,
    Reason.CANCELLED: ExecutionState.CANCELLED,
    Reason.LINK_CLOSED: ExecutionState.CRASHED,
    Reason.PROTOCOL_VIOLATION: ExecutionState.CRASHED,
    Reason.TASK_UNKNOWN: ExecutionState.REJECTED,
    Reason.REQUEST_INVALID: ExecutionState.REJECTED,
}


def from_error(error: CallError) -> TaskOutcome:
    """The outcome of a run that ended with an error frame, or with the link."""
    state = _STATES.get(error.reason, ExecutionState.FAILED)
    task = error.task
    return TaskOutcome(
        state,
        error=ExecutionError(
            type=task.type if task is not None else error_pb2.Reason.Name(error.reason).lower(),
            message=error.message,
            traceback=task.traceback if task is not None else "",
            remedy=error.remedy,
        ),
    )
