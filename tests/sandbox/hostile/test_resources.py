"""More than its share: processes, threads, memory, processor time, life beyond its end; and the host stays unharmed.

With control groups where this process can make them, else with what limits and namespaces do alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import psutil
import pytest

from moorage.models.incarnation import VerdictKind
from moorage.supervisor.bounded import BoundedLauncher
from moorage.supervisor.cgroups import Cgroups
from moorage.supervisor.launcher import WorkerOrder
from moorage.supervisor.records import Records
from moorage.supervisor.widening import widening_of
from moorage.supervisor.zygote import ZygoteLauncher
from moorage_proto.capability import Grants, parse
from moorage_sandbox import cgroup

pytestmark = pytest.mark.system

TIMEOUT = timedelta(seconds=10)
MEBIBYTE = 1 << 20
PIDS = 64
MEMORY_BYTES = 128 * MEBIBYTE
CPUS = 0.25

#: Every process forks on until the kernel says no; each tells that it is there.
FORK_BOMB = """
import time
while True:
    try:
        child = os.fork()
    except OSError:
        os.write(1, b'E')
        time.sleep(600)
    if not child: os.write(1, b'c')
"""
THREAD_BOMB = """
import threading, time
threading.stack_size(65536)
try:
    while True:
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
        os.write(1, b't')
except RuntimeError:
    os.write(1, b'E')
    time.sleep(600)
"""
#: Forked twice, in a session of its own, deaf to signals; it holds the pipe open for as long as it lives.
DAEMON = """
import signal, time
if not os.fork():
    os.setsid()
    if not os.fork():
        for number in (1, 2, 15): signal.signal(number, signal.SIG_IGN)
        os.write(1, b'd')
        time.sleep(600)
    os._exit(0)
os.wait()
time.sleep(600)
"""
#: No process goes beyond the limit of one; all together do. Where the kernel ends one of them, it is told.
MEMORY_BOMB = """
import time
for _ in range(8):
    if not os.fork():
        block = bytearray(b'x') * (60 << 20)
        time.sleep(600)
_, status = os.wait()
os.write(1, b'E' if os.WIFSIGNALED(status) and os.WTERMSIG(status) == 9 else b'?')
time.sleep(600)
"""
SPIN = "os.write(1, b's')\nwhile True: pass"
EXHAUSTED = b"E"


class Pipe:
    """A worker's output, and a deadline on every read."""

    def __init__(self) -> None:
        self._reader, self.writer = os.pipe()

    def read_until(self, wanted: bytes, seconds: float = 20) -> bytes:
        """What came up to and with the wanted byte; b"" as wanted: up to the end."""
        deadline, seen = time.monotonic() + seconds, b""
        while True:
            assert select.select([self._reader], [], [], max(0.0, deadline - time.monotonic()))[0], (
                f"only {seen!r} came"
            )
            data = os.read(self._reader, 65536)
            seen += data
            if not data or (wanted and wanted in data):
                return seen

    def close_writer(self) -> None:
        if self.writer >= 0:
            os.close(self.writer)
        self.writer = -1

    def close(self) -> None:
        self.close_writer()
        os.close(self._reader)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


@pytest.fixture
def here(request):
    return request.getfixturevalue("privileged" if os.geteuid() == 0 else "ordinary")


@pytest.fixture(params=["limits", "control groups"])
def groups(request, tmp_path):
    """None: without."""
    if request.param == "limits":
        yield None
        return
    made = Cgroups(tmp_path)
    made.open()
    if made.available.version == "none":
        pytest.skip(made.available.reason)
    yield made
    made.close()


@pytest.fixture
async def launcher(groups, tmp_path):
    inner = ZygoteLauncher(entry="standin:main", imports=("asyncio", "site", "ctypes", "standin"))
    launcher = inner if groups is None else BoundedLauncher(inner, groups, Records(tmp_path))
    yield launcher
    await launcher.close()


def order(stage, fd: int, code: str, *granted: str) -> WorkerOrder:
    base = stage.base
    return WorkerOrder(
        installation="stage",
        incarnation="stage-1",
        interpreter=stage.python,
        runtime_path=stage.runtime,
        sdk_path=base / "sdk",
        use_runtime=True,
        venv_path=base / "venv",
        code_path=base / "code",
        code_roots=("",),
        data_path=base / "data",
        socket_dir=base / "socket",
        start_record=lambda _: json.dumps({"code": code, "facts": {}}).encode(),
        uid=400_000 + os.getpid() % 100_000,
        memory_bytes=MEMORY_BYTES,
        pids=PIDS,
        start="zygote",
        stdout_fd=fd,
        stderr_fd=fd,
        cpus=CPUS,
        number=1,
        widening=widening_of(Grants(allow=tuple(parse(text) for text in granted))),
    )


async def started(launcher, here, pipe, code: str, *granted: str):
    worker = await launcher.start(order(here, pipe.writer, code, *granted), timeout=TIMEOUT)
    pipe.close_writer()
    return worker


async def test_a_fork_bomb_stops_at_its_limit(launcher, here, pipe) -> None:
    worker = await started(launcher, here, pipe, FORK_BOMB, "sandbox.subprocess")
    made = await asyncio.to_thread(pipe.read_until, EXHAUSTED)
    assert 0 < made.count(b"c") < PIDS
    _the_host_forks()
    worker.kill()
    assert len(await asyncio.to_thread(pipe.read_until, b"", 1)) < 2 * PIDS


def _the_host_forks() -> None:
    pid = os.posix_spawn("/bin/true", ["true"], {})
    assert os.waitpid(pid, 0)[1] == 0


async def test_a_fork_bomb_without_the_grant_makes_nothing(launcher, here, pipe) -> None:
    await started(launcher, here, pipe, FORK_BOMB)
    assert await asyncio.to_thread(pipe.read_until, EXHAUSTED) == EXHAUSTED


async def test_a_thread_bomb_stops_at_its_limit(launcher, here, pipe) -> None:
    worker = await started(launcher, here, pipe, THREAD_BOMB)
    made = await asyncio.to_thread(pipe.read_until, EXHAUSTED)
    assert 0 < made.count(b"t") < PIDS
    worker.kill()
    await worker.wait()


async def test_a_daemon_ends_with_its_worker(launcher, here, pipe) -> None:
    worker = await started(launcher, here, pipe, DAEMON, "sandbox.subprocess")
    await asyncio.to_thread(pipe.read_until, b"d")
    worker.kill()
    # Its end of the pipe closes: it is gone, not only the worker.
    await asyncio.to_thread(pipe.read_until, b"", 1)
    await worker.wait()


@pytest.mark.parametrize("groups", ["control groups"], indirect=True)  # limits bound each process by itself
async def test_a_memory_bomb_of_many_processes_is_ended(launcher, here, pipe) -> None:
    before = psutil.Process().memory_info().rss
    worker = await started(launcher, here, pipe, MEMORY_BOMB, "sandbox.subprocess")
    told = await asyncio.to_thread(pipe.read_until, EXHAUSTED)
    assert told in (EXHAUSTED, b"")
    if told:
        assert cgroup.peak_memory_bytes(worker.group) <= MEMORY_BYTES
        worker.kill()
    else:  # version 2 of control groups ends all that are in it
        assert (await worker.wait()).kind is VerdictKind.OUT_OF_MEMORY
    await worker.wait()
    assert psutil.Process().memory_info().rss - before < 32 * MEBIBYTE


@pytest.mark.parametrize("groups", ["control groups"], indirect=True)  # no limit bounds a share of processor time
async def test_a_spinning_worker_gets_its_share(launcher, here, pipe) -> None:
    worker = await started(launcher, here, pipe, SPIN)
    await asyncio.to_thread(pipe.read_until, b"s")
    begun, before = time.monotonic(), cgroup.cpu_seconds(worker.group)
    await asyncio.sleep(1.5)  # time is what is measured
    share = (cgroup.cpu_seconds(worker.group) - before) / (time.monotonic() - begun)
    assert share < CPUS + 0.1
    worker.kill()
    await worker.wait()


def test_a_worker_does_not_die_with_the_thread_that_started_it(here, pipe) -> None:
    """As it would by PR_SET_PDEATHSIG, which follows the parent's thread."""
    loop = asyncio.new_event_loop()
    launcher = ZygoteLauncher(entry="standin:main", imports=("asyncio", "site", "ctypes", "standin"))
    pids: list[int] = []

    def start() -> None:
        worker = loop.run_until_complete(launcher.start(order(here, pipe.writer, SPIN), timeout=TIMEOUT))
        pids.append(worker.pid)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join(20)
    pidfd = os.pidfd_open(pids[0])
    try:
        pipe.read_until(b"s")
        assert not select.select([pidfd], [], [], 0.3)[0], "it died with the thread"
        loop.run_until_complete(launcher.close())
        assert select.select([pidfd], [], [], 5)[0]
    finally:
        os.close(pidfd)
        with contextlib.suppress(RuntimeError):
            loop.close()
