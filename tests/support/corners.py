"""The corners of what SDK and contracts promise to run on, and real virtualenvs for them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from virtualenvs import ROOT, uv

#: What a worker has on its path besides its virtualenv.
OWN_COPIES = (str(ROOT / "sdk"), str(ROOT / "proto"))


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
    # No compiled wheel: pure Python.
    Corner("3.11", "protobuf==3.20.*", "grpcio"),
    Corner("3.11", "protobuf==4.25.*", "grpcio==1.62.*"),
    Corner("3.12", "protobuf==5.29.*", "grpcio"),
    Corner("3.13", "protobuf", "grpcio"),
)


def build(corner: Corner, base: Path, folder: Path) -> Path:
    """Makes a virtualenv with uv; returns its python. Wheels come from uv's cache where it has them."""
    # tomli and typing_extensions are what the testing kit and annotations of an old Python take.
    packages = [corner.protobuf, corner.grpcio, "typing-extensions", "tomli; python_version < '3.11'"]
    uv("venv", "--python", base, folder)
    python = folder / "bin" / "python"
    uv("pip", "install", "--python", python, "--only-binary", ":all:", *packages)
    return python
