"""The short forms of scripts/reloads and scripts/rolling, which print the same figures for as many as one likes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


def figures(script: str, count: int, folder: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, SCRIPTS / f"{script}_app" / f"{script}.py", "--count", str(count), "--json", "figures.json"],
        cwd=folder, capture_output=True, text=True, timeout=170, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads((folder / "figures.json").read_text())
    return found


@pytest.mark.timeout(180)
def test_reloads_under_load_lose_nothing(tmp_path: Path) -> None:
    found = figures("reloads", 6, tmp_path)
    assert found["failed or lost calls"] == 0, found["errors"]
    assert found["reloads"] == found["states handed over"] == 6
    # Work was in flight, or this shows nothing.
    assert found["executions drained"] > 6
    assert found["beside: no start allowed, ms"] == "median 0.0, longest 0.0"


@pytest.mark.timeout(180)
def test_rolling_restarts_under_load_lose_nothing(tmp_path: Path) -> None:
    found = figures("rolling", 3, tmp_path)
    assert (found["lost"], found["not succeeded"]) == (0, 0)
    assert (found["done twice"], found["succeeded and not done"], found["done and not succeeded"]) == (0, 0, 0)
    assert found["left to the next host"] > 0
    assert found["succeeded"] > 20
