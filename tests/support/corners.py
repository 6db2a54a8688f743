"""The corners of what SDK and contracts promise to run on, and real virtualenvs for them."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")

#: What a worker has on its path besides its virtualenv.
OWN_COPIES = (str(ROOT / "sdk"), str(ROOT / "proto"))

BUILD_TIMEOUT_SECONDS = 300


@dataclass(frozen=True)
class Corner:
    """Requirements as pip writes them; without a version: the newest for that Python."""

    python: str
    protobuf: str
    grpcio: str

    def __str__(self) -> str:
        return f"python{self.python}-{self.protobuf}-{self.grpcio}".replace("==", "")


#: This Python, with the newest there is: it is always here.
OWN = Corner(f"{sys.version_info.major}.{sys.version_info.minor}", "protobuf", "grpcio")

CORNERS = (
    OWN,
    Corner("3.9", "protobuf==3.20.2", "grpcio==1.49.*"),
    Corner("3.9", "protobuf", "grpcio"),
    Corner("3.10", "protobuf==4.21.*", "grpcio==1.54.*"),
    Corner("3.11", "protobuf==4.25.*", "grpcio==1.62.*"),
    Corner("3.12", "protobuf==5.29.*", "grpcio"),
    Corner("3.13", "protobuf", "grpcio"),
)


def build(corner: Corner, base: Path, folder: Path) -> Path:
    """Makes a virtualenv with uv; returns its python. Wheels come from uv's cache where it has them."""
    # tomli and typing_extensions are what the testing kit and annotations of an old Python take.
    packages = [corner.protobuf, corner.grpcio, "typing-extensions", "tomli; python_version < '3.11'"]
    _uv("venv", "--python", str(base), str(folder))
    python = folder / "bin" / "python"
    _uv("pip", "install", "--python", str(python), "--only-binary", ":all:", *packages)
    return python


def _uv(*arguments: str) -> None:
    # Set by this process's own virtualenv, and about another one.
    env = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    done = subprocess.run(
        [UV, *arguments, "--quiet", "--no-config"],
        env=env,
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"uv {arguments[0]} failed: {done.stderr}")
