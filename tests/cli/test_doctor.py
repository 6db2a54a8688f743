"""What doctor finds, on this machine and on worse ones."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from moorage.cli import checks
from moorage.cli.checks import Grade
from moorage.config.services.sql import SqlBackend, SqlMode
from moorage.config.settings import EnvironmentSettings
from moorage.environments.interpreters import Interpreter
from moorage.errors import ExitCode
from moorage_sandbox.report import MissingLayer, SandboxReport

MISSING = MissingLayer(
    "landlock", 95, "landlock answered EOPNOTSUPP.", "There is no second layer.", "Use a newer kernel."
)


@pytest.mark.system
def test_on_this_machine_without_a_host(moorage, tmp_path, monkeypatch):
    monkeypatch.delenv("MOORAGE_SOCKET")
    (tmp_path / "moorage.toml").write_text('state_dir = "state"\nsandbox.require = "none"\n')
    result = moorage("doctor")
    assert result.exit_code == 0
    for part in ("Python", "uv", "interpreters", "state folder", "run folder", "The level is ", "No host answers"):
        assert part in result.stdout
    assert "Plugins can run here." in result.stdout
    data = json.loads(moorage("doctor", "--json").stdout)
    assert data["ok"] is True
    assert {"name", "grade", "finding", "consequence", "remedy"} <= data["checks"][0].keys()
    assert not (tmp_path / "state").exists()


def test_wrong_settings_are_a_finding(moorage, tmp_path):
    (tmp_path / "moorage.toml").write_text("sandbx = 1\n")
    result = moorage("doctor")
    assert result.exit_code == ExitCode.CONFIG
    assert "did you mean 'sandbox'?" in result.stdout
    assert json.loads(moorage("doctor", "--json").stdout)["ok"] is False


def test_a_level_below_what_is_required_is_bad_and_says_what_is_missing():
    report = SandboxReport("restricted", {"seccomp": "filter"}, (MISSING,))
    level, missing = checks.check_sandbox(report, "full")
    assert (level.grade, level.exit_code) == (Grade.BAD, ExitCode.SANDBOX)
    assert "The level is restricted; full is required." in level.finding
    assert (missing.grade, missing.finding, missing.remedy) == (Grade.BAD, MISSING.reason, MISSING.remedy)


def test_a_level_that_is_enough_is_no_failure():
    report = SandboxReport("restricted", {}, (MISSING,))
    assert [check.grade for check in checks.check_sandbox(report, "restricted")] == [Grade.WARNING, Grade.WARNING]
    assert [check.grade for check in checks.check_sandbox(SandboxReport("full", {}), "full")] == [Grade.GOOD]


def test_interpreters():
    def python(version):
        return Interpreter(Path("/usr/bin/python3"), version, Path("/usr"), "cpython")

    settings = EnvironmentSettings(offline=True)
    assert checks.check_interpreters([], settings).grade is Grade.BAD
    assert checks.check_interpreters([python("3.8.1")], settings).grade is Grade.BAD
    good = checks.check_interpreters([python("3.12.1"), python("3.9.18"), python("3.8.1")], settings)
    assert good.finding.startswith("Plugins may run on Python 3.9.18, 3.12.1. The settings say offline")


@pytest.mark.parametrize("answer", [None, "#!/bin/sh\nexit 3\n"])
async def test_uv_that_does_not_run(answer, tmp_path, monkeypatch):
    program = tmp_path / "uv"
    if answer is not None:
        program.write_text(answer)
        program.chmod(0o700)
    monkeypatch.setattr(checks, "find_uv_bin", lambda: str(program))
    found = await checks.check_uv()
    assert found.grade is Grade.BAD
    assert "pip install uv" in found.remedy


async def test_uv_that_runs():
    assert (await checks.check_uv()).grade is Grade.GOOD


def test_state_dir(tmp_path, monkeypatch):
    assert checks.check_state_dir(tmp_path / "not" / "yet").grade is Grade.GOOD
    (tmp_path / "file").write_text("")
    assert checks.check_state_dir(tmp_path / "file" / "below").exit_code == ExitCode.CONFIG
    nearly_full = shutil.disk_usage(tmp_path)._replace(free=1024**2)
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda _path: nearly_full)
    assert checks.check_state_dir(tmp_path).grade is Grade.WARNING


def test_databases_with_one_fence_alone():
    url = "postgresql://operator:secret@server/shop"
    backends = {
        "shop": SqlBackend(url=url, mode=SqlMode.SINGLE_FENCE),
        "main": SqlBackend(url=url),
        "file": SqlBackend(url="sqlite:////srv/app.db"),
    }

    (check,) = checks.check_databases(backends)

    assert (check.name, check.grade) == ("sql.shop", Grade.WARNING)
    assert "one fence alone" in check.finding
    assert "secret" not in f"{check.finding} {check.consequence} {check.remedy}"


def test_run_dir(tmp_path):
    assert "will be made" in checks.check_run_dir(tmp_path / "new").finding
    assert checks.check_run_dir(tmp_path).grade is Grade.GOOD
    (tmp_path / "link").symlink_to(tmp_path)
    assert checks.check_run_dir(tmp_path / "link").grade is Grade.BAD
    (tmp_path / "file").write_text("")
    assert checks.check_run_dir(tmp_path / "file" / "below").exit_code == ExitCode.CONFIG


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to be root")
def test_a_run_dir_of_another_user(tmp_path):
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", 65_534, 65_534)
    assert checks.check_run_dir(tmp_path / "theirs").grade is Grade.BAD


def test_whether_a_host_runs(server, tmp_path):
    assert checks.check_host(server.socket).finding.startswith("A host answers")
    for silent in (tmp_path / "api.sock", tmp_path / ("x" * 200)):
        assert checks.check_host(silent).finding.startswith("No host answers")
