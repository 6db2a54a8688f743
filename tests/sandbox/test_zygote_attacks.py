"""The zygote as a target: what its workers could find of it, and what becomes of them when it, or one of them, dies."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import select
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from moorage.models.incarnation import VerdictKind
from moorage.supervisor.bounded import BoundedLauncher
from moorage.supervisor.cgroups import Cgroups
from moorage.supervisor.errors import SandboxFailed
from moorage.supervisor.launcher import WorkerOrder
from moorage.supervisor.records import Records
from moorage.supervisor.zygote import ZygoteLauncher
from moorage_sandbox import plan

pytestmark = pytest.mark.system

TIMEOUT = timedelta(seconds=15)
WAIT = "os.write(1, b'here\\n')\nimport time\nwhile True: time.sleep(60)"
IMPORTS = ("asyncio", "site", "standin")
LEVELS = ("full", "full-bwrap", "restricted")
HOST_SECRET = "planted-in-the-hosts-environment-7Q"


@contextmanager
def held(stage, jobs, **order) -> Iterator[list[int]]:
    """Workers that wait; their pids."""
    host = stage.host(hold=True, jobs=jobs, **order)
    assert host.stdout is not None
    try:
        assert select.select([host.stdout], [], [], 20)[0], "no workers in time"
        yield json.loads(host.stdout.readline())
    finally:
        host.kill()
        host.communicate()


def memory_of(pid: int) -> bytes:
    """Every page that the process can write, or has written: where something of another could have been left."""
    parts = []
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            found = re.match(r"([0-9a-f]+)-([0-9a-f]+) r", line)
            if found is None or "[v" in line:
                continue
            start, end = (int(word, 16) for word in found.groups())
            memory.seek(start)
            try:
                parts.append(memory.read(end - start))
            except OSError:
                continue
    return b"".join(parts)


@pytest.fixture
def reading() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can read the memory of a process that is not dumpable")


@pytest.mark.parametrize("start", ["zygote", "fresh"])
def test_nothing_of_host_and_neighbours_is_in_a_workers_memory(stage, reading, start) -> None:
    own, neighbours = "own-record-3K", "neighbours-record-5Z"
    stage.env["STAGE_SECRET"] = HOST_SECRET
    jobs = [stage.job(WAIT, facts={"token": token}, start=start) for token in (neighbours, own)]
    with held(stage, jobs) as (_, pid):
        memory, zygote = memory_of(pid), memory_of(psutil.Process(pid).ppid())
    assert own.encode() in memory, "the control: what it was given is found there"
    # A fork has read where its own folders lie before it gave them up; what is executed anew has not.
    host_path = {"fresh": [str(stage.base)], "zygote": []}[start]
    assert [marker for marker in (neighbours, HOST_SECRET, *host_path) if marker.encode() in memory] == []
    everything = (neighbours, own, HOST_SECRET, str(stage.base))
    assert [marker for marker in everything if marker.encode() in zygote] == []


def settled_descriptors(pid: int) -> dict[str, str]:
    """Once the last import is done, of a worker that waits."""
    deadline = time.monotonic() + 10
    while True:
        names = os.listdir(f"/proc/{pid}/fd")
        if len(names) == 3 or time.monotonic() > deadline:
            return {name: os.readlink(f"/proc/{pid}/fd/{name}") for name in names}
        time.sleep(0.01)


@pytest.mark.parametrize("level", LEVELS)
def test_descriptors_arguments_and_environment_tell_nothing(stage, reading, level) -> None:
    stage.env["STAGE_SECRET"] = HOST_SECRET
    with held(stage, [stage.job(WAIT)], level=level) as (pid,):
        descriptors = settled_descriptors(pid)
        chain = [psutil.Process(pid), *psutil.Process(pid).parents()]
        processes = [process.pid for process in chain if process.ppid() != 0][:3]
        assert set(descriptors) == {"0", "1", "2"}
        assert not any("socket" in target for target in descriptors.values())
        for each in processes:
            environment = Path(f"/proc/{each}/environ").read_bytes()
            assert HOST_SECRET.encode() not in environment or b"driver.py" in Path(f"/proc/{each}/cmdline").read_bytes()
        if level != "restricted":
            assert str(stage.base).encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_the_launching_code_has_left_no_names(stage) -> None:
    code = "import __main__; value = sorted(name for name in vars(__main__) if not name.startswith('__'))"
    results = stage.run(*(stage.job(code, start=start) for start in ("zygote", "fresh")))
    assert [result["value"] for result in results] == [[], []]


def test_workers_of_one_zygote_draw_different_numbers(stage) -> None:
    code = """
import random, secrets, tempfile, uuid
value = [random.random(), random.Random().random(), secrets.token_hex(8), str(uuid.uuid4()), os.urandom(4).hex(),
         next(tempfile._get_candidate_names()), random.SystemRandom().random()]
"""
    imports = [*IMPORTS, "random", "tempfile", "uuid"]
    first, second = stage.run(stage.job(code), stage.job(code), imports=imports)
    assert all(a != b for a, b in zip(first["value"], second["value"], strict=True)), (first, second)


def test_no_import_of_the_zygotes_draws_a_number_of_openssls(stage) -> None:
    """OpenSSL notices a fork by its pid, and here everyone is process 1: had the zygote drawn a number before it forks,
    all plugins would share one stream. So nothing that it imports may draw one; the control is a module that does."""
    (stage.base / "sdk" / "drawing.py").write_text("import ssl\nssl.RAND_bytes(1)\n")
    imports = tuple(name for name in plan.ZYGOTE_IMPORTS if not name.startswith("moorage_sdk"))
    code = "import random, ssl, uuid\nvalue = [ssl.RAND_bytes(8).hex(), random.random(), uuid.uuid4().hex]"

    def drawn(*more: str) -> list[tuple[object, ...]]:
        results = stage.run(stage.job(code), stage.job(code), imports=(*imports, "standin", *more))
        return list(zip(*(result["value"] for result in results), strict=True))

    assert [one == other for one, other in drawn()] == [False, False, False]
    assert [one == other for one, other in drawn("drawing")] == [True, False, False]


def test_a_workers_mounts_are_not_the_zygotes(stage, reading) -> None:
    with held(stage, [stage.job(WAIT)]) as (pid,):
        points = {line.split()[4] for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()}
        zygotes = Path(f"/proc/{psutil.Process(pid).ppid()}/mountinfo").read_text().splitlines()
        assert {"/data", "/plugin", "/etc"} <= points
        assert not {"/data", "/plugin", "/etc"} & {line.split()[4] for line in zygotes}


ON_THE_ZYGOTE = {
    "signal": ("os.kill(os.getppid(), 9)", ("EPERM",)),
    "pidfd": ("import signal; fd = os.pidfd_open(os.getppid()); call(424, fd, 9, None, 0)", ("ENOSYS", "EPERM")),
    "memory": ("open(f'/proc/{os.getppid()}/mem', 'rb').read(1)", ("EACCES",)),
    "limits": (
        "import resource; resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (0, 0))",
        ("EPERM", "PermissionError"),
    ),
    "priority": ("os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)", ("EPERM",)),
    "ptrace": ("call(101, 16, os.getppid(), 0, 0)", ("SIGSYS", "forbidden ptrace")),
    "vm_readv": ("call(310, os.getppid(), None, 0, None, 0, 0)", ("SIGSYS", "forbidden process_vm_readv")),
}


@pytest.mark.parametrize("attack", ON_THE_ZYGOTE)
def test_a_restricted_worker_sees_its_zygote_and_cannot_touch_it(stage, attack) -> None:
    code, outcomes = ON_THE_ZYGOTE[attack]
    pid = "value = os.getppid()"
    attacked, before, after = stage.run(stage.job(code), stage.job(pid), stage.job(pid), level="restricted")
    assert attacked["outcome"] in outcomes, attacked
    assert before["value"] == after["value"], "the zygote is another one"


def test_in_the_whole_sandbox_there_is_no_zygote_to_be_seen(stage) -> None:
    (result,) = stage.run(stage.job("value = os.getppid()"))
    assert result["value"] == 0


# -- deaths --------------------------------------------------------------------------------------------------------


@pytest.fixture
def here(request):
    """This process is the host."""
    return request.getfixturevalue("privileged" if os.geteuid() == 0 else "ordinary")


class Deadly:
    """An admission that does something to the process that is to be admitted."""

    group = None

    def __init__(self, deed) -> None:
        self._deed = deed
        self.pid = 0

    async def admit(self, pid: int) -> None:
        self.pid = pid
        self._deed(pid)


@pytest.fixture
def order(here):
    reader, writer = os.pipe()

    def make(code: str = WAIT, **changes) -> WorkerOrder:
        base = here.base
        values = {
            "installation": "stage",
            "incarnation": "stage-1",
            "interpreter": here.python,
            "runtime_path": here.runtime,
            "sdk_path": base / "sdk",
            "use_runtime": True,
            "venv_path": base / "venv",
            "code_path": base / "code",
            "code_roots": ("",),
            "data_path": base / "data",
            "socket_dir": base / "socket",
            "start_record": lambda _: json.dumps({"code": code, "facts": {}}).encode(),
            "uid": 61_777,
            "memory_bytes": 256 << 20,
            "pids": 64,
            "start": "zygote",
            "stdout_fd": writer,
            "stderr_fd": writer,
            **changes,
        }
        return WorkerOrder(**values)

    yield make
    os.close(reader)
    os.close(writer)


@pytest.fixture(params=LEVELS)
async def launcher(request):
    async with ZygoteLauncher(level=request.param, entry="standin:main", imports=IMPORTS) as launcher:
        yield launcher


async def works(launcher, order) -> None:
    worker = await launcher.start(order("os._exit(7)"), timeout=TIMEOUT)
    async with asyncio.timeout(10):
        assert (await worker.wait()).exit_code == 7


def children_of(pid: int) -> set[int]:
    """Quicker than psutil, which looks at every process of the machine."""
    return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


async def until_gone(pid: int) -> None:
    """Gone, or a zombie that nobody has reaped yet."""
    async with asyncio.timeout(10):
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            await asyncio.sleep(0.01)


async def test_a_child_that_is_killed_before_it_is_let_go_never_runs(launcher, order) -> None:
    await works(launcher, order)
    before = len(os.listdir("/proc/self/fd"))
    deadly = Deadly(lambda pid: os.kill(pid, signal.SIGKILL))
    try:
        worker = await launcher.start(order(admission=deadly), timeout=TIMEOUT)
    except SandboxFailed as error:
        refusal = str(error)
        assert "ended" in refusal
    else:  # it was let go before its death had become known
        async with asyncio.timeout(10):
            assert (await worker.wait()).signal == "SIGKILL"
    await until_gone(deadly.pid)
    await works(launcher, order)
    assert len(os.listdir("/proc/self/fd")) == before


async def test_children_killed_at_any_moment_of_their_start_cost_nobody_else(launcher, order) -> None:
    stays = await launcher.start(order(), timeout=TIMEOUT)
    zygote = zygote_of(stays.pid)
    known = children_of(zygote)
    outcomes = set()
    for attempt in range(12):
        starting = asyncio.create_task(launcher.start(order(), timeout=TIMEOUT))
        async with asyncio.timeout(10):
            while not (fresh := children_of(zygote) - known):
                await asyncio.sleep(0)
        await asyncio.sleep(0.001 * attempt)
        with contextlib.suppress(ProcessLookupError):
            os.kill(fresh.pop(), signal.SIGKILL)
        try:
            worker = await starting
        except SandboxFailed as error:
            outcomes.add("refused" if "ended" in str(error) else str(error))
        else:
            outcomes.add("ended")
            async with asyncio.timeout(10):
                await worker.wait()
        # What bwrap had made and not bound to itself yet falls to the zygote, which ends it.
        async with asyncio.timeout(10):
            while children_of(zygote) != known:
                await asyncio.sleep(0.01)
    assert "refused" in outcomes
    assert outcomes <= {"refused", "ended"}
    assert psutil.pid_exists(stays.pid)
    await works(launcher, order)


async def test_a_child_that_the_kernel_kills_for_memory_while_it_is_set_up_is_a_failed_start(
    launcher, order, tmp_path
) -> None:
    groups = Cgroups(tmp_path)
    groups.open()
    try:
        if "memory" not in groups.available.controllers:
            pytest.skip(f"no bound on memory here: {groups.available.reason}")
        bounded = BoundedLauncher(launcher, groups, Records(tmp_path))
        stays = await launcher.start(order(), timeout=TIMEOUT)
        # Less than the pages that a fork touches: it does not come to its first step.
        with pytest.raises(SandboxFailed) as refused:
            await bounded.start(order(memory_bytes=64 << 10), timeout=TIMEOUT)
        assert "ended" in str(refused.value)
        assert psutil.pid_exists(stays.pid)
        await works(launcher, order)
    finally:
        groups.close()


async def test_a_zygote_that_is_killed_in_the_middle_of_a_start_takes_all_along(launcher, order) -> None:
    stays = await launcher.start(order(), timeout=TIMEOUT)
    zygote = zygote_of(stays.pid)
    deadly = Deadly(lambda _: os.kill(zygote, signal.SIGKILL))
    try:
        worker = await launcher.start(order(admission=deadly), timeout=TIMEOUT)
    except SandboxFailed as error:
        refusal = str(error)
        assert "ended" in refusal
    else:
        async with asyncio.timeout(10):
            assert "zygote" in (await worker.wait()).sentence
    async with asyncio.timeout(10):
        assert "zygote" in (await stays.wait()).sentence
    await until_gone(stays.pid)
    await until_gone(deadly.pid)
    await works(launcher, order)


async def test_a_stopped_zygote_delays_starts_and_keeps_no_worker_from_being_killed(launcher, order) -> None:
    stays = await launcher.start(order(), timeout=TIMEOUT)
    zygote = zygote_of(stays.pid)
    os.kill(zygote, signal.SIGSTOP)
    try:
        with pytest.raises(TimeoutError):
            await launcher.start(order(), timeout=timedelta(milliseconds=300))
        stays.kill()
        async with asyncio.timeout(10):
            verdict = await stays.wait()
        assert verdict.kind in (VerdictKind.EXITED, VerdictKind.SIGNALLED)
    finally:
        os.kill(zygote, signal.SIGCONT)
    await works(launcher, order)
    async with asyncio.timeout(10):
        while psutil.Process(zygote).children():
            await asyncio.sleep(0.01)


async def test_a_stopped_zygote_does_not_keep_its_host_from_closing(order) -> None:
    for level in LEVELS:
        async with ZygoteLauncher(level=level, entry="standin:main", imports=IMPORTS) as launcher:
            worker = await launcher.start(order(), timeout=TIMEOUT)
            os.kill(zygote_of(worker.pid), signal.SIGSTOP)
        async with asyncio.timeout(10):
            await worker.wait()
        await until_gone(worker.pid)


def zygote_of(pid: int) -> int:
    """Of a worker; bwrap's processes may stand between."""
    for process in psutil.Process(pid).parents():
        if "moorage_sandbox.zygote" in " ".join(process.cmdline()):
            return process.pid
    raise AssertionError(f"{pid} has no zygote: {sys.argv[0]}")


async def test_starts_that_wait_for_their_turn_learn_at_once_that_the_zygote_ended(launcher, order) -> None:
    """The zygote answers one by one: a start may find it gone when its turn has come."""
    stays = await launcher.start(order(), timeout=TIMEOUT)
    zygote = zygote_of(stays.pid)
    os.kill(zygote, signal.SIGSTOP)
    starting = [asyncio.create_task(launcher.start(order(), timeout=TIMEOUT)) for _ in range(4)]
    for _ in range(200):
        await asyncio.sleep(0)
    os.kill(zygote, signal.SIGKILL)
    async with asyncio.timeout(TIMEOUT.total_seconds() / 2):
        ends = await asyncio.gather(*starting, return_exceptions=True)
    assert {getattr(end, "verdict", end).kind for end in ends} == {VerdictKind.ZYGOTE_LOST}
    assert all("layer" not in str(end) for end in ends)
    await works(launcher, order)
