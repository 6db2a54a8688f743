"""Locks: each package of an environment with its version and hashes, and no address."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import cast

from packaging.markers import default_environment
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from moorage.environments.errors import DependenciesUnresolvable, InstallerFailed, failure
from moorage.environments.interpreters import Interpreter
from moorage.environments.uv import Uv, UvRefused

#: They come from the host, so they are left out even where a dependency asks for them.
_LEFT_OUT = ("moorage-sdk", "moorage-proto")

_HASHES = re.compile(r"(?:\s+--hash=sha256:[0-9a-f]{64})+\s*$")
_PIN = re.compile(r"==\s*[^\s,*]+")


class LockInvalid(ValueError):
    """A line of a lock is no hashed pin."""


async def resolve(
    uv: Uv, plugin: str, interpreter: Interpreter, dependencies: tuple[str, ...], preferred: Mapping[str, str]
) -> str:
    """The lock of a plugin's dependencies for an interpreter, on this platform; empty where there are none.

    ``preferred`` are versions that are taken wherever the dependencies leave the choice.
    Raises DependenciesUnresolvable or InstallerFailed.
    """
    if not dependencies:
        return ""
    with tempfile.TemporaryDirectory(prefix="moorage-lock-") as folder:
        # What stands in the output already is preferred: this is how uv keeps a lock stable.
        lock = _write_lines(Path(folder, "lock.txt"), (f"{name}=={version}" for name, version in preferred.items()))
        excluded = _write_lines(Path(folder, "excluded.txt"), _LEFT_OUT)
        arguments = ["compile", "-", "--python", str(interpreter.path), "--generate-hashes", "--no-header"]
        arguments += ["--no-annotate", "--no-sources", "--excludes", str(excluded), "--output-file", str(lock)]
        what = f"Resolving the dependencies of {plugin}"
        try:
            await uv.run(what, arguments, stdin="".join(f"{dependency}\n" for dependency in dependencies))
        except UvRefused as error:
            if error.unresolvable or error.by_address:
                raise DependenciesUnresolvable(
                    plugin, interpreter.version, error.explanation, offline=uv.offline
                ) from error
            raise failure(what, error.explanation) from error
        text = await asyncio.to_thread(lock.read_text)
    try:
        pins(text, interpreter)
    except LockInvalid as error:
        raise InstallerFailed(what, f"{error}.") from error
    return text


def pins(lock: str, interpreter: Interpreter) -> dict[str, str]:
    """Normalised names and versions of what a lock installs for an interpreter.

    Raises LockInvalid where a line is anything but a name, a version and hashes: an address or an option.
    """
    environment = {
        **cast("Mapping[str, str]", default_environment()),
        "python_version": interpreter.minor,
        "python_full_version": interpreter.version,
        "implementation_version": interpreter.version,
    }
    found: dict[str, str] = {}
    for line in _logical_lines(lock):
        requirement = _pinned(line)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            found[canonicalize_name(requirement.name)] = str(requirement.specifier).removeprefix("==").strip()
    return found


def _write_lines(file: Path, lines: Iterable[str]) -> Path:
    file.write_text("".join(f"{line}\n" for line in lines))
    return file


def _pinned(line: str) -> Requirement:
    hashes = _HASHES.search(line)
    try:
        requirement = Requirement(line[: hashes.start()] if hashes else line)
    except InvalidRequirement as error:
        raise LockInvalid(f"the lock holds {line!r:.80}, which is not a pinned package") from error
    if hashes is None or requirement.url is not None or not _PIN.fullmatch(str(requirement.specifier)):
        raise LockInvalid(f"the lock holds {requirement.name} without one version and its hashes")
    return requirement


def _logical_lines(text: str) -> list[str]:
    joined = re.sub(r"\\\n", " ", text)
    lines = (re.sub(r"(?:^|\s)#.*$", "", line).strip() for line in joined.splitlines())
    return [line for line in lines if line]
