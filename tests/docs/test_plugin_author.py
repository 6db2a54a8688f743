"""The guide for plugin authors: its project is assembled from the page, and its tests run."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from moorage.packages.manifest import read_manifest

PAGE = Path(__file__).parents[2] / "docs" / "plugin-author.md"

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


def test_the_host_takes_the_manifest_on_the_page(project):
    manifest = read_manifest(project)
    assert manifest.name == "churn"
    assert manifest.config_schema["type"] == "object"


@pytest.mark.system
def test_the_project_on_the_page_passes_its_own_tests(project):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert " passed" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0, done.stdout


def test_every_public_name_is_on_the_page():
    import moorage_sdk

    text = PAGE.read_text()
    assert {name for name in moorage_sdk.__all__ if not re.search(rf"\b{name}\b", text)} == {"__version__"}
