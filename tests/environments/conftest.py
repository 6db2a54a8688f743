"""Wheels made on the spot, some of them hostile, and a state folder whose runtime is there already."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from moorage.config.settings import EnvironmentSettings
from moorage.environments.builder import EnvironmentBuilder
from moorage.models.manifest import Manifest

MakeWheel = Callable[..., Path]


@pytest.fixture
def wheelhouse(tmp_path: Path) -> Path:
    folder = tmp_path / "wheelhouse"
    folder.mkdir()
    return folder


@pytest.fixture
def make_wheel(wheelhouse: Path) -> MakeWheel:
    """Writes a wheel with these files: ``make_wheel("name", {"name.py": "..."}, scripts={"tool": "..."})``."""

    def make(
        name: str,
        files: Mapping[str, str] | None = None,
        *,
        version: str = "1.0",
        scripts: Mapping[str, str] | None = None,
        requires: tuple[str, ...] = (),
        entry_points: str = "",
    ) -> Path:
        info = f"{name}-{version}.dist-info"
        requirements = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
        content = {
            **(files if files is not None else {f"{name}.py": "value = 1\n"}),
            **{f"{name}-{version}.data/scripts/{script}": text for script, text in (scripts or {}).items()},
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requirements}",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        if entry_points:
            content[f"{info}/entry_points.txt"] = entry_points
        content[f"{info}/RECORD"] = "".join(f"{place},,\n" for place in (*content, f"{info}/RECORD"))
        wheel = wheelhouse / f"{name}-{version}-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            for place, text in content.items():
                archive.writestr(place, text)
        return wheel

    return make


@pytest.fixture(scope="session")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture
async def builder(state_dir: Path, wheelhouse: Path) -> EnvironmentBuilder:
    """Takes packages from the wheelhouse and the cache alone; the host's runtime was fetched before."""
    online = EnvironmentBuilder(EnvironmentSettings(), state_dir)
    await online.build(Manifest("nothing", "1.0", "nothing:plugin"), progress=lambda _: None)
    return EnvironmentBuilder(EnvironmentSettings(wheelhouse=(wheelhouse,), offline=True), state_dir)
