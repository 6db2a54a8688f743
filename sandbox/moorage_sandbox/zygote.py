"""The zygote: one trusted process for each interpreter and runtime, from which workers are forked.

Pid 1 of its pid namespace, inside the base root, one thread. It has imported what every worker needs and nothing of any
plugin; it reads neither plans nor start records, makes no channel, and ends when the host's end of its socket closes.
"""

# ruff: noqa: PTH208 - a descriptor is listed

from __future__ import annotations

import asyncio
import errno
import gc
import importlib
import os
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from typing import Dict, List, NoReturn, Optional, Tuple

from moorage_sandbox import confine, forking, gaps, image, immortal, plan, program, syscalls, wire, worker
from moorage_sandbox.plan import PreloadPlan
from moorage_sandbox.setup import SetupFailed, step

_WARM_UPS = 3
#: How long a thread that has ended may take to be gone.
_LEAVE_SECONDS = 1.0


def main() -> None:
    """Returns in workers alone, when their entry has returned."""
    control = socket.socket(fileno=wire.CONTROL_FD)
    wanted = plan.preload_plan_from(image.read_note(wire.PRELOAD_PLAN_FD))
    try:
        preload(wanted)
    except SetupFailed as error:
        control.send(error.failure.as_json())
        os._exit(wire.SETUP_EXIT)
    zygote = os.getpid()
    fds = Zygote(control, wanted.pid_namespaces).serve()
    worker.main(fds, zygote)


def preload(wanted: PreloadPlan) -> None:
    """Imports and warms up; afterwards the memory is as many workers as possible can share it."""
    with step("imports"):
        # Workers come without another import of sysconfig or site: they take the prefix from here.
        program.look_like_a_venv(wanted.prefix, wanted.base_prefix)
        sys.path[:] = wanted.sys_path
        os.environ.update(plan.GRPC_ENV)
        for name in wanted.imports:
            _import(name)
        confine.native_filter()
        forking.can_fork_into()
        for _ in range(_WARM_UPS):
            asyncio.run(asyncio.sleep(0))
    if not wanted.pid_namespaces:
        with step("subreaper"):
            syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
    if wanted.pid_namespaces:
        with step("pid namespace"):
            # Each fork depends on it: better refused now than at the first worker.
            syscalls.setns(wire.OWN_PID_NAMESPACE_FD, syscalls.CLONE_NEWPID)
    with step("one thread"):
        _wait_for_one_thread()
    gc.collect()
    immortal.immortalise()
    gaps.fill()
    gc.freeze()
    gc.disable()


def _import(name: str) -> None:
    module, _, function = name.partition(":")
    imported = importlib.import_module(module)
    if function:
        getattr(imported, function)()


def _wait_for_one_thread() -> None:
    """A thread that was joined is gone for Python, and a moment later for the kernel. Raises RuntimeError."""
    deadline = time.monotonic() + _LEAVE_SECONDS
    while (threads := _threads()) != 1:
        if time.monotonic() > deadline:
            raise RuntimeError(f"an import has left {threads} threads; a fork would lose all but one")
        time.sleep(0.001)


def _threads() -> int:
    tasks = os.open("self/task", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=wire.PROC_FD)
    try:
        return len(os.listdir(tasks))
    finally:
        os.close(tasks)


class Zygote:
    """Waits for requests and for the ends of workers."""

    def __init__(self, control: socket.socket, pid_namespaces: bool) -> None:
        self._control = control
        self._pid_namespaces = pid_namespaces
        self._workers: Dict[int, int] = {}  # pid, in this pid namespace, to the host's id
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> List[int]:
        """Returns in a forked worker, with the descriptors that came with its request."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._wake_read, select.POLLIN)
        self._control.send(wire.encode(ready=True))
        while True:
            for fd, _ in poll.poll():
                if fd == self._wake_read:
                    self._report_ends()
                    continue
                fds = self._answer()
                if fds is not None:
                    return fds

    def _answer(self) -> Optional[List[int]]:
        """One request. Returns descriptors in the new worker, and None in the zygote."""
        data, fds = self._receive()
        request = wire.decode(data)
        if "kill" in request:
            self._kill(request["kill"])
            return None
        tasks = fds[wire.START_FDS : wire.START_FDS + request.get("tasks", 0)]
        try:
            pid = self._fork(fds[-1] if request.get("unified") else None)
        except SetupFailed as error:
            self._control.send(wire.encode(refused=request["start"], **wire.decode(error.failure.as_json())))
            pid = -1
        if pid == 0:
            # The host looks whether it is where it should be, and joins it itself where this did not do.
            with suppress(OSError):
                forking.join_self(tasks)
            return fds[: wire.START_FDS]
        for fd in fds:
            os.close(fd)
        if pid > 0:
            self._workers[pid] = request["start"]
            self._control.send(wire.encode(started=request["start"]))
        return None

    def _receive(self) -> Tuple[bytes, List[int]]:
        try:
            data, fds, _, _ = socket.recv_fds(self._control, wire.MESSAGE_BYTES, wire.MOST_FDS)
        except OSError:
            self._leave()
        if not data:
            self._leave()
        return data, fds

    def _leave(self) -> NoReturn:
        """The host is gone. The kernel ends whoever lives in this pid namespace, descendants included.

        Without one, workers get a signal from here and, should this process be killed, from the kernel.
        """
        if not self._pid_namespaces:
            for pid in self._workers:
                os.kill(pid, signal.SIGKILL)
        os._exit(0)

    def _fork(self, folder: Optional[int]) -> int:
        if self._pid_namespaces:
            pid = self._fork_first_process(folder)
        else:
            with step("fork"):
                pid = _fork_in(folder)
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._control.detach()
        return pid

    def _fork_first_process(self, folder: Optional[int]) -> int:
        with step("pid namespace"):
            syscalls.unshare(syscalls.CLONE_NEWPID)
            try:
                pid = _fork_in(folder)
            except OSError:
                syscalls.setns(wire.OWN_PID_NAMESPACE_FD, syscalls.CLONE_NEWPID)
                raise
        if pid:
            # The next unshare is refused until the one before is taken back.
            syscalls.setns(wire.OWN_PID_NAMESPACE_FD, syscalls.CLONE_NEWPID)
        return pid

    def _kill(self, wanted: int) -> None:
        for pid, worker_id in self._workers.items():
            if worker_id == wanted:
                os.kill(pid, signal.SIGKILL)

    def _report_ends(self) -> None:
        try:
            os.read(self._wake_read, 512)
        except BlockingIOError:
            return
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid not in self._workers:
                continue
            if not self._pid_namespaces:
                self._kill_orphans()
            self._control.send(wire.encode(ended=self._workers.pop(pid), status=status))

    def _kill_orphans(self) -> None:
        """Without a pid namespace of its own, what a child has left falls to this process: of bwrap, the part that was
        not bound to it yet. Nothing else has children that may outlive it.
        """
        own = os.getpid()
        fd = os.open(f"{own}/task/{own}/children", os.O_RDONLY | os.O_CLOEXEC, dir_fd=wire.PROC_FD)
        try:
            children = os.read(fd, 65536).split()
        finally:
            os.close(fd)
        for pid in map(int, children):
            if pid not in self._workers:
                os.kill(pid, signal.SIGKILL)


def _fork_in(folder: Optional[int]) -> int:
    """In the version 2 group whose folder is given, where kernel and interpreter can."""
    if folder is not None and forking.can_fork_into():
        try:
            return forking.fork_into(folder)
        except OSError as error:
            if error.errno == errno.EAGAIN:  # the group has as many processes as it may have
                raise
    return os.fork()
