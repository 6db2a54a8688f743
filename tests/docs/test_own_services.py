"""The page about an application's own services: its project is assembled from the page, and its tests run."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from moorage.app import Host, Settings

PAGE = Path(__file__).parents[2] / "docs" / "services" / "own.md"

_BLOCK = re.compile(r"```\w+ title=\"([^\"]+)\"\n(.*?)```", re.DOTALL)


@pytest.fixture
def project(tmp_path):
    files: dict[str, str] = {}
    for name, code in _BLOCK.findall(PAGE.read_text()):
        files[name] = files.get(name, "") + code
    for name, code in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(code)
    return tmp_path


@pytest.mark.system
def test_the_plugin_on_the_page_passes_its_own_tests(project):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_a_host_takes_the_services_on_the_page(project, monkeypatch):
    monkeypatch.syspath_prepend(project)
    spec = importlib.util.spec_from_file_location("page_shop_app", project / "shop_app.py")
    app = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(app)
        settings = Settings.model_validate({"state_dir": project / "state"})
        assert isinstance(app.make_host(settings), Host)
        Host(settings, services=[app.Ledger(), app.Greetings()])
    finally:
        sys.modules.pop("shop_contracts", None)
