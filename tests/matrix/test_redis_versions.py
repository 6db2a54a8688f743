"""The contract suite of the Redis service on every redis-py that is promised, over the kit's fake."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from virtualenvs import ROOT, uv

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(300)]

SUITE = "tests/services/redis/test_contract.py"


@pytest.mark.parametrize("version", ["4.5.0", "5.0.8", "6.4.0", "7.1.0"])
def test_the_contract_holds_on(version: str, tmp_path: Path) -> None:
    uv(
        *("pip", "install", "--no-deps", "--target", tmp_path, "--python", sys.executable),
        *(f"redis=={version}", "async-timeout"),
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", SUITE, "-q", "-k", "fake", "-W", "ignore", "-p", "no:cacheprovider"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
