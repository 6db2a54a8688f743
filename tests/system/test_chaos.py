"""Kills at random moments under load: the short form of ``scripts/chaos``."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

CHAOS = Path(__file__).parents[2] / "scripts" / "chaos_app"
KILLS = 50


@pytest.mark.timeout(300)
def test_fifty_kills_lose_nothing_and_leave_nothing() -> None:
    ran = subprocess.run(
        [sys.executable, CHAOS / "chaos.py", "--count", str(KILLS)],
        check=False,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "nothing lost, nothing left behind" in ran.stdout


def test_the_ledger_finds_what_does_not_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(CHAOS))
    import ledger

    states = {"e-1": "succeeded", "e-2": "running", "e-3": "crashed", "e-4": "abandoned"}
    assert ledger.problems(["e-1"], {"e-1": "succeeded"}, Counter({"e-1": 1})) == []
    assert ledger.problems(list(states), states, Counter({"e-1": 2, "e-3": 1, "e-4": 1, "e-9": 1})) == [
        "e-2 has no outcome: it is running",
        "e-1 is succeeded and has 2 effects",
        "e-3 is crashed and has 1 effects",
        "e-9 is unknown and has 1 effects",
    ]
    before, after = Counter({"a.db": 1, "pidfd": 2}), Counter({"a.db": 3, "pidfd": 3, "b.db-wal": 9})
    assert ledger.leaked(before, after) == {"pidfd": 1, "b.db-wal": 9}
    assert ledger.problems(["e-5"], {}, Counter()) == ["e-5 was accepted and is not in the store"]
