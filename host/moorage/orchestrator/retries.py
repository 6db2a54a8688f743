"""Whether an execution is tried again, and when. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta

from moorage.models.execution import Execution, ExecutionState, TaskOutcome
from moorage.models.incarnation import VerdictKind
from moorage.models.policy import RunPolicy
from moorage.orchestrator.outcomes import HOST_STOPPED

#: After these another try may go better. A rejection stays one, and a cancellation was somebody's wish.
RETRIED = frozenset({ExecutionState.FAILED, ExecutionState.TIMED_OUT, ExecutionState.CRASHED})

#: Cancellations that were nobody's wish for this execution: its host or its worker was stopped while it ran.
INTERRUPTED = frozenset({HOST_STOPPED, VerdictKind.PLANNED_STOP.value})

#: Attempts of an idempotent execution whose hosts die under it, lest it be what kills them.
MOST_ATTEMPTS = 10

#: Of a delay, at least this part; the rest is left to chance, so that those that failed together do not come together.
_STEADY = 0.5


def most_attempts(execution: Execution, policy: RunPolicy) -> int:
    return execution.attempts if execution.attempts is not None else 1 + policy.retries


def after(
    execution: Execution, outcome: TaskOutcome, policy: RunPolicy, chance: Callable[[], float] = random.random
) -> timedelta | None:
    """How long it waits for its next attempt after this one ended so; None: there is none."""
    if outcome.state in RETRIED and execution.attempt < most_attempts(execution, policy):
        return backoff(execution.attempt, policy, chance)
    interrupted = outcome.state is ExecutionState.CANCELLED and outcome.error and outcome.error.type in INTERRUPTED
    if interrupted and outlives(execution, policy):
        return timedelta(0)
    return None


def outlives(execution: Execution, policy: RunPolicy) -> bool:
    """Whether it is tried again when the host ended while it ran, and what it did is not known to be committed."""
    most = most_attempts(execution, policy)
    if policy.idempotent:
        most = max(most, MOST_ATTEMPTS)
    return (policy.idempotent or execution.patient) and execution.attempt < most


def backoff(attempt: int, policy: RunPolicy, chance: Callable[[], float] = random.random) -> timedelta:
    """After the attempt of this number, from 1 on. ``chance`` gives 0.0 to 1.0."""
    # Doubled more often it is a number of no use.
    doubled = policy.backoff_first.total_seconds() * 2.0 ** min(attempt - 1, 64)
    seconds = min(doubled, policy.backoff_most.total_seconds())
    return timedelta(seconds=seconds * (_STEADY + (1 - _STEADY) * chance()))
