"""The sample plugins' own tests, as their authors run them: each in a virtualenv of its plugin's own dependencies."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from pathlib import Path

import pytest
from virtualenvs import ROOT, build_wheels, uv

from moorage.environments.interpreters import Interpreter, Interpreters
from moorage.environments.wheelhouse import Wheelhouse
from moorage.packages.manifest import read_manifest

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]

SAMPLES = ("sample", "scrobbler", "legacy")

#: What the plugins need and no public index has.
OWN_DISTRIBUTIONS = (ROOT / "proto", ROOT / "sdk", ROOT / "plugins" / "jukebox-models")


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("samples")
    wheels = build_wheels(OWN_DISTRIBUTIONS, folder / "wheelhouse")
    return Wheelhouse([wheels], folder / "indexes").index()


@pytest.fixture(scope="session", params=SAMPLES)
def sample(request: pytest.FixtureRequest, index: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A plugin's project, and the python of its virtualenv."""
    project = ROOT / "plugins" / request.param
    venv = tmp_path_factory.mktemp(request.param) / "venv"
    python = venv / "bin" / "python"
    uv("venv", "--python", interpreter(project).path, venv)
    install = ("pip", "install", "--python", python, "--only-binary", ":all:")
    uv(*install, "-r", project / "pyproject.toml", "--group", f"{project / 'pyproject.toml'}:test", index=index)
    return project, python


def interpreter(project: Path) -> Interpreter:
    """The one that a host would take."""
    manifest = read_manifest(project)
    return asyncio.run(Interpreters().choose(manifest.name, manifest.requires_python, manifest.prefer_python))


def test_its_own_tests_pass(sample: tuple[Path, Path]) -> None:
    project, python = sample
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "PYTHON"))}
    done = subprocess.run(
        [python.with_name("pytest"), "-p", "no:cacheprovider"],
        cwd=project,
        env={**env, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"=+ \d+ passed in ", done.stdout), done.stdout
