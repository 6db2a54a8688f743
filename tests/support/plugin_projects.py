"""Writes small plugin projects for tests."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from pathlib import Path


def write_plugin(
    folder: Path,
    code: str,
    *,
    name: str = "probe",
    required: Iterable[str] = (),
    optional: Iterable[str] = (),
    dependencies: Iterable[str] = (),
    extra: str = "",
) -> Path:
    """A plugin project `name` in `folder/name`; its module is the name with underscores."""
    project = folder / name
    module = name.replace("-", "_")
    project.mkdir(parents=True, exist_ok=True)
    (project / f"{module}.py").write_text(textwrap.dedent(code))
    (project / "pyproject.toml").write_text(
        f"""
[project]
name = "{name}"
version = "1.0.0"
dependencies = [{_listed(dependencies)}]

[tool.moorage]
plugin = "{module}:plugin"
required = [{_requests(required)}]
optional = [{_requests(optional)}]
{textwrap.dedent(extra)}
"""
    )
    return project


def _listed(texts: Iterable[str]) -> str:
    return ", ".join(f'"{text}"' for text in texts)


def _requests(capabilities: Iterable[str]) -> str:
    return ", ".join(f'{{ allow = "{capability}", because = "a test needs it" }}' for capability in capabilities)
