"""What the kernel says of a running worker, read from the host's side, by the test itself."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from moorage_sandbox.interpreter import QUERY, Interpreter
from moorage_sandbox.libraries import find_libraries
from moorage_sandbox.plan import ZONES
from moorage_sandbox.policy import DEFAULT_POLICY

pytestmark = pytest.mark.system

WAIT_FOR_EVER = "import time\nwhile True: time.sleep(60)"

ALL_NAMESPACES = ("mnt", "pid", "net", "ipc", "uts", "cgroup")
CAPABILITY_SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")

READ = {"ro", "nosuid", "nodev"}
EMPTY = {"ro", "nosuid", "nodev", "noexec"}
WRITE = {"rw", "nosuid", "nodev", "noexec"}
DEVICE = {"rw", "nosuid", "noexec"}


@dataclass
class Held:
    """Two workers of one zygote, which wait."""

    host: int
    pids: tuple[int, ...]
    stage: object

    @property
    def proc(self) -> Path:
        return Path(f"/proc/{self.pids[0]}")

    def status(self) -> dict[str, str]:
        lines = (self.proc / "status").read_text().splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


@contextlib.contextmanager
def _held(stage, start: str) -> Iterator[Held]:
    jobs = [stage.job(WAIT_FOR_EVER, start=start) for _ in range(2)]
    host = stage.host(hold=True, jobs=jobs)
    try:
        assert host.stdout is not None
        yield Held(host.pid, tuple(json.loads(host.stdout.readline())), stage)
    finally:
        host.kill()
        host.communicate()


@pytest.fixture(scope="module", params=["zygote", "fresh"])
def held(request, stage) -> Iterator[Held]:
    with _held(stage, request.param) as workers:
        yield workers


def test_privileges_are_gone_for_good(held) -> None:
    status = held.status()
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert {name: int(status[name], 16) for name in CAPABILITY_SETS} == dict.fromkeys(CAPABILITY_SETS, 0)
    uid = 61_777 if held.stage.user is None and os.geteuid() == 0 else (held.stage.user or os.geteuid())
    assert status["Uid"].split() == status["Gid"].split() == [str(uid)] * 4
    assert status["Groups"].split() in ([], [str(uid)])
    assert status["TracerPid"] == "0"


def test_namespaces_are_its_own(held) -> None:
    kinds = (*ALL_NAMESPACES, *(("user",) if held.stage.user is not None else ()))
    worker, other, host = ({kind: _namespace(pid, kind) for kind in kinds} for pid in (*held.pids, held.host))
    assert all(len({worker[kind], other[kind], host[kind]}) == 3 for kind in kinds), (worker, other, host)
    assert held.status()["NSpid"].split()[-1] == "1"


def _namespace(pid: int, kind: str) -> str:
    return os.readlink(f"/proc/{pid}/ns/{kind}")


def test_mounts_are_those_that_were_meant(held) -> None:
    lines = (held.proc / "mountinfo").read_text().splitlines()
    seen = {fields[4]: set(fields[5].split(",")) for fields in map(str.split, lines)}
    expected = _expected_mounts(held.stage.python)
    assert sorted(seen) == sorted(expected)
    for path, options in expected.items():
        # A source that is mounted with more restrictions keeps them.
        assert options <= seen[path], (path, seen[path])


def _expected_mounts(python: Path) -> dict[str, set[str]]:
    answer = subprocess.run([python, "-I", "-S", "-c", QUERY], capture_output=True, text=True, check=True).stdout
    interpreter = Interpreter.from_answer(answer)
    read = ["/", "/sdk", "/runtime", "/venv", "/plugin", *find_libraries(os.uname().machine).folders]
    read += [interpreter.inside(path) for path in interpreter.needed]
    read += [ZONES] if Path(ZONES).is_dir() else []
    return {
        **dict.fromkeys(read, READ),
        **dict.fromkeys(("/etc", "/run/host"), EMPTY),
        **dict.fromkeys(("/data", "/tmp", "/dev/shm"), WRITE),
        **{f"/dev/{name}": DEVICE for name in ("null", "zero", "full", "random", "urandom")},
    }


def test_limits_are_the_policys(held) -> None:
    text = (held.proc / "limits").read_text()
    hard = {name: int(value) for name, value in re.findall(r"^(Max .*?)  +\S+ +(\d+)", text, re.MULTILINE)}
    wanted = {
        "Max core file size": 0,
        "Max open files": DEFAULT_POLICY.open_files,
        "Max file size": DEFAULT_POLICY.file_bytes,
        "Max stack size": DEFAULT_POLICY.stack_bytes,
        "Max locked memory": DEFAULT_POLICY.locked_bytes,
        "Max processes": 64,
        "Max data size": 256 << 20,
    }
    assert {name: hard.get(name) for name in wanted} == wanted
