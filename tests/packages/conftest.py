"""Plugin projects on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

MANIFEST = """\
[project]
name = "churn"
version = "1.2.0"

[tool.moorage]
plugin = "churn.plugin:plugin"
"""

MakeProject = Callable[..., Path]


@pytest.fixture
def make_project(tmp_path: Path) -> MakeProject:
    """Writes a plugin's project: ``make_project(text, "folder", module="src/churn/plugin.py")``."""

    def make(text: str = MANIFEST, place: str = "churn", *, module: str = "churn/plugin.py") -> Path:
        folder = tmp_path / place
        file = folder / module
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("raise SystemExit('plugin code ran on the host')\n")
        (folder / "pyproject.toml").write_text(text)
        return folder

    return make
