"""An installation's state in one word, and the sentence to it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from moorage.app.shown import state_of
from moorage.models.installation import DesiredState, Installation
from moorage.models.manifest import Manifest


def test_a_start_that_came_to_no_worker_says_why():
    manifest = Manifest("churn", "1.0.0", "churn:plugin")
    churn = Installation("churn", manifest, Path(), Path(), "abc", ("",), "key", desired=DesiredState())
    assert state_of(churn, (), ()) == ("stopped", "")
    assert state_of(churn, (), (), problem="It is full.") == ("stopped", "It is full.")
    rest = timedelta(seconds=2)
    assert state_of(churn, (), (), rest=rest, problem="It is full.") == (
        "restarting",
        "It is full. It is started again in 2.0 s.",
    )
