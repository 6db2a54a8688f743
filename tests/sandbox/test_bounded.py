"""Real workers in real control groups: where they are, what bounds them, how they end, and that nothing stays."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from moorage.models.incarnation import VerdictKind
from moorage.supervisor import cgroups
from moorage.supervisor.bounded import BoundedLauncher
from moorage.supervisor.cgroups import Cgroups, find_tree, tree_name
from moorage.supervisor.errors import SandboxFailed
from moorage.supervisor.launcher import WorkerOrder
from moorage.supervisor.records import Records
from moorage.supervisor.zygote import ZygoteLauncher
from moorage_sandbox import cgroup, forking
from moorage_sandbox.cgroup import UNIFIED, Bounds, Group

pytestmark = pytest.mark.system

TIMEOUT = timedelta(seconds=10)
WAIT_FOR_EVER = "import time\nwhile True: time.sleep(60)"
MEBIBYTE = 1 << 20


@pytest.fixture
def groups(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root, or the user of a delegated group, can make control groups")
    tree = Cgroups(tmp_path)
    tree.open()
    if tree.available.version == "none":
        pytest.skip(tree.available.reason)
    yield tree
    tree.close()
    assert leftovers(tmp_path) == []


def leftovers(state_dir: Path) -> list[str]:
    mounts = {each.mount for each in cgroup.hierarchies(cgroup.read("/proc/self/cgroup"), _mounts())}
    name = tree_name(state_dir)
    return [path for mount in mounts for path, folders, _ in os.walk(mount) for each in folders if each == name]


def _mounts() -> str:
    return cgroup.read("/proc/self/mountinfo")


@pytest.fixture
async def launcher(groups, tmp_path):
    inner = ZygoteLauncher(entry="standin:main", imports=("asyncio", "site", "standin"))
    launcher = BoundedLauncher(inner, groups, Records(tmp_path))
    yield launcher
    await launcher.close()


@pytest.fixture
def nowhere():
    fd = os.open(os.devnull, os.O_WRONLY)
    yield fd
    os.close(fd)


def order(stage, fd, code: str = WAIT_FOR_EVER, **changes) -> WorkerOrder:
    base = stage.base
    values = {
        "installation": "stage",
        "incarnation": "stage-1",
        "interpreter": stage.python,
        "runtime_path": stage.runtime,
        "sdk_path": base / "sdk",
        "use_runtime": True,
        "venv_path": base / "venv",
        "code_path": base / "code",
        "code_roots": ("",),
        "data_path": base / "data",
        "socket_dir": base / "socket",
        "start_record": lambda _: json.dumps({"code": code, "facts": {}}).encode(),
        "uid": 61_778,
        "memory_bytes": 256 * MEBIBYTE,
        "pids": 64,
        "start": "zygote",
        "stdout_fd": fd,
        "stderr_fd": fd,
        "cpus": 0.5,
        "number": 1,
        **changes,
    }
    return WorkerOrder(**values)


@pytest.mark.parametrize("start", ["zygote", "fresh"])
async def test_a_worker_is_in_every_group_and_in_a_record(privileged, launcher, nowhere, tmp_path, start) -> None:
    worker = await launcher.start(order(privileged, nowhere, start=start), timeout=TIMEOUT)
    places = cgroup.read(f"/proc/{worker.pid}/cgroup")
    assert set(cgroup.member_of(places, _mounts(), worker.group.folders)) == set(worker.group.folders)
    assert cgroup.processes(worker.group) == (worker.pid,)
    (record,) = Records(tmp_path).of("stage")
    assert (record.pid, record.number, record.incarnation, record.alive) == (worker.pid, 1, "stage-1", True)
    assert record.zygote_pid == psutil.Process(worker.pid).ppid()
    assert (tmp_path / "run" / "stage" / "1.json").stat().st_mode & 0o777 == 0o600

    worker.kill()
    verdict = await worker.wait()

    assert (verdict.kind, verdict.signal) == (VerdictKind.SIGNALLED, "SIGKILL")
    assert not any(Path(folder).exists() for folder in worker.group.distinct)
    assert Records(tmp_path).of("stage") == ()
    assert not record.alive


async def test_workers_of_a_zygote_are_each_in_their_own(privileged, launcher, nowhere) -> None:
    orders = [order(privileged, nowhere, incarnation=f"stage-{number}", number=number) for number in range(20)]
    workers = await asyncio.gather(*(launcher.start(each, timeout=TIMEOUT) for each in orders))
    assert [cgroup.processes(worker.group) for worker in workers] == [(worker.pid,) for worker in workers]
    zygote = psutil.Process(workers[0].pid).ppid()
    assert "moorage-" not in cgroup.read(f"/proc/{zygote}/cgroup")


async def test_bounds_are_the_installations(privileged, launcher, nowhere, groups) -> None:
    first = await launcher.start(order(privileged, nowhere), timeout=TIMEOUT)
    assert _bounds(first.group) == {"memory": 256 * MEBIBYTE, "pids": 64, "cpu": 0.5}
    second = await launcher.start(order(privileged, nowhere, number=2, incarnation="stage-2"), timeout=TIMEOUT)
    assert _bounds(first.group)["memory"] == 256 * MEBIBYTE
    third = order(privileged, nowhere, number=3, incarnation="stage-3", generation="new")
    worker = await launcher.start(third, timeout=TIMEOUT)
    assert _bounds(first.group) == {"memory": 512 * MEBIBYTE, "pids": 128, "cpu": 1.0}
    for old in (first, second):
        old.kill()
        await old.wait()
    assert _bounds(worker.group) == {"memory": 256 * MEBIBYTE, "pids": 64, "cpu": 0.5}


def _bounds(group: Group) -> dict[str, float]:
    """Of the installation, as the kernel tells them."""
    folders = {key: str(Path(folder).parent) for key, folder in group.folders.items()}
    found: dict[str, float] = {}
    if "memory" in folders:
        found["memory"] = int(cgroup.read(f"{folders['memory']}/memory.limit_in_bytes"))
        found["cpu"] = int(cgroup.read(f"{folders['cpu']}/cpu.cfs_quota_us")) / cgroup.CPU_PERIOD
        found["pids"] = int(cgroup.read(f"{folders['pids']}/pids.max"))
    else:
        found["memory"] = int(cgroup.read(f"{folders[UNIFIED]}/memory.max"))
        found["cpu"] = int(cgroup.read(f"{folders[UNIFIED]}/cpu.max").split()[0]) / cgroup.CPU_PERIOD
        found["pids"] = int(cgroup.read(f"{folders[UNIFIED]}/pids.max"))
    return found


FILL = """
block = b'x' * 1048576
with open('/tmp/filled', 'wb') as file:
    for _ in range(60):
        file.write(block)
os.write(1, b'survived')
while True: os.read(0, 1) or __import__('time').sleep(60)
"""


async def test_what_fills_tmp_is_out_of_memory(privileged, launcher, nowhere) -> None:
    worker = await launcher.start(order(privileged, nowhere, FILL, memory_bytes=48 * MEBIBYTE), timeout=TIMEOUT)
    async with asyncio.timeout(20):
        verdict = await worker.wait()
    assert verdict.kind is VerdictKind.OUT_OF_MEMORY
    assert verdict.sentence.startswith("It used more than its 48 MiB of memory")
    assert worker.out_of_memory == verdict.sentence


async def test_with_room_enough_it_goes_on(privileged, launcher) -> None:
    reader, writer = os.pipe()
    try:
        await launcher.start(order(privileged, writer, FILL, memory_bytes=160 * MEBIBYTE), timeout=TIMEOUT)
        async with asyncio.timeout(20):
            assert await asyncio.to_thread(os.read, reader, 100) == b"survived"
    finally:
        os.close(reader)
        os.close(writer)


async def test_data_beyond_the_limit_stays_a_memory_error(privileged, launcher) -> None:
    reader, writer = os.pipe()
    code = f"try:\n    bytearray({300 * MEBIBYTE})\nexcept MemoryError:\n    os.write(1, b'MemoryError')"
    try:
        worker = await launcher.start(order(privileged, writer, code), timeout=TIMEOUT)
        async with asyncio.timeout(10):
            assert (await asyncio.to_thread(os.read, reader, 100)).startswith(b"MemoryError")
            assert (await worker.wait()).exit_code == 0
    finally:
        os.close(reader)
        os.close(writer)


async def test_cpu_time_is_bounded(privileged, launcher, nowhere) -> None:
    """An eighth of a core: of each period of 0.1 s the spinning worker gets 12.5 ms."""
    spin = order(privileged, nowhere, "while True: pass", cpus=0.125)
    worker = await launcher.start(spin, timeout=TIMEOUT)
    before = cgroup.cpu_seconds(worker.group)
    await asyncio.sleep(1)  # not synchronisation: time is what is measured
    assert cgroup.cpu_seconds(worker.group) - before < 0.35


async def test_a_kill_does_not_wait_for_cpu_time(privileged, launcher, nowhere, groups) -> None:
    first = await launcher.start(order(privileged, nowhere, "while True: pass", cpus=0.01), timeout=TIMEOUT)
    second = await launcher.start(
        order(privileged, nowhere, cpus=0.01, number=2, incarnation="stage-2"), timeout=TIMEOUT
    )
    first.kill()
    async with asyncio.timeout(5):
        await first.wait()
    assert _bounds(second.group)["cpu"] == 0.01


async def test_a_start_that_is_refused_leaves_nothing(privileged, launcher, nowhere, tmp_path) -> None:
    absent = order(privileged, nowhere, venv_path=tmp_path / "absent")
    with pytest.raises(SandboxFailed):
        await launcher.start(absent, timeout=TIMEOUT)
    assert Records(tmp_path).installations() == ()
    tree = find_tree(tree_name(tmp_path) + "-other", "auto", trial=True)[0]
    assert cgroup.remove(tree)
    assert not any((Path(folder).parent / tree_name(tmp_path) / "i-stage").exists() for folder in tree.distinct)


async def test_a_worker_that_is_in_no_group_is_not_let_go(privileged, launcher, nowhere, monkeypatch) -> None:
    def moved(group: Group, pid: int) -> None:
        raise OSError(30, "Read-only file system", f"{group.distinct[0]}/cgroup.procs")

    monkeypatch.setattr(cgroups, "see_joined", moved)
    with pytest.raises(SandboxFailed, match="layer 'cgroup' is missing"):
        await launcher.start(order(privileged, nowhere), timeout=TIMEOUT)


async def test_the_host_joins_where_the_zygote_could_not(privileged, launcher, nowhere, monkeypatch) -> None:
    monkeypatch.setattr("moorage.supervisor.zygote_process.opened_to_join", lambda _: cgroups.opened_to_join(None))
    worker = await launcher.start(order(privileged, nowhere), timeout=TIMEOUT)
    places = cgroup.read(f"/proc/{worker.pid}/cgroup")
    assert set(cgroup.member_of(places, _mounts(), worker.group.folders)) == set(worker.group.folders)


# -- trees ---------------------------------------------------------------------------------------------------------


def fork_in(group: Group, code) -> int:
    """A process in a group, outside of any sandbox."""
    pid = os.fork()
    if pid == 0:
        try:
            for folder in group.distinct:
                cgroup.write(f"{folder}/cgroup.procs", str(os.getpid()))
            code()
        finally:
            os._exit(0)
    return pid


def daemons() -> None:
    """Two generations, each in a session of its own, deaf to all that can be ignored."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    for _ in range(3):
        if os.fork() == 0:
            os.setsid()
            os.fork()
    signal.pause()


@pytest.mark.parametrize("method", [cgroup.KILL_FILE, cgroup.FREEZER, cgroup.SIGNALS])
def test_a_kill_takes_all_that_forked_away(groups, method) -> None:
    member = groups.enter("tree", 1, "", Bounds(256 * MEBIBYTE, 64))
    keys = {cgroup.KILL_FILE: (UNIFIED,), cgroup.FREEZER: ("pids", cgroup.FREEZER), cgroup.SIGNALS: ("pids",)}[method]
    if not set(keys) <= set(member.group.folders):
        pytest.skip(f"no hierarchy for a kill by {method} here")
    group = Group({key: member.group.folders[key] for key in keys})
    child = fork_in(member.group, daemons)
    _until(lambda: len(cgroup.processes(group)) >= 7)
    assert cgroup.kill_method(group) == method

    cgroup.kill(group)

    assert cgroup.wait_until_empty(group, 5)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert not cgroup.populated(member.group)
    assert groups.leave(member)


def test_what_a_killed_host_left_is_ended_and_removed(groups, tmp_path) -> None:
    member = groups.enter("tree", 1, "", Bounds(256 * MEBIBYTE, 64))
    other = Cgroups(tmp_path / "other")
    other.open()
    kept = other.enter("tree", 1, "", Bounds(256 * MEBIBYTE, 64))
    orphan, neighbour = fork_in(member.group, signal.pause), fork_in(kept.group, signal.pause)
    _until(lambda: cgroup.populated(member.group) and cgroup.populated(kept.group))
    try:
        successor = Cgroups(tmp_path)  # the first one was never closed: its host is gone
        successor.open()
        assert os.waitpid(orphan, 0)[1] == signal.SIGKILL
        assert not any(Path(folder).exists() for folder in member.group.distinct)
        assert cgroup.processes(kept.group) == (neighbour,)
        successor.close()
    finally:
        other.close()
    assert os.waitpid(neighbour, 0)[1] == signal.SIGKILL
    assert leftovers(tmp_path / "other") == []


def _until(true) -> None:
    import time

    deadline = time.monotonic() + 5
    while not true():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.005)


def test_an_ordinary_user_has_none_and_is_told_why(tmp_path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to become another user")
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setresuid(62_015, 62_015, 62_015)
        tree, available = find_tree("moorage-test-user", "auto")
        os.write(writer, f"{tree} {available.version} {available.reason}".encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    with os.fdopen(reader) as answer:
        assert re.match(r"None none No memory|None none /sys/fs/cgroup.*Permission denied", answer.read())


def test_a_place_that_is_no_group_is_told(tmp_path) -> None:
    tree, available = find_tree("moorage-test", str(tmp_path))
    assert (tree, available.version) == (None, "none")
    assert str(tmp_path) in available.reason


def test_a_fork_begins_inside(groups) -> None:
    if UNIFIED not in groups._tree.folders or not forking.can_fork_into():
        pytest.skip("no version 2 hierarchy, or no way to begin in it")
    member = groups.enter("fork", 1, "", Bounds(256 * MEBIBYTE, 64))
    folder = os.open(member.group.folders[UNIFIED], os.O_RDONLY)
    reader, writer = os.pipe()
    pid = forking.fork_into(folder)
    if pid == 0:
        os.write(writer, cgroup.read("/proc/self/cgroup").encode())
        os._exit(7)
    os.close(writer)
    os.close(folder)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    with os.fdopen(reader) as answer:
        assert re.search(r"^0::.*/i-fork/1$", answer.read(), re.MULTILINE)
    groups.leave(member)
