"""Has the actions tried: on a stage, in sandboxes whole and wanting, and by a plain process."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from hostile.judging import Run
from hostile.planted import Planted, open_to_all
from hostile.rows import ESCAPED, FORBIDDEN, Row

HERE = Path(__file__).parent

#: Whose threads are counted against its bound: no other test run's.
UID = 300_000 + os.getpid() % 100_000

CODE = "import attacks; value = attacks.attempt({name!r}, facts) and None"
IMPORTS = ("asyncio", "site", "ctypes", "attacks", "standin")


class Stage(Protocol):
    """Of tests/sandbox/conftest.py."""

    base: Path
    python: Path
    env: dict[str, str]
    site_packages: str

    def job(self, code: str, **more: Any) -> dict[str, Any]: ...
    def run(self, *jobs: dict[str, Any], **order: Any) -> list[dict[str, Any]]: ...
    def plain(self, job: dict[str, Any], pass_fds: tuple[int, ...] = ()) -> dict[str, Any]: ...


def prepare(stage: Stage) -> None:
    """Puts the actions, a program and a library where workers of this stage see them."""
    sdk = stage.base / "sdk"
    if (sdk / "attacks").exists():
        return
    shutil.copytree(HERE / "actions", sdk / "attacks", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy("/bin/echo", sdk / "program")
    shutil.copyfile(_some_library(stage.python), sdk / "library.so")


def _some_library(python: Path) -> str:
    """A small shared library without dependencies of its own."""
    code = "import _posixshmem; print(_posixshmem.__file__)"
    return subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def try_all(stage: Stage, run: Run, planted: Planted, rows: Sequence[Row]) -> dict[str, str]:
    """Outcome by the action's name. Each has a process of its own."""
    prepare(stage)
    stage.env["STAGE_SECRET"] = "planted"
    if run.kind == "control":
        return _plain(stage, planted, rows)
    sdk, facts = _sdk(stage, run), _facts(stage, run, planted)
    # Without a user namespace an ordinary user's worker is that user.
    user = {"uid": None if (run.kind, run.host) == ("restricted", "user") else UID}
    with _granted_socket(stage.base / "socket"):
        jobs = [stage.job(CODE.format(name=row.name), facts=facts, start=run.start, sdk=sdk, **user) for row in rows]
        how = {"level": "full", "require": "none"} if run.kind == "ablation" else {"level": run.kind}
        leaks = {"leak": planted.inherited, "pass_fds": (planted.inherited,)}
        results = stage.run(*jobs, imports=IMPORTS, **how, **leaks)
    outcomes = {row.name: outcome_of(result, run) for row, result in zip(rows, results, strict=True)}
    return _heard(outcomes, {row.name: result for row, result in zip(rows, results, strict=True)}, planted)


def _heard(outcomes: dict[str, str], results: Mapping[str, Any], planted: Planted) -> dict[str, str]:
    """A signal to everybody has escaped if somebody heard it."""
    name = "kill_minus1_probe"
    if outcomes.get(name) == ESCAPED and not planted.heard(results[name]["pid"]):
        outcomes[name] = "UNHEARD"
    return outcomes


def outcome_of(result: Mapping[str, Any], run: Run) -> str:
    if "failed" in result:
        return f"not started: {result['failed']}"
    if run.kind != "ablation" and result["level"] != run.kind:
        return f"level {result['level']}"
    if result["verdict"] == "forbidden_system_call":
        return FORBIDDEN
    outcome = str(result["outcome"])
    # Another program ran in the worker's place.
    return ESCAPED if outcome == "exit 0" and result["output"] else outcome


def _facts(stage: Stage, run: Run, planted: Planted) -> dict[str, Any]:
    inside = run.kind != "restricted"
    base = str(stage.base)
    places = {
        "code": "/plugin",
        "site": stage.site_packages,
        "data": "/data",
        "tmp": "/tmp",
        "socket": "/run/host",
        "program": "/sdk/program",
        "library": "/sdk/library.so",
    }
    hosted = {
        "code": f"{base}/code",
        "site": base + stage.site_packages,
        "data": f"{base}/data",
        "tmp": f"{base}/socket/tmp",
        "socket": f"{base}/socket",
        "program": f"{base}/sdk/program",
        "library": f"{base}/sdk/library.so",
    }
    return {
        **planted.facts,
        **(places if inside else hosted),
        "root": "/.host" if "mount" in run.dropped else "",
        "host_data": f"{base}/data",
        "makes_own_network": False,
        "has_own_network": run.has_own_network,
    }


def _sdk(stage: Stage, run: Run) -> str:
    """The name of a folder beside ``sdk``, whose copy of the sandbox lacks what the run drops."""
    if not run.dropped:
        return "sdk"
    name = "sdk-" + "".join(character if character.isalnum() else "-" for character in run.name)
    folder = stage.base / name
    if not folder.exists():
        shutil.copytree(stage.base / "sdk", folder)
        package = folder / "moorage_sandbox"
        shutil.copy(HERE / "ablation.py", package)
        with (package / "__init__.py").open("a") as stream:
            stream.write(f"\nfrom moorage_sandbox import ablation\nablation.drop(frozenset({sorted(run.dropped)!r}))\n")
    return name


class _granted_socket:
    """The socket that leads to the host, and a file beside it that may be removed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        self._server = socket.socket(socket.AF_UNIX)
        path = self._folder / "h"
        path.unlink(missing_ok=True)
        self._server.bind(str(path))
        self._server.listen(64)
        (self._folder / "spare").touch()
        open_to_all(self._folder)

    def __exit__(self, *_: object) -> None:
        self._server.close()
        (self._folder / "h").unlink(missing_ok=True)


def _plain(stage: Stage, planted: Planted, rows: Sequence[Row]) -> dict[str, str]:
    folder = Path(tempfile.mkdtemp(prefix="moorage-control-"))
    try:
        with _granted_socket(folder):
            facts = {
                **planted.facts,
                **{name: str(folder) for name in ("code", "site", "data", "host_data", "tmp", "socket")},
                "root": "",
                "program": f"{stage.base}/sdk/program",
                "library": f"{stage.base}/sdk/library.so",
                "makes_own_network": True,
                "has_own_network": True,
            }
            os.chmod(folder, 0o777)
            jobs = {row.name: stage.job(CODE.format(name=row.name), facts=facts) for row in rows}
            results = {name: stage.plain(job, pass_fds=(planted.inherited,)) for name, job in jobs.items()}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return _heard({name: _plain_outcome(result) for name, result in results.items()}, results, planted)


def _plain_outcome(result: Mapping[str, Any]) -> str:
    return ESCAPED if result["outcome"] == "executed" else str(result["outcome"])
