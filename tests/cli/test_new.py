"""The skeleton: it works, and never lands on anything."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from moorage.cli.project import FILES, TEMPLATES
from moorage.errors import ExitCode
from moorage.packages.manifest import read_manifest


@pytest.mark.system
def test_the_skeleton_passes_its_own_tests(moorage, tmp_path):
    result = moorage("new", "Churn.Report", "--into", tmp_path / "plugins")
    assert result.exit_code == 0
    assert "moorage run churn-report" in result.stdout
    folder = tmp_path / "plugins" / "churn-report"

    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


def test_the_skeleton_s_manifest_is_valid(moorage, tmp_path):
    data = json.loads(moorage("new", "churn", "--json").stdout)
    assert data == {"name": "churn", "folder": str(tmp_path / "churn")}
    manifest = read_manifest(tmp_path / "churn")
    assert manifest.entry_point == "churn.plugin:plugin"
    assert [str(right) for right in manifest.required] == ["config.read:**"]


@pytest.mark.parametrize("present", ["folder", "file"])
def test_what_exists_is_left_alone(moorage, tmp_path, present):
    if present == "folder":
        (tmp_path / "churn").mkdir()
        (tmp_path / "churn" / "mine.txt").write_text("precious")
    else:
        (tmp_path / "churn").write_text("precious")
    result = moorage("new", "churn")
    assert result.exit_code == ExitCode.FAILED
    assert "churn exists already" in result.stderr
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", ["3d", "class", "json", "tests", "moorage-sdk", "a b", "../up", "ä", "-x", ""])
def test_names_that_would_not_work(moorage, tmp_path, name):
    result = moorage("new", "--", name)
    assert result.exit_code == ExitCode.INVALID
    assert result.stderr.strip().endswith(".")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written(moorage, tmp_path):
    (tmp_path / "file").write_text("")
    result = moorage("new", "churn", "--into", tmp_path / "file" / "below")
    assert result.exit_code == ExitCode.USAGE
    assert "cannot be made: Not a directory." in result.stderr


def test_every_template_is_used():
    assert {path.name for path in TEMPLATES.iterdir()} == {f"{template}.template" for template in FILES.values()}
