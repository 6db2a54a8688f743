"""Virtualenvs as people make them: with uv, and with this tree's own distributions as wheels."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")

TIMEOUT_SECONDS = 300


def uv(*arguments: object, index: str = "") -> None:
    """Runs uv. An index named here comes before every other. Raises RuntimeError with uv's own words."""
    # VIRTUAL_ENV was set by this process's own virtualenv, and these commands are about others.
    env = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    if index:
        env["UV_INDEX"] = f"{index} {env.get('UV_INDEX', '')}".strip()
    done = subprocess.run(
        [UV, *map(str, arguments), "--quiet", "--no-config"],
        env=env,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"uv {arguments[0]} failed: {done.stderr}")


def build_wheels(projects: Iterable[Path], folder: Path) -> Path:
    """Builds these projects' wheels into a folder, which it returns."""
    for project in projects:
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder],
            cwd=project,
            capture_output=True,
            timeout=TIMEOUT_SECONDS,
            check=True,
        )
    return folder
