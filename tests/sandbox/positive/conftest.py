"""Environments that the product's own builder makes, one for each Python; and what ran in them, told at the end."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import positive
import pytest
from positive import further, libraries

from moorage.config.settings import EnvironmentSettings
from moorage.environments.builder import Environment, EnvironmentBuilder
from moorage.environments.interpreters import Interpreters
from moorage.environments.lock import pins
from moorage.models.manifest import Manifest

_RAN = pytest.StashKey["list[Ran]"]()

#: No user of this machine, as in the stages.
ORDINARY_UID = 62_002


@dataclass
class Ran:
    """What one Python ran."""

    title: str
    tried: int
    blocked: list[str] = field(default_factory=list)


@dataclass
class Built:
    environment: Environment
    runtime: Path

    @property
    def versions(self) -> str:
        locked = pins(self.environment.lock.read_text(), self.environment.interpreter)
        shown = {"grpcio": self.environment.grpcio, "protobuf": self.environment.protobuf, **locked}
        wanted = ("grpcio", "protobuf", *libraries.REQUIREMENTS, *further.REQUIREMENTS)
        return ", ".join(f"{name} {shown[name]}" for name in wanted if name in shown)


class Environments:
    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._built: dict[tuple[str, tuple[str, ...]], Built] = {}

    def of(self, minor: str, requirements: tuple[str, ...], *named: Path) -> Built:
        key = minor, requirements
        if key not in self._built:
            self._built[key] = asyncio.run(self._build(minor, requirements, named))
        return self._built[key]

    async def _build(self, minor: str, requirements: tuple[str, ...], named: tuple[Path, ...]) -> Built:
        builder = EnvironmentBuilder(EnvironmentSettings(interpreters=named), self._state_dir)
        manifest = Manifest(
            "positive", "1.0", "positive:plugin", requires_python=f"=={minor}.*", dependencies=requirements
        )
        environment = await builder.build(manifest, progress=lambda _: None)
        return Built(environment, (await builder.runtime(environment)).runtime_path)


@pytest.fixture(scope="session")
def environments() -> Iterator[Environments]:
    """Below a folder that every user may read: some workers belong to none."""
    folder = Path(tempfile.mkdtemp(prefix="moorage-positive-"))
    folder.chmod(0o755)
    yield Environments(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def minors() -> set[str]:
    """Of the Pythons that a host finds on this machine."""
    return {interpreter.minor for interpreter in asyncio.run(Interpreters().found())}


@pytest.fixture(scope="session")
def staged(environments, stage_for):
    """Makes a stage with an environment: ``staged("3.12", ("numpy",), user=True)``."""

    def make(minor: str, requirements: tuple[str, ...], *named: Path, user: bool = False):
        built = environments.of(minor, requirements, *named)
        uid = ORDINARY_UID if user and os.geteuid() == 0 else None
        stage = stage_for(uid, built.environment.interpreter.path.resolve(), built.runtime)
        shutil.copytree(
            Path(positive.__file__).parent,
            stage.base / "sdk" / "positive",
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        shutil.rmtree(stage.base / "venv")
        (stage.base / "venv").symlink_to(built.environment.path)
        return stage, built

    return make


@pytest.fixture(scope="session")
def ran(request) -> list[Ran]:
    return request.config.stash.setdefault(_RAN, [])


def pytest_terminal_summary(terminalreporter, config) -> None:
    ran = config.stash.get(_RAN, [])
    if not ran:
        return
    terminalreporter.section("what ordinary work came to in the sandbox")
    for entry in ran:
        terminalreporter.write_line(f"{len(entry.blocked)} false blocks of {entry.tried}: {entry.title}")
        for block in entry.blocked:
            terminalreporter.write_line(f"    {block}")
