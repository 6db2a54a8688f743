"""A stage for sandboxed workers: a folder that every user can read, a host process as root or as an ordinary user."""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import moorage
import moorage_proto
import moorage_sandbox

HERE = Path(__file__).parent
REQUIREMENTS = HERE.parents[1] / "requirements" / "dev.txt"
HOST_PACKAGES = (moorage, moorage_sandbox, moorage_proto)

#: No user of this machine: not root, and not the test's own.
ORDINARY_UID = 62_002
WORKER_UID = 61_777
DEADLINE_SECONDS = 50

#: Hides a part of /proc in a mount namespace of its own: mounting a new /proc is then refused to ordinary users.
MASK = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /proc/tty && exec "$@"', "sh")

PYTHONS = ("3.9", "3.11", "3.12", "3.13")


def _world_readable_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="moorage-stage-"))
    folder.chmod(0o755)
    return folder


def find_python(version: str) -> Path | None:
    """The real path of an interpreter, if this machine has it: on the path, or made by pyenv or uv."""
    name = f"python{version}"
    candidates = [Path(shutil.which(name) or "/nonexistent")]
    candidates += sorted(Path(sys.base_prefix).parent.glob(f"{version}.*/bin/{name}"))
    candidates += sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/{name}"))
    candidates += sorted(Path.home().glob(f".local/share/uv/python/cpython-{version}.*/bin/{name}"))
    for candidate in candidates:
        with contextlib.suppress(OSError):
            asked = subprocess.run([candidate, "-I", "-S", "-c", ""], capture_output=True, check=False)
            if asked.returncode == 0:
                return candidate.resolve()
    return None


@pytest.fixture(scope="session")
def runtime_for(tmp_path_factory):
    """Makes the folder with grpcio and protobuf for an interpreter, once."""
    made: dict[Path, Path] = {}
    base = _world_readable_folder()

    def make(interpreter: Path) -> Path:
        if interpreter not in made:
            target = base / f"runtime{len(made)}"
            requirements = Path(moorage.__file__ or "").parent / "environments" / "runtime.txt"
            command = [_uv(), "pip", "install", "--quiet", "--target", target, "--python", interpreter]
            command += ["--only-binary", ":all:", "--link-mode", "copy", "--compile-bytecode", "--require-hashes"]
            subprocess.run([*command, "-r", requirements], check=True, cwd="/")
            made[interpreter] = target
        return made[interpreter]

    yield make
    shutil.rmtree(base, ignore_errors=True)


@dataclass
class Stage:
    """One host's folders, and the user that the host is."""

    base: Path
    #: None: as this process.
    user: int | None
    python: Path
    runtime: Path
    #: As the worker sees it.
    site_packages: str
    imports: tuple[str, ...] = ("asyncio", "site", "grpc.aio", "google.protobuf.descriptor_pool", "standin")
    env: dict[str, str] = field(default_factory=dict)

    def job(self, code: str, **more: Any) -> dict[str, Any]:
        facts = more.pop("facts", {})
        defaults = {"interpreter": str(self.python), "runtime": str(self.runtime), "uid": WORKER_UID}
        return {"code": code, "facts": facts, **defaults, **more}

    def run(self, *jobs: dict[str, Any], **order: Any) -> list[dict[str, Any]]:
        """Runs the jobs one after another in one host process; one result for each."""
        process = self.host(**order, jobs=jobs)
        output, complaint = process.communicate(timeout=DEADLINE_SECONDS)
        assert process.returncode == 0, complaint
        return [json.loads(line) for line in output.splitlines()]

    def host(self, **order: Any) -> subprocess.Popen[str]:
        """A host process that has been given an order."""
        order = {"base": str(self.base), "imports": self.imports, "jobs": (), **order}
        pass_fds = order.pop("pass_fds", ())
        masked = order.pop("masked_proc", False)
        process = self.process([self._host_python, self.base / "driver.py"], pass_fds=pass_fds, masked_proc=masked)
        assert process.stdin is not None
        process.stdin.write(json.dumps(order))
        process.stdin.close()
        process.stdin = None
        return process

    def plain(self, job: dict[str, Any], pass_fds: tuple[int, ...] = ()) -> dict[str, Any]:
        """The control: the same code in a plain process of an ordinary user."""
        process = self.process([job["interpreter"], "-S", self.base / "sdk" / "standin.py"], pass_fds=pass_fds)
        output, complaint = process.communicate(json.dumps(job), timeout=DEADLINE_SECONDS)
        if process.returncode < 0:
            return {"outcome": f"signal {-process.returncode}"}
        assert output, complaint
        try:
            result: dict[str, Any] = {"pid": process.pid, **json.loads(output.partition("\n")[0])}
        except ValueError:
            # Another program ran in its place.
            return {"outcome": "executed"}
        return result

    def process(
        self, command: list[Any], pass_fds: tuple[int, ...] = (), *, masked_proc: bool = False
    ) -> subprocess.Popen[str]:
        """``masked_proc``: something is mounted over a part of /proc, as container engines do; root alone can."""
        drop: dict[str, Any] = {}
        packages = _own_packages()
        if self.user is not None and os.geteuid() == 0:
            drop = {"user": self.user, "group": self.user, "extra_groups": []}
            packages = str(_packages_for_others(self.python))
        if masked_proc:
            names = ("--reuid", str(drop["user"]), "--regid", str(drop["group"]), "--clear-groups") if drop else ()
            command = [*MASK, "setpriv", *names, "--", *command]
            drop = {}
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
            env={"PATH": os.environ["PATH"], "PYTHONPATH": packages, **self.env},
            pass_fds=pass_fds,
            **drop,
        )

    @property
    def _host_python(self) -> str:
        return sys.executable if self.user is None else str(self.python)


def _own_packages() -> str:
    sources = [str(Path(package.__file__ or "").parent.parent) for package in HOST_PACKAGES]
    return os.pathsep.join([*sources, sysconfig.get_path("purelib")])


@functools.cache
def _packages_for_others(python: Path) -> Path:
    """The same where every user can read it: this checkout, and its virtualenv, may lie where nobody else can."""
    folder = _world_readable_folder()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    command = [_uv(), "pip", "install", "--quiet", "--target", folder, "--python", python]
    command += ["--only-binary", ":all:", "--require-hashes", "-r", REQUIREMENTS]
    subprocess.run(command, check=True, cwd="/")
    for package in HOST_PACKAGES:
        source = Path(package.__file__ or "").parent
        shutil.copytree(source, folder / source.name)
    return folder


def _uv() -> str:
    return shutil.which("uv") or str(Path(sys.executable).parent / "uv")


def _staged(user: int | None, python: Path, runtime_for: Callable[[Path], Path]) -> Iterator[Stage]:
    made = _make_stage(user, python, runtime_for(python))
    yield made
    shutil.rmtree(made.base, ignore_errors=True)


def _make_stage(user: int | None, python: Path, runtime: Path) -> Stage:
    base = _world_readable_folder()
    version = subprocess.run(
        [python, "-I", "-S", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    shutil.copytree(Path(moorage_sandbox.__file__).parent, base / "sdk" / "moorage_sandbox")
    shutil.copy(HERE / "stage" / "standin.py", base / "sdk")
    shutil.copy(HERE / "stage" / "driver.py", base)
    site_packages = base / "venv" / "lib" / f"python{version}" / "site-packages"
    site_packages.mkdir(parents=True)
    (site_packages / "in_venv.py").write_text("WHERE = __file__\n")
    (base / "venv" / "bin").mkdir()
    (base / "venv" / "bin" / "python").symlink_to(python)
    (base / "venv" / "pyvenv.cfg").write_text(f"home = {python.parent}\n")
    (base / "code" / "src").mkdir(parents=True)
    (base / "code" / "src" / "in_code.py").write_text("WHERE = __file__\n")
    for name in ("data", "socket"):
        (base / name).mkdir()
    # So that a plain process of another user could write: the sandbox alone is what refuses.
    (base / "code").chmod(0o777)
    site_packages.chmod(0o777)
    (base / "data").chmod(0o777)
    (base / "socket").chmod(0o777)
    return Stage(base, user, python, runtime, f"/venv/lib/python{version}/site-packages")


def _system_python() -> Path | None:
    """An interpreter that an ordinary user can run, and that can load this environment's packages."""
    for candidate in (Path("/usr/bin/python3"), Path("/usr/local/bin/python3")):
        code = f"import sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]!r})"
        if candidate.exists() and subprocess.run([candidate, "-I", "-S", "-c", code], check=False).returncode == 0:
            return candidate.resolve()
    return None


@pytest.fixture(scope="session")
def shared_python() -> Path:
    python = _system_python()
    if python is None:
        pytest.skip("no interpreter of this version that every user may run")
    return python


@pytest.fixture(scope="session")
def stage_for() -> Iterator[Callable[[int | None, Path, Path], Stage]]:
    """Makes a stage for a user (None: whoever runs the tests), an interpreter and a runtime folder."""
    with contextlib.ExitStack() as stack:

        def make(user: int | None, python: Path, runtime: Path) -> Stage:
            made = _make_stage(user, python, runtime)
            stack.callback(shutil.rmtree, made.base, ignore_errors=True)
            return made

        yield make


@pytest.fixture(scope="session")
def ordinary(shared_python, runtime_for) -> Iterator[Stage]:
    """A stage whose host is an ordinary user without any privilege."""
    yield from _staged(ORDINARY_UID if os.geteuid() == 0 else None, shared_python, runtime_for)


@pytest.fixture(scope="session")
def privileged(shared_python, runtime_for) -> Iterator[Stage]:
    """A stage whose host is root."""
    if os.geteuid() != 0:
        pytest.skip("only root can start workers as root")
    yield from _staged(None, shared_python, runtime_for)


@pytest.fixture(scope="session", params=["root", "user"])
def stage(request) -> Stage:
    """Once as root, once as an ordinary user."""
    return request.getfixturevalue({"root": "privileged", "user": "ordinary"}[request.param])


@pytest.fixture(scope="session", params=PYTHONS)
def any_python(request, runtime_for) -> Iterator[Stage]:
    """A stage for each Python that this machine has."""
    python = find_python(request.param)
    if python is None:
        pytest.skip(f"no Python {request.param} here")
    yield from _staged(None, python, runtime_for)
