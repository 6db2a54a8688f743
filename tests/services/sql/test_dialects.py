"""A cross-section of SQLAlchemy's own suite for dialects, against both of ours; ``scripts/dialects`` runs all of it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

PROGRAM = Path(__file__).parents[3] / "scripts" / "dialects_app" / "dialects.py"


@pytest.mark.parametrize(("database", "driver"), [("sqlite", "sync"), ("postgresql", "async")])
def test_the_suite_passes(database: str, driver: str):
    done = subprocess.run(
        [sys.executable, PROGRAM, database, "--driver", driver, "--short"],
        capture_output=True,
        check=False,
        text=True,
        timeout=170,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    told = re.search(rf"dialects: {database}, {driver}: (\d+) passed, 0 failed; excluded: ", done.stdout)
    assert told is not None, done.stdout
    assert int(told[1]) > 400
