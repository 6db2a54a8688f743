"""``scripts/demo --once``: what a newcomer runs first."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import tomllib
from virtualenvs import ROOT, build_wheels

from moorage.config.settings import Settings
from moorage.environments.interpreters import Interpreters

# It may have three environments to build.
pytestmark = pytest.mark.timeout(400)

DEMO = ROOT / "scripts" / "demo"
VERSIONS = {"legacy": "0.9.4", "sample": "1.0.0", "scrobbler": "3.0.0"}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the demo wrote; the file is named relative to the folder that it is called from."""
    folder = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [DEMO, "--once", "--json", "report.json"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    content: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return content


@pytest.fixture
def executions(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {entry["plugin"]: entry for entry in report["executions"]}


def number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def test_every_plugin_ran_once_and_succeeded(report: dict[str, Any], executions: dict[str, dict[str, Any]]) -> None:
    assert len(report["executions"]) == 3
    assert {name: entry["version"] for name, entry in executions.items()} == VERSIONS
    for entry in executions.values():
        assert (entry["outcome"], entry["error"]) == ("succeeded", None)
        assert entry["duration_ms"] > 0


def test_each_in_a_process_of_its_own_in_the_sandbox(executions: dict[str, dict[str, Any]]) -> None:
    pids = {entry["pid"] for entry in executions.values()}
    assert len(pids) == 3
    assert os.getpid() not in pids
    assert {entry["sandbox_level"] for entry in executions.values()} == {"full"}


async def test_each_with_its_own_python_and_protobuf(executions: dict[str, dict[str, Any]]) -> None:
    legacy = executions.pop("legacy")
    assert re.fullmatch(r"3\.20\.\d+", legacy["protobuf"])
    found = {interpreter.minor for interpreter in await Interpreters().found()}
    own = "{}.{}".format(*sys.version_info)
    preferred = next((minor for minor in ("3.9", "3.10") if minor in found), own)
    assert legacy["python"].rpartition(".")[0] == preferred
    for entry in executions.values():
        assert number(entry["protobuf"]) >= (6,)
        assert entry["python"].rpartition(".")[0] == own


def test_a_consumer_read_what_they_sent(report: dict[str, Any]) -> None:
    assert {message["topic"] for message in report["messages"]} == {"plugin-topic"}
    assert all(isinstance(message["offset"], int) and message["partition"] >= 0 for message in report["messages"])
    # The sample runs by itself, too, when its host starts: it is tagged AutoRun.
    found = sorted({message["value"] for message in report["messages"]})
    assert len(found) == 3
    assert found[0].startswith("Decades: 1950s 25, 1960s 82, ")
    assert found[1] == "Scrobbled 676 plays; most played: Radiohead"
    assert found[2] == "User count: 7"


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "scripts" / "demo_app")
    import demo

    return demo


@pytest.fixture
def settings(demo: ModuleType, state_dir: Path, run_dir: Path, tmp_path: Path) -> Settings:
    """The demo's, with folders of this test's own, and with one plugin that was granted too little."""
    document = tomllib.loads(demo.CONFIG.read_text())
    document["installations"]["sample"]["grant"].remove("kafka.produce:plugin-topic")
    wheels = build_wheels([ROOT / "plugins" / "jukebox-models"], tmp_path / "wheelhouse")
    return Settings.model_validate(
        document
        | {
            "state_dir": state_dir,
            "run_dir": run_dir,
            "plugins": {"folders": [ROOT / "plugins" / "sample"]},
            "environments": {"wheelhouse": [wheels]},
            "sql": {"main": {"url": f"sqlite:///{tmp_path / 'jukebox.db'}"}},
        }
    )


async def test_a_plugin_that_does_not_succeed_makes_the_exit_code(
    demo: ModuleType, settings: Settings, tmp_path: Path
) -> None:
    code = await demo.demo(settings, once=True, report=tmp_path / "report.json")

    assert code == 1
    (entry,) = json.loads((tmp_path / "report.json").read_text())["executions"]
    assert (entry["plugin"], entry["outcome"], entry["pid"]) == ("sample", "rejected", None)
    assert "moorage grant sample 'kafka.produce:plugin-topic'" in entry["error"]
