"""A plugin that floods harms itself alone: the short form of ``scripts/neighbours``, without its ratios of time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

NEIGHBOURS = Path(__file__).parents[2] / "scripts" / "neighbours_app"

#: And a part of the sentence that says what became of whoever floods so.
FLOODS = {"empty_lines": "lines", "calls_async": "calls", "queued_parameters": "sent"}


@pytest.mark.timeout(280)
def test_floods_leave_the_host_bounded_and_the_neighbour_served(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    command = [sys.executable, NEIGHBOURS / "neighbours.py", "--only", *FLOODS, "--seconds", "1.5", "--any-ratio"]
    ran = subprocess.run([*command, "--json", figures], check=False, capture_output=True, text=True, timeout=270)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found: dict[str, dict[str, Any]] = {each["flood"]: each for each in json.loads(figures.read_text())}
    assert set(found) == set(FLOODS)
    for name, words in FLOODS.items():
        flood = found[name]
        assert flood["fate"] == "throttled", flood
        assert words in flood["words"]
        assert flood["peak_mib"] < 256
        for calls in (*flood["quiet"], flood["flooded"]):
            assert calls["count"] > 0
            assert calls["failures"] == []


def test_what_does_not_hold_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(NEIGHBOURS))
    import measure
    import neighbours
    from floods import Flood

    def calls(read: float, *failures: str) -> measure.Calls:
        return measure.Calls(100, failures, read, 2 * read, 10 * read)

    def judged(*, by_ratio: bool = True, **figures: Any) -> list[str]:
        found = measure.Measured(Flood("x", "y", frozenset({"disk_full"})), [calls(1.0), calls(1.0)], calls(1.5))
        for name, value in ({"fate": "throttled", "ratio": 1.5} | figures).items():
            setattr(found, name, value)
        return neighbours.judge(found, by_ratio=by_ratio)

    assert measure.ratio_of(calls(3.0), [calls(1.0), calls(2.0)]) == 2.0
    assert judged() == judged(fate="disk_full") == judged(ratio=2.5, by_ratio=False) == []
    assert judged(ratio=2.5) == ["the neighbour's calls took 2.5 times as long"]
    assert judged(flooded=calls(1.0, "it broke")) == ["calls of the neighbour failed: it broke"]
    assert judged(peak_mib=300.0, after_mib=200.0) == ["the host took 300 MiB more", "the host keeps 200 MiB"]
    assert judged(fate="signalled") == ["the flooder's end is not a true one: signalled"]
