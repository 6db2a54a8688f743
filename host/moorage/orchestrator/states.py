"""The states of an execution, and how it gets from one to the next. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from moorage.models.execution import Execution, ExecutionState, TaskOutcome, WorkerFacts

_OUTCOMES = frozenset(state for state in ExecutionState if state.is_outcome)

#: What may follow what. Nothing follows an outcome.
TRANSITIONS: Mapping[ExecutionState, frozenset[ExecutionState]] = {
    # It cannot have succeeded, nor crashed a worker, before it ran. It fails when no worker can be had.
    ExecutionState.QUEUED: frozenset(
        {
            ExecutionState.RUNNING,
            ExecutionState.FAILED,
            ExecutionState.CANCELLED,
            ExecutionState.REJECTED,
            ExecutionState.ABANDONED,
        }
    ),
    # A worker may still reject what it runs: it alone knows the plugin's tasks and their inputs.
    ExecutionState.RUNNING: _OUTCOMES,
    **{outcome: frozenset() for outcome in _OUTCOMES},
}


class TransitionForbidden(ValueError):
    """A bug in the host: the table has no such step."""

    def __init__(self, execution: Execution, wanted: ExecutionState) -> None:
        super().__init__(f"{execution.id} is {execution.state} and cannot become {wanted}")


def started(execution: Execution, *, at: datetime, worker: WorkerFacts) -> Execution:
    """Raises TransitionForbidden."""
    _check(execution, ExecutionState.RUNNING)
    return replace(execution, state=ExecutionState.RUNNING, started_at=at, worker=worker)


def ended(execution: Execution, outcome: TaskOutcome, *, at: datetime) -> Execution:
    """Raises TransitionForbidden."""
    _check(execution, outcome.state)
    if not outcome.state.is_outcome:
        raise TransitionForbidden(execution, outcome.state)
    return replace(execution, state=outcome.state, result=outcome.result, error=outcome.error, ended_at=at)


def may_follow(state: ExecutionState, wanted: ExecutionState) -> bool:
    return wanted in TRANSITIONS[state]


def _check(execution: Execution, wanted: ExecutionState) -> None:
    if not may_follow(execution.state, wanted):
        raise TransitionForbidden(execution, wanted)
