"""What may be wanted of an installation, and what follows: the table."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.events.events import DesiredChanged, Disabled, Enabled, Held, Quarantined, Released
from moorage.models.installation import DesiredState
from moorage.supervisor import desired
from moorage.supervisor.desired import (
    MOST_REPLICAS,
    Change,
    Disable,
    Enable,
    Hold,
    Quarantine,
    Release,
    ReplicasInvalid,
    Resume,
    Scale,
)

TEXTS = st.text(max_size=5)
CHANGES: st.SearchStrategy[Change] = st.one_of(
    st.builds(Enable, TEXTS),
    st.builds(Disable, TEXTS),
    st.builds(Hold, TEXTS, by=TEXTS),
    st.builds(Release, TEXTS),
    st.builds(Quarantine, TEXTS),
    st.builds(Resume, TEXTS),
    st.builds(Scale, TEXTS, replicas=st.integers(1, MOST_REPLICAS)),
)


def reached(changes: list[Change]) -> DesiredState:
    state = DesiredState()
    for change in changes:
        state = desired.after(state, change)
    return state


@given(st.lists(CHANGES, max_size=8), CHANGES)
def test_a_change_made_twice_is_made_once(before: list[Change], change: Change) -> None:
    once = desired.after(reached(before), change)
    assert desired.after(once, change) == once
    assert desired.reason_of(change)


@given(st.lists(CHANGES, max_size=8))
def test_whoever_releases_and_enables_may_run_again(changes: list[Change]) -> None:
    state = reached([*changes, Release(), Enable()])
    assert state.runnable
    assert desired.obstacle("churn", state) == ""


@given(st.lists(CHANGES, max_size=8))
def test_what_may_not_run_says_why_and_what_to_do(changes: list[Change]) -> None:
    state = reached(changes)
    assert bool(desired.obstacle("churn", state)) is not state.runnable
    if not state.runnable:
        assert "moorage " in desired.obstacle("churn", state)
        assert desired.stop_reason(state)


@given(st.lists(CHANGES, max_size=8), st.sampled_from([Enable(), Disable(), Scale(replicas=3), Resume()]))
def test_only_a_release_ends_a_hold(changes: list[Change], change: Change) -> None:
    held = desired.after(reached(changes), Hold("INC-4711", by="dana"))
    assert desired.after(held, change).held_reason == "INC-4711"
    assert desired.after(held, Release()).held_reason == ""


def test_other_code_ends_a_quarantine_and_no_hold() -> None:
    state = reached([Hold("INC-4711"), Quarantine("it died"), Resume()])
    assert (state.quarantined, state.held_reason) == ("", "INC-4711")


@pytest.mark.parametrize("replicas", [-1, 0, MOST_REPLICAS + 1])
def test_a_number_of_workers_has_its_bounds(replicas: int) -> None:
    with pytest.raises(ReplicasInvalid, match="1 to 64"):
        desired.after(DesiredState(), Scale(replicas=replicas))


@given(st.lists(CHANGES, max_size=8))
def test_while_everything_is_switched_off_nothing_may_run_and_that_is_said_first(changes: list[Change]) -> None:
    state = replace(reached([*changes, Release(), Enable()]), switched_off="switched off by dana: maintenance")
    assert not state.runnable
    assert desired.obstacle("churn", state).startswith("everything is switched off by dana: maintenance. Switch it on:")
    assert desired.stop_reason(state) == "everything is switched off by dana: maintenance"
    # No change of one installation switches it on.
    for change in changes:
        assert desired.after(state, change).switched_off == state.switched_off


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (Enable(), Enabled),
        (Disable(), Disabled),
        (Hold("why", by="dana"), Held),
        (Release(), Released),
        (Resume(), Released),
        (Quarantine("It died."), Quarantined),
        (Scale(replicas=2), DesiredChanged),
    ],
)
def test_each_change_is_told_by_its_own_class(change: Change, kind: type[DesiredChanged]) -> None:
    before = DesiredState(enabled=False, held_reason="x", held_by="y", quarantined="z")
    after = desired.after(before, change)
    told = desired.announced("churn", before, after, change, "dana")
    assert type(told) is kind
    assert (told.installation, told.before, told.after, told.by) == ("churn", before, after, "dana")
    assert told.reason
