"""The launcher of the level "none": ordinary processes, for development and for systems without a sandbox.

A plugin can do there whatever its user can. It is never chosen unless an operator wrote the level down.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

from moorage.models.incarnation import Verdict
from moorage.supervisor.errors import SandboxFailed
from moorage.supervisor.exits import verdict_of
from moorage.supervisor.hosted import check_open, own_temporary, own_uid
from moorage.supervisor.launcher import WorkerOrder
from moorage.supervisor.zygote import query_interpreter
from moorage_proto import signals
from moorage_sandbox import evidence, image, judgement, plain, plan, restricted
from moorage_sandbox.cgroup import Group
from moorage_sandbox.interpreter import Interpreter
from moorage_sandbox.judgement import Made
from moorage_sandbox.layers import missing_at, missing_layer
from moorage_sandbox.libraries import Libraries
from moorage_sandbox.plan import WorkerPaths, WorkerWishes
from moorage_sandbox.policy import DEFAULT_POLICY, Policy
from moorage_sandbox.report import SandboxReport

log = logging.getLogger(__name__)

_LAYERS = ("user", "mount", "pid", "network", "ipc", "uts", "seccomp", "privileges", "landlock")


class PlainWorker:
    """Implements the launcher's Worker."""

    group: Group | None = None
    out_of_memory = ""

    def __init__(self, process: asyncio.subprocess.Process, link: socket.socket, report: SandboxReport) -> None:
        self._process = process
        #: Its end tells the worker that the host is gone.
        self._link = link
        self.report = report
        self._killed = False
        self._ended = asyncio.create_task(self._wait(), name=f"plain worker {process.pid}")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def sandbox_level(self) -> str:
        return self.report.level

    @property
    def ended(self) -> bool:
        return self._ended.done()

    def take_proxy(self) -> None:
        """It has the host's network."""

    async def wait(self) -> Verdict:
        return await asyncio.shield(self._ended)

    async def _wait(self) -> Verdict:
        code = await self._process.wait()
        self._link.close()
        # What it left in its process group. Whoever has left that is not found at this level.
        kill_group(self.pid)
        return verdict_of(-code if code < 0 else code << 8, killed_by_host=self._killed)

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def dump_stacks(self) -> None:
        self._signal(signals.DUMP_STACKS)

    def kill(self) -> None:
        self._killed = True
        if not self._ended.done():
            kill_group(self.pid)

    def _signal(self, number: int) -> None:
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


class PlainLauncher:
    """Implements the launcher's contract."""

    def __init__(self, *, policy: Policy = DEFAULT_POLICY, entry: str = plan.ENTRY) -> None:
        self._policy = policy
        self._entry = entry
        self._interpreters: dict[Path, Interpreter] = {}
        self._workers: set[PlainWorker] = set()

    async def start(self, order: WorkerOrder, *, timeout: timedelta) -> PlainWorker:
        """See Launcher.start."""
        log.warning(
            "%s starts WITHOUT A SANDBOX (level none): it can do all that user %s can, and reach every file, process"
            " and network of this machine that this user can.",
            order.installation,
            os.geteuid() if own_uid(order) is None else order.uid,
        )
        async with asyncio.timeout(timeout.total_seconds()):
            worker = await self._start(order)
        self._workers = {other for other in self._workers if not other.ended} | {worker}
        return worker

    async def _start(self, order: WorkerOrder) -> PlainWorker:
        if order.interpreter not in self._interpreters:
            self._interpreters[order.interpreter] = await query_interpreter(order.interpreter, "none")
        interpreter = self._interpreters[order.interpreter]
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        plain_order = self._order(order, interpreter, theirs.fileno())
        record = order.start_record(str(order.socket_dir.resolve()))
        with theirs, _unnamed(json.dumps(plain_order).encode()) as order_fd, _unnamed(record) as record_fd:
            process = await asyncio.create_subprocess_exec(
                *image.command(interpreter.executable, plain.CODE),
                str(order_fd),
                stdin=record_fd,
                stdout=order.stdout_fd,
                stderr=order.stderr_fd,
                env={"LD_LIBRARY_PATH": str(Path(interpreter.library).parent)} if interpreter.library else {},
                cwd="/",
                pass_fds=(order_fd, theirs.fileno()),
                start_new_session=True,
            )
        try:
            return await self._admit(order, process, ours)
        except BaseException:
            kill_group(process.pid)
            ours.close()
            raise

    async def _admit(self, order: WorkerOrder, process: asyncio.subprocess.Process, link: socket.socket) -> PlainWorker:
        loop = asyncio.get_running_loop()
        if await loop.sock_recv(link, len(plain.READY)) != plain.READY:
            raise SandboxFailed(missing_layer("setup", 0, "The worker ended while it was set up."), "none")
        if order.admission is not None:
            await order.admission.admit(process.pid)
        worker = PlainWorker(process, link, report_of(process.pid))
        await loop.sock_sendall(link, plain.GO)
        return worker

    def _order(self, order: WorkerOrder, interpreter: Interpreter, link: int) -> dict[str, object]:
        wishes = WorkerWishes(
            paths=WorkerPaths(
                venv=str(order.venv_path.resolve()),
                code=str(order.code_path.resolve()),
                data=str(order.data_path.resolve()),
                socket_folder=str(order.socket_dir.resolve()),
            ),
            uid=order.uid if order.uid is not None else os.geteuid(),
            memory_bytes=order.memory_bytes,
            pids=order.pids * order.overlapping,
            use_runtime=order.use_runtime,
            code_roots=order.code_roots,
            env=order.env,
            entry=self._entry,
        )
        base = plan.zygote_plan(
            interpreter,
            Libraries((), ()),
            sdk=str(order.sdk_path.resolve()),
            runtime=str(order.runtime_path.resolve()),
            zones=False,
            user_namespace=False,
        )
        full = plan.worker_plan(base, interpreter, self._policy, wishes)
        check_open(order, "none")
        temporary = own_temporary(order)
        own_user = own_uid(order) is not None
        made = restricted.worker_plan(full, base.mounts, interpreter, temporary, (), own_user=own_user)
        return {
            "sdk": str(order.sdk_path.resolve()),
            "link": link,
            "uid": own_uid(order),
            "limits": made.limits,
            "program": asdict(made.program),
        }

    async def close(self) -> None:
        """Ends every worker."""
        workers, self._workers = self._workers, set()
        for worker in workers:
            worker.kill()
        await asyncio.gather(*(worker.wait() for worker in workers))


@contextlib.contextmanager
def _unnamed(data: bytes) -> Iterator[int]:
    """A descriptor from which the data can be read, on any POSIX system."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        yield file.fileno()


def kill_group(pid: int) -> None:
    """SIGKILL to the process group that a worker leads."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def report_of(pid: int) -> SandboxReport:
    """What holds a plain worker: little. Looked at from outside where there is a /proc."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            seen, host = evidence.read_evidence(pid), evidence.read_evidence(os.getpid())
            return judgement.judge(seen, host, 0, made=Made("none"))
    missing = (missing_at("none", layer, "Workers of this level have none.") for layer in _LAYERS)
    return SandboxReport("none", dict.fromkeys(_LAYERS, "missing"), tuple(missing), proc="host", kill="process group")
