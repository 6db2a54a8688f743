"""The host killed between a commit and the record of its outcome: the short form of ``scripts/commits``."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

CHAOS = Path(__file__).parents[2] / "scripts" / "chaos_app"
KILLS = 5


@pytest.mark.timeout(200)
def test_commit_and_outcome_agree_when_the_host_dies_between_the_two() -> None:
    ran = subprocess.run(
        [sys.executable, CHAOS / "commits.py", "--count", str(KILLS)],
        check=False,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"between commit and outcome       {KILLS}" in ran.stdout


def test_what_disagrees_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(CHAOS))
    import commits

    states = {"e-1": "succeeded", "e-2": "abandoned", "e-3": "succeeded"}
    assert commits.disagreements({"e-1": "succeeded", "e-2": "abandoned"}, {"e-1"}, Counter({"e-1": 1})) == []
    assert commits.disagreements(states, {"e-1", "e-2", "e-9"}, Counter({"e-1": 2, "e-2": 1})) == [
        "e-2 is abandoned, and was committed",
        "e-9 is unknown, and was committed",
        "e-2 is abandoned, and has its effect",
        "e-1 succeeded, and has 2 effects",
        "e-3 succeeded, and has 0 effects",
    ]
