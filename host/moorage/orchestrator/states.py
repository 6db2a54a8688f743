"""The states of an execution, and how it gets from one to the next. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from moorage.models.execution import (
    Attempt,
    Execution,
    ExecutionState,
    ResourceUse,
    TaskOutcome,
    WorkerFacts,
)

_OUTCOMES = frozenset(state for state in ExecutionState if state.is_outcome)

#: What may follow what. Nothing follows an outcome.
TRANSITIONS: Mapping[ExecutionState, frozenset[ExecutionState]] = {
    # It cannot have crashed a worker before it ran. It fails when no worker can be had; it has succeeded when the
    # attempt before, of which that was not known, turns out to be committed.
    ExecutionState.QUEUED: frozenset(
        {
            ExecutionState.RUNNING,
            ExecutionState.SUCCEEDED,
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


def again(execution: Execution, outcome: TaskOutcome, *, at: datetime, due_at: datetime) -> tuple[Execution, Attempt]:
    """As it is queued for its next attempt, and the attempt that has ended so. Raises TransitionForbidden."""
    _check(execution, outcome.state)
    queued = replace(
        execution,
        state=ExecutionState.QUEUED,
        attempt=execution.attempt + 1,
        due_at=due_at,
        started_at=None,
        worker=None,
        progress=None,
        progress_message="",
    )
    return queued, attempt_of(execution, outcome, at=at)


def attempt_of(execution: Execution, outcome: TaskOutcome, *, at: datetime) -> Attempt:
    """The present attempt, as it ended."""
    return Attempt(
        execution=execution.id,
        number=execution.attempt,
        state=outcome.state,
        started_at=execution.started_at,
        ended_at=at,
        error=outcome.error,
        worker=execution.worker,
    )


def together(one: ResourceUse | None, other: ResourceUse | None) -> ResourceUse | None:
    """What two attempts used; what is not known of one of them is taken from the other."""
    if one is None or other is None:
        return one or other
    seconds = [use.cpu_seconds for use in (one, other) if use.cpu_seconds is not None]
    peaks = [use.peak_memory_bytes for use in (one, other) if use.peak_memory_bytes is not None]
    return ResourceUse(
        cpu_seconds=sum(seconds) if seconds else None,
        peak_memory_bytes=max(peaks, default=None),
        calls=one.calls + other.calls,
        denied=one.denied + other.denied,
        bytes=one.bytes + other.bytes,
    )


def may_follow(state: ExecutionState, wanted: ExecutionState) -> bool:
    return wanted in TRANSITIONS[state]


def _check(execution: Execution, wanted: ExecutionState) -> None:
    if not may_follow(execution.state, wanted):
        raise TransitionForbidden(execution, wanted)
