"""Servers, hosts and workers that go away while messages come in: the short form of ``scripts/outages``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

OUTAGES = Path(__file__).parents[2] / "scripts" / "outages_app"
COUNT = 10


@pytest.mark.timeout(400)
def test_ten_outages_lose_no_message_and_do_none_twice() -> None:
    ran = subprocess.run(
        [sys.executable, OUTAGES / "outages.py", "--count", str(COUNT), "--seed", "1"],
        check=False,
        capture_output=True,
        text=True,
        timeout=380,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "nothing lost, nothing done twice" in ran.stdout


def test_what_was_lost_or_done_twice_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(OUTAGES))
    import outage_tally

    good = outage_tally.verdict({"a"}, [("a", "e-1", 2)], [("e-1", "succeeded", "orders/0/1", 2)])
    assert not any(good.values())

    entries = [("a", "e-1", 1), ("a", "e-2", 1), ("b", "e-3", 3)]
    executions = [(one, state, "", 1) for one, state in (("e-1", "succeeded"), ("e-2", "failed"), ("e-3", "running"))]
    found = outage_tally.verdict({"a", "b", "c"}, entries, [*executions, ("e-4", "succeeded", "", 1)])
    assert found == {
        "messages lost": 1,
        "messages done twice": 1,
        "messages with two executions": 1,
        "executions without one outcome": 1,
        "done and not succeeded": 2,
        "succeeded and not done": 1,
        "attempts not marked": 1,
    }
