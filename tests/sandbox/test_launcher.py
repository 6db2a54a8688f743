"""The launcher's contract: starts, ends, verdicts; nothing is left, whoever dies first."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import signal
import time
from datetime import timedelta

import psutil
import pytest

from moorage.models.incarnation import VerdictKind
from moorage.supervisor.errors import SandboxFailed
from moorage.supervisor.launcher import WorkerOrder
from moorage.supervisor.zygote import ZygoteLauncher
from moorage_sandbox.evidence import read_evidence

pytestmark = pytest.mark.system

TIMEOUT = timedelta(seconds=10)
WAIT_FOR_EVER = "import time\nwhile True: time.sleep(60)"
TELL = "os.write(1, b'here'); "


@pytest.fixture
def here(request):
    """This process is the host: as root, or as whoever runs the tests."""
    return request.getfixturevalue("privileged" if os.geteuid() == 0 else "ordinary")


@pytest.fixture
async def launcher():
    async with ZygoteLauncher(entry="standin:main", imports=("asyncio", "site", "standin")) as launcher:
        yield launcher


class Output:
    """A pipe for a worker's output."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()

    async def read(self) -> bytes:
        async with asyncio.timeout(5):
            return await asyncio.get_running_loop().run_in_executor(None, os.read, self.reader, 4096)


@pytest.fixture
def output():
    pipe = Output()
    yield pipe
    for fd in (pipe.reader, pipe.writer):
        with contextlib.suppress(OSError):
            os.close(fd)


def order(stage, output, code: str, **changes) -> WorkerOrder:
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
        "uid": 61_777,
        "memory_bytes": 256 << 20,
        "pids": 64,
        "start": "zygote",
        "stdout_fd": output.writer,
        "stderr_fd": output.writer,
        **changes,
    }
    return WorkerOrder(**values)


async def test_the_pid_is_the_hosts(here, launcher, output) -> None:
    worker = await launcher.start(order(here, output, WAIT_FOR_EVER), timeout=TIMEOUT)
    evidence = read_evidence(worker.pid)
    assert (evidence.pids[0], evidence.pids[-1], len(evidence.pids)) == (worker.pid, 1, 3)
    assert set(evidence.uids) == {61_777 if os.geteuid() == 0 else os.geteuid()}
    assert (evidence.effective_capabilities, evidence.bounding_capabilities) == (0, 0)
    assert (evidence.seccomp, evidence.no_new_privileges) == (2, True)
    assert worker.sandbox_level == "full"


async def test_wait_may_be_awaited_by_several(here, launcher, output) -> None:
    worker = await launcher.start(order(here, output, "os._exit(3)"), timeout=TIMEOUT)
    first, second = await asyncio.gather(worker.wait(), worker.wait())
    assert first == second == await worker.wait()
    assert (first.kind, first.exit_code) == (VerdictKind.EXITED, 3)


@pytest.mark.parametrize("start", ["zygote", "fresh"])
async def test_kill_is_certain_and_may_be_called_twice(here, launcher, output, start) -> None:
    code = "import signal\nfor n in (1, 2, 15): signal.signal(n, signal.SIG_IGN)\n" + TELL + WAIT_FOR_EVER
    worker = await launcher.start(order(here, output, code, start=start), timeout=TIMEOUT)
    assert await output.read() == b"here"
    worker.terminate()
    worker.kill()
    worker.kill()
    async with asyncio.timeout(5):
        verdict = await worker.wait()
    assert (verdict.kind, verdict.signal) == (VerdictKind.SIGNALLED, "SIGKILL")
    assert "The host killed" in verdict.sentence
    worker.kill()
    worker.terminate()
    assert not psutil.pid_exists(worker.pid)


async def test_terminate_reaches_a_handler(here, launcher, output) -> None:
    code = "import signal\nsignal.signal(15, lambda *_: os._exit(9))\n" + TELL + WAIT_FOR_EVER
    worker = await launcher.start(order(here, output, code), timeout=TIMEOUT)
    assert await output.read() == b"here"
    worker.terminate()
    async with asyncio.timeout(5):
        assert (await worker.wait()).exit_code == 9


async def test_one_zygote_serves_many_workers(here, launcher, output) -> None:
    orders = [order(here, output, WAIT_FOR_EVER) for _ in range(40)]
    workers = await asyncio.gather(*(launcher.start(entry, timeout=TIMEOUT) for entry in orders))
    assert len({worker.pid for worker in workers}) == 40
    assert len({psutil.Process(worker.pid).ppid() for worker in workers}) == 1
    workers[0].kill()
    await workers[0].wait()
    assert all(psutil.pid_exists(worker.pid) for worker in workers[1:])


async def test_a_dead_zygote_ends_its_workers_and_is_replaced(here, launcher, output) -> None:
    worker = await launcher.start(order(here, output, WAIT_FOR_EVER), timeout=TIMEOUT)
    os.kill(psutil.Process(worker.pid).ppid(), signal.SIGKILL)
    async with asyncio.timeout(5):
        verdict = await worker.wait()
    assert (verdict.kind, verdict.signal) == (VerdictKind.ZYGOTE_LOST, "SIGKILL")
    assert "zygote" in verdict.sentence
    again = await launcher.start(order(here, output, "os._exit(0)"), timeout=TIMEOUT)
    assert (await again.wait()).exit_code == 0


async def test_a_start_that_takes_too_long_leaves_nothing(here, launcher, output) -> None:
    worker = await launcher.start(order(here, output, WAIT_FOR_EVER), timeout=TIMEOUT)
    zygote = psutil.Process(psutil.Process(worker.pid).ppid())
    with pytest.raises(TimeoutError):
        await launcher.start(order(here, output, WAIT_FOR_EVER), timeout=timedelta(milliseconds=1))
    # The zygote does one thing after another: with this one started, what was asked before is done.
    later = await launcher.start(order(here, output, WAIT_FOR_EVER), timeout=TIMEOUT)
    async with asyncio.timeout(5):
        while len(zygote.children()) > 2:
            await asyncio.sleep(0.01)
    assert {child.pid for child in zygote.children()} == {worker.pid, later.pid}


async def test_closing_ends_everything(here, output) -> None:
    async with ZygoteLauncher(entry="standin:main", imports=("asyncio", "site", "standin")) as launcher:
        worker = await launcher.start(order(here, output, WAIT_FOR_EVER), timeout=TIMEOUT)
        zygote = psutil.Process(worker.pid).ppid()
    async with asyncio.timeout(5):
        assert "zygote" in (await worker.wait()).sentence
    await launcher.close()
    assert not psutil.pid_exists(worker.pid)
    assert not psutil.pid_exists(zygote) or psutil.Process(zygote).status() == psutil.STATUS_ZOMBIE


async def test_descriptors_do_not_pile_up(here, launcher, output) -> None:
    async def once() -> None:
        worker = await launcher.start(order(here, output, "os._exit(0)"), timeout=TIMEOUT)
        await worker.wait()

    await once()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        await once()
        with pytest.raises(SandboxFailed):
            await launcher.start(order(here, output, "", venv_path=here.base / "absent"), timeout=TIMEOUT)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_killed_host_takes_every_worker_with_it(stage) -> None:
    jobs = [stage.job(WAIT_FOR_EVER, start=start) for start in ("zygote", "fresh", "zygote")]
    host = stage.host(hold=True, jobs=jobs)
    assert host.stdout is not None
    pids = json.loads(host.stdout.readline())
    pidfds = [os.pidfd_open(pid) for pid in pids]
    try:
        host.kill()
        killed = time.monotonic()
        for pidfd in pidfds:
            assert select.select([pidfd], [], [], 5)[0], "a worker outlived its host"
        assert time.monotonic() - killed < 1
    finally:
        host.communicate()
        for pidfd in pidfds:
            os.close(pidfd)
