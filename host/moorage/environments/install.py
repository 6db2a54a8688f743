"""Installs a lock into a folder: nothing of what is installed runs, and no path of this machine stays behind."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from moorage.environments.errors import EnvironmentRefused, InstallerFailed, failure
from moorage.environments.interpreters import Interpreter
from moorage.environments.process import run
from moorage.environments.uv import Uv, UvRefused

COMPILE_TIMEOUT = timedelta(minutes=5)

#: Compiling is the one thing that a Python of the host does with files of plugins; it never runs them, and may not eat
#: the machine. compileall goes on past files that are no Python; its exit status says only that there were some.
_COMPILE = """
import compileall, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
sys.argv[1:1] = ["-qq", "--invalidation-mode", "unchecked-hash"]
compileall.main()
"""

#: uv writes the path of the interpreter that installs into each script, in a shell's words where it is long.
_SHEBANG = re.compile(rb"\A(?:#!/bin/sh\n'''exec' [^\n]*\n' '''\n|#![^\n]*python[^\n]*\n)")
_INTERPRETER_NAME = re.compile(r"(?:python|pydoc|activate)[\w.-]*", re.IGNORECASE)


async def install(uv: Uv, what: str, interpreter: Interpreter, lock: Path, site_packages: Path) -> None:
    """Installs exactly the wheels of a lock, checked by their hashes, as copies.

    Raises InstallerFailed, ArchiveUnsound, EnvironmentTooLarge.
    """
    arguments = ["install", "--python", str(interpreter.path), "--target", str(site_packages), "--requirements"]
    # Not hard links: a write through one environment would change the cache and every other one.
    arguments += [str(lock), "--require-hashes", "--no-deps", "--no-sources", "--link-mode", "copy"]
    try:
        await uv.run(what, arguments)
    except UvRefused as error:
        raise failure(what, error.explanation) from error


def move_scripts(site_packages: Path, programs: Path, interpreter: str) -> None:
    """Moves installed scripts to where a virtualenv has them, to be run by its own interpreter.

    ``interpreter`` is that one's path as plugins see it. Raises EnvironmentRefused where one would stand in for Python.
    """
    source = site_packages / "bin"
    if not source.is_dir() or source.is_symlink():
        return
    for script in sorted(source.iterdir()):
        # A package that is itself named bin stays where it is.
        if script.is_symlink() or not script.is_file() or not script.stat().st_mode & 0o100:
            continue
        if _INTERPRETER_NAME.fullmatch(script.name) or (programs / script.name).exists():
            raise EnvironmentRefused(f"a script named {script.name}", "which would stand in for Python's own")
        moved = script.rename(programs / script.name)
        content = moved.read_bytes()
        rewritten = _SHEBANG.sub(b"#!%b\n" % interpreter.encode(), content)
        if rewritten != content:
            moved.write_bytes(rewritten)
    if not any(source.iterdir()):
        source.rmdir()
    _correct_records(site_packages)


async def compile_tree(interpreter: Interpreter, trees: Mapping[Path, str]) -> None:
    """Writes bytecode beside the sources: workers cannot, their trees are read-only.

    Each tree comes with the path under which workers see it; tracebacks and the bytecode itself show that one.
    """
    for tree, shown in trees.items():
        arguments = [str(interpreter.path), "-I", "-S", "-c", _COMPILE, "-s", str(tree), "-p", shown, str(tree)]
        try:
            await run(arguments, environment={}, timeout=COMPILE_TIMEOUT)
        except TimeoutError as error:
            raise InstallerFailed("Compiling to bytecode", "it took longer than 5 minutes.") from error


def _correct_records(site_packages: Path) -> None:
    """Lets ``importlib.metadata`` find the moved scripts. Their hashes changed with the first line."""
    for record in site_packages.glob("*.dist-info/RECORD"):
        if record.is_symlink() or not record.is_file():
            continue
        content = record.read_bytes()
        corrected = re.sub(rb"^bin/([^/,\"\r\n]+),[^\r\n]*", rb"../../../bin/\1,,", content, flags=re.MULTILINE)
        if corrected != content:
            record.write_bytes(corrected)
