from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.models.execution import Execution, ExecutionState, TaskOutcome
from moorage.orchestrator import states

from .conftest import FACTS

NOW = datetime(2026, 11, 20, tzinfo=UTC)
QUEUED = Execution("e-1", "churn", "churn", "1", "execute", "manual", ExecutionState.QUEUED, NOW)


def test_the_table_speaks_of_every_state() -> None:
    assert set(states.TRANSITIONS) == set(ExecutionState)


def test_nothing_follows_an_outcome() -> None:
    for state in ExecutionState:
        assert bool(states.TRANSITIONS[state]) is not state.is_outcome


def test_nothing_is_queued_again() -> None:
    assert not any(ExecutionState.QUEUED in following for following in states.TRANSITIONS.values())


@pytest.mark.parametrize(("state", "wanted"), list(itertools.product(ExecutionState, ExecutionState)))
def test_only_what_the_table_has_is_done(state: ExecutionState, wanted: ExecutionState) -> None:
    execution = replace(QUEUED, state=state)
    if wanted.is_outcome and states.may_follow(state, wanted):
        ended = states.ended(execution, TaskOutcome(wanted, result=1), at=NOW)
        assert (ended.state, ended.ended_at, ended.result) == (wanted, NOW, 1)
    else:
        with pytest.raises(states.TransitionForbidden, match=f"is {state} and cannot become {wanted}"):
            states.ended(execution, TaskOutcome(wanted), at=NOW)


@given(st.lists(st.sampled_from(list(ExecutionState)), max_size=8))
def test_whatever_is_tried_there_is_at_most_one_outcome(tried: list[ExecutionState]) -> None:
    execution, outcomes = QUEUED, 0
    for state in tried:
        try:
            if state is ExecutionState.RUNNING:
                execution = states.started(execution, at=NOW, worker=FACTS)
            else:
                execution = states.ended(execution, TaskOutcome(state), at=NOW)
                outcomes += 1
        except states.TransitionForbidden:
            continue
    assert outcomes <= 1
    assert execution.state.is_outcome == bool(outcomes)
