"""``moorage backup`` and ``moorage restore``, which ask no host."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from moorage.app.lock import StateLock
from moorage.cli.main import app
from moorage.clock import SystemClock
from moorage.models.audit import AuditEntry, AuditKind
from moorage.store.store import Store

#: Whole files and servers, step by step: not among the quickest.
pytestmark = pytest.mark.system


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With a store in it, of one entry."""
    (tmp_path / "moorage.toml").write_text('state_dir = "state"\n')
    monkeypatch.chdir(tmp_path)
    _append(tmp_path / "state")
    return tmp_path / "state"


def _append(state: Path) -> None:
    async def append() -> None:
        async with Store(state / "moorage.db") as store:
            await store.audit.append([AuditEntry(SystemClock().now(), AuditKind.ACTION, "churn", "dana", "stop")])

    asyncio.run(append())


def _entries(state: Path) -> int:
    async def count() -> int:
        async with Store(state / "moorage.db") as store:
            return (await store.audit.verify()).entries

    return asyncio.run(count())


def run(*arguments: str, answer: str = "") -> Result:
    return CliRunner().invoke(app, arguments, input=answer)


def test_there_and_back(state: Path) -> None:
    made = run("backup", "saved")
    assert made.exit_code == 0, made.output
    assert "2 rows of" in made.stdout
    assert "secrets.keys" in made.stderr
    assert "moorage storage NAME export" in made.stderr
    _append(state)

    refused = run("restore", "saved")
    assert (refused.exit_code, "--replace" in refused.stderr) == (1, True)
    assert run("restore", "saved", "--replace", answer="n\n").exit_code == 1
    assert _entries(state) == 2

    restored = run("restore", "saved", "--replace", answer="y\n")
    assert restored.exit_code == 0, restored.output
    assert "Restored from saved: 2 rows" in restored.stdout
    assert _entries(state) == 1


def test_into_a_state_folder_that_is_not_there_yet(state: Path, tmp_path: Path) -> None:
    run("backup", "saved")
    (tmp_path / "moorage.toml").write_text('state_dir = "elsewhere"\n')
    assert run("restore", "saved").exit_code == 0
    assert _entries(tmp_path / "elsewhere") == 1
    assert run("restore", "saved", "--replace", "--yes").exit_code == 0


def test_a_host_that_runs_keeps_its_store(state: Path) -> None:
    with StateLock(state):
        assert run("backup", "saved").exit_code == 0
        refused = run("restore", "saved", "--replace", "--yes")
    assert "Another host" in refused.stderr


def test_what_is_no_backup_is_a_sentence(state: Path, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("no zip")
    assert "no back-up of a Moorage store" in run("restore", "other", "--replace", "--yes").stderr
    assert "exists already" in run("backup", "other").stderr
