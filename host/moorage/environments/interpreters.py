"""The Pythons of this machine, and which of them a plugin gets. Each is known by having been run, without ``site``."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from moorage.environments.errors import NoInterpreter
from moorage.environments.process import run

#: What SDK and contracts run on.
OLDEST = Version("3.9")

_NAME = re.compile(r"python3\.\d+")
_TIMEOUT = timedelta(seconds=10)
_AT_ONCE = 4

#: Path, size and time of change.
_Identity = tuple[Path, int, int]

_PROBE = """
import json, sys
kind = sys.implementation
print(json.dumps({
    "implementation": kind.name,
    "version": list(sys.version_info[:3]),
    "level": sys.version_info[3],
    "prefix": sys.prefix,
    "abi": "-".join(filter(None, [kind.cache_tag + sys.abiflags, getattr(kind, "_multiarch", sys.platform)])),
}))
"""


@dataclass(frozen=True)
class Interpreter:
    """A trusted base interpreter: installed by the operator, of no virtualenv."""

    #: ``<prefix>/bin/python3.X``.
    path: Path
    #: "3.11.7".
    version: str
    prefix: Path
    #: "cpython-311-x86_64-linux-gnu": interpreters with the same one can use the same wheels.
    abi: str

    @property
    def minor(self) -> str:
        """ "3.11"."""
        return ".".join(self.version.split(".")[:2])

    @property
    def library(self) -> str:
        """The name of its folder below ``lib``."""
        return f"python{self.minor}"


class Interpreters:
    """Finds interpreters, and remembers what each file was found to be."""

    def __init__(self, named: Sequence[Path] = ()) -> None:
        self._named = tuple(named)
        self._known: dict[_Identity, Interpreter | None] = {}
        self._probes = asyncio.Semaphore(_AT_ONCE)

    async def found(self) -> tuple[Interpreter, ...]:
        """Every usable one, the operator's own first. What does not answer as a Python is left out silently."""
        places = candidates(self._named, os.environ, Path(sys.base_prefix))
        probed = await asyncio.gather(*(self._probe(place) for place in places))
        unique = {interpreter.path: interpreter for interpreter in probed if interpreter is not None}
        return tuple(unique.values())

    async def choose(self, plugin: str, requires_python: str, prefer_python: Sequence[str] = ()) -> Interpreter:
        """Raises NoInterpreter, which says what was found and what to do."""
        found = await self.found()
        chosen = choose(found, requires_python, prefer_python)
        if chosen is None:
            versions = sorted({interpreter.version for interpreter in found}, key=Version)
            raise NoInterpreter(plugin, requires_python, tuple(versions))
        return chosen

    async def _probe(self, place: Path) -> Interpreter | None:
        key = _identity(place)
        if key not in self._known:
            async with self._probes:
                self._known[key] = await _probe(place)
        return self._known[key]


def candidates(named: Iterable[Path], environ: Mapping[str, str], base_prefix: Path) -> tuple[Path, ...]:
    """Real paths of files that may be interpreters, each once: the operator's, the host's own, PATH, pyenv's, uv's."""
    places = [*named, *_pythons(base_prefix / "bin")]
    for folder in environ.get("PATH", "").split(os.pathsep):
        if folder:
            places += _pythons(Path(folder))
    for versions in _version_folders(environ, base_prefix):
        for prefix in _entries(versions):
            places += _pythons(prefix / "bin")
    real = (_real_program(place) for place in places)
    return tuple(dict.fromkeys(path for path in real if path is not None))


def choose(found: Iterable[Interpreter], requires_python: str, prefer_python: Sequence[str] = ()) -> Interpreter | None:
    """The plugin's preferences first, then the host's own version, then the newest.

    Which versions a plugin's dependencies have wheels for is unknown here; the host's version is at least one that the
    operator keeps.
    """
    allowed = SpecifierSet(requires_python)
    fitting = [
        interpreter
        for interpreter in found
        if Version(interpreter.version) >= OLDEST and allowed.contains(interpreter.version)
    ]
    wanted = (*prefer_python, f"{sys.version_info.major}.{sys.version_info.minor}")
    for minor in wanted:
        same = [interpreter for interpreter in fitting if interpreter.minor == minor]
        if same:
            return same[0]  # they stand in the order in which they are trusted
    return max(fitting, key=lambda interpreter: Version(interpreter.version), default=None)


def _version_folders(environ: Mapping[str, str], base_prefix: Path) -> Iterator[Path]:
    """Folders that hold a prefix for each version."""
    if base_prefix.parent.name == "versions" or base_prefix.parent.parent.name == "uv":
        yield base_prefix.parent
    home = Path(environ["HOME"]) if environ.get("HOME") else Path("/nonexistent")
    yield Path(environ.get("PYENV_ROOT") or home / ".pyenv") / "versions"
    data = Path(environ.get("XDG_DATA_HOME") or home / ".local/share")
    yield Path(environ.get("UV_PYTHON_INSTALL_DIR") or data / "uv/python")


def _pythons(folder: Path) -> list[Path]:
    return [entry for entry in _entries(folder) if _NAME.fullmatch(entry.name)]


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _real_program(place: Path) -> Path | None:
    """Where the links end. Scripts are left out: pyenv's shims are scripts, and a sandbox can mount no wrapper."""
    try:
        real = place.resolve(strict=True)
        if not real.is_file() or not os.access(real, os.X_OK):
            return None
        with real.open("rb") as stream:
            return None if stream.read(2) == b"#!" else real
    except (OSError, RuntimeError):
        return None


def _identity(place: Path) -> _Identity:
    try:
        status = place.stat()
    except OSError:  # gone since it was listed
        return place, 0, 0
    return place, status.st_size, status.st_mtime_ns


async def _probe(place: Path) -> Interpreter | None:
    try:
        finished = await run([str(place), "-I", "-S", "-c", _PROBE], environment={}, timeout=_TIMEOUT)
        answer = json.loads(finished.stdout)
        version = tuple(int(part) for part in answer["version"])
    except (OSError, TimeoutError, ValueError, KeyError, TypeError):
        return None
    if finished.code != 0 or answer["implementation"] != "cpython" or answer["level"] != "final":
        return None
    prefix = Path(answer["prefix"])
    path = prefix / "bin" / f"python{version[0]}.{version[1]}"
    if not path.is_file():
        return None
    return Interpreter(path, ".".join(map(str, version)), prefix, str(answer["abi"]))
