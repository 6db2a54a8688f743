"""An installation's state in one word, the sentence to it, and what to do next."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from moorage.app.shown import state_of
from moorage.app.why import _became, _meanwhile, next_step
from moorage.models.incarnation import IncarnationState, IncarnationStatus, Verdict, VerdictKind
from moorage.models.installation import DesiredState, Installation
from moorage.models.manifest import Manifest
from moorage.models.views import GrantView, InstallationView
from moorage.models.why import RunningExecution

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
DIED = NOW - timedelta(minutes=5)
CHURN = Installation(
    "churn", Manifest("churn", "1.0.0", "churn:plugin"), Path(), Path(), "abc", ("",), "key", desired=DesiredState()
)
CRASH = Verdict(VerdictKind.SIGNALLED, "A memory error.")
DEAD = IncarnationStatus(
    "churn-1", 1, "churn", IncarnationState.STOPPED, 1, "zygote", "full", DIED, stopped_at=DIED, verdict=CRASH
)


def seen(state: str, reason: str = "", *incarnations: IncarnationStatus) -> InstallationView:
    return InstallationView(CHURN, state, reason, (), incarnations, (), None)


def test_a_start_that_came_to_no_worker_says_why() -> None:
    assert state_of(CHURN, (), ()) == ("stopped", "")
    assert state_of(CHURN, (), (DEAD,)) == ("stopped", "A memory error.")
    assert state_of(CHURN, (), (DEAD,), problem="It is full.") == ("stopped", "It is full.")
    rest = timedelta(seconds=2)
    assert state_of(CHURN, (), (), rest=rest, problem="It is full.") == (
        "restarting",
        "It is full. It is started again in 2.0 s.",
    )


def test_of_many_missing_rights_some_are_named() -> None:
    missing = [GrantView(f"sql.read:t{number}", "", required=True, granted=False) for number in range(5)]
    assert state_of(CHURN, missing[:1], ()) == (
        "not granted",
        "It requires sql.read:t0. moorage grant churn --required",
    )
    assert state_of(CHURN, missing, ()) == (
        "not granted",
        "It requires sql.read:t0, sql.read:t1, sql.read:t2 and 2 more. moorage grant churn --required",
    )


def test_whatever_does_not_run_has_a_next_step() -> None:
    assert "moorage start churn" in next_step(seen("stopped"))
    assert "pin the library" in next_step(seen("stopped", "A memory error.", DEAD))
    assert "pin the library" in next_step(seen("quarantined", "It died 5 times.", DEAD))
    # These have it in their reason, and what it died of before is no matter.
    assert next_step(seen("stopped", "It is full. Make room.", DEAD)) == ""
    assert next_step(seen("disabled", "It was disabled. moorage enable churn", DEAD)) == ""


def test_what_runs_has_one_while_it_works_or_has_died_lately() -> None:
    work = (RunningExecution("e-1", "execute", DIED),)
    assert "moorage stack churn   End it: moorage cancel e-1" in _meanwhile(seen("ready"), work, NOW)
    assert "pin the library" in _meanwhile(seen("ready", "", DEAD), (), NOW)
    assert _meanwhile(seen("ready", "", DEAD), (), NOW + timedelta(hours=1)) == ""
    assert _meanwhile(seen("disabled", "", DEAD), (), NOW) == ""
    assert _meanwhile(seen("ready"), (), NOW) == ""


def test_a_death_looks_for_the_change_before_it_and_a_persons_word_for_the_newest() -> None:
    assert _became(seen("quarantined", "", DEAD), NOW) == DIED
    assert _became(seen("disabled", "", DEAD), NOW) == NOW
    assert _became(seen("stopped"), NOW) == NOW


def test_everything_that_is_switched_off_says_so_unless_it_may_not_run_anyway() -> None:
    off = replace(CHURN, desired=DesiredState(switched_off="switched off by dana: maintenance"))
    assert state_of(off, (), ()) == (
        "switched off",
        "Everything is switched off by dana: maintenance. moorage switch on",
    )
    held = replace(off, desired=replace(off.desired, held_reason="broken", held_by="ada"))
    assert state_of(held, (), ())[0] == "held"
