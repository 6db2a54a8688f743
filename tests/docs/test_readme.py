"""The first page: its commands exist, its plugin and its application run, its links lead somewhere."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from virtualenvs import ROOT, build_wheels

from moorage.cli.main import app
from moorage.packages.manifest import read_manifest
from moorage_sdk.testing import Moorage, find_manifest

README = (ROOT / "README.md").read_text()
PAGES = [ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY", "CHANGELOG")]
PAGES += sorted([*ROOT.glob("docs/**/*.md"), *ROOT.glob("plugins/*/README.md"), *ROOT.glob("*/README.md")])


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The project of the plugin on the page."""
    (manifest,) = blocks("toml")
    (tmp_path / "sample").mkdir()
    (tmp_path / "sample" / "plugin.py").write_text(blocks("python")[0])
    (tmp_path / "pyproject.toml").write_text(f'[project]\nname = "sample"\nversion = "1.0.0"\n\n{manifest}')
    monkeypatch.syspath_prepend(ROOT / "plugins" / "jukebox-models")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in ("sample", "sample.plugin"):
        sys.modules.pop(name, None)


def test_the_plugins_manifest_is_valid(plugin: Path) -> None:
    manifest = read_manifest(plugin)

    assert manifest.entry_point == "sample.plugin:plugin"
    assert [str(right) for right in manifest.required] == ["sql.read:users", "kafka.produce:plugin-topic"]


def test_the_plugin_runs(plugin: Path) -> None:
    kit = Moorage(find_manifest(plugin))
    from jukebox_models import User

    kit.sql.add(User(name="Ada"))
    run = kit.run("execute")

    assert run.result.users == 1
    assert kit.kafka.values("plugin-topic") == [b"User count: 1"]
    assert [line.message for line in run.logs] == ["counted 1 users"]
    kit.close()


@pytest.fixture
def run_dir() -> Iterator[Path]:
    """Short: a socket's path has room for 108 bytes."""
    with tempfile.TemporaryDirectory(prefix="mrg-") as folder:
        yield Path(folder)


@pytest.mark.system
def test_the_application_runs(
    tmp_path: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(ROOT / "plugins" / "sample", tmp_path / "plugins" / "sample")
    wheels = build_wheels([ROOT / "plugins" / "jukebox-models"], tmp_path / "wheelhouse")
    connection = sqlite3.connect(tmp_path / "application.db")
    connection.executescript(
        "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO users (name) VALUES ('Ada'), ('Grace');"
        "CREATE TABLE plays (id INTEGER PRIMARY KEY);"
    )
    connection.close()
    (tmp_path / "moorage.toml").write_text(
        f'state_dir = "state"\nrun_dir = "{run_dir}"\n'
        f'[environments]\nwheelhouse = ["{wheels}"]\n'
        f'[sql.main]\nurl = "sqlite:///application.db"\n'
    )
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(blocks("python")[1], "README.md", "exec"), names)

    asyncio.run(names["main"]())

    assert capsys.readouterr().out == "2\n"


def test_the_commands_exist() -> None:
    commands = get_command(app).commands
    for name in re.findall(r"`moorage ([a-z-]+)", README):
        assert name in commands
    for script in set(re.findall(r"\bscripts/\w+", README)):
        assert os.access(ROOT / script, os.X_OK)
    demo = (ROOT / "scripts" / "demo_app" / "demo.py").read_text()
    for option in re.findall(r"`scripts/demo ([^`]+)`", README)[0].split():
        assert not option.startswith("--") or f'"{option}"' in demo


def test_every_script_is_described_where_contributors_look() -> None:
    described = re.findall(r"^\| `(scripts/\w+)` \|", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)

    assert sorted(described) == sorted(
        f"scripts/{path.name}" for path in (ROOT / "scripts").iterdir() if path.is_file()
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        assert "://" in target or (page.parent / target).exists(), target
