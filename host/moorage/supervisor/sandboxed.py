"""One sandboxed worker, as the host holds it: a pidfd, and what its zygote tells of its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable

from moorage.models.incarnation import Verdict
from moorage.supervisor.exits import forbidden, lost_with_zygote, unobserved, verdict_of
from moorage.supervisor.first_process import FirstProcess
from moorage.supervisor.forbidden import ForbiddenCall, ForbiddenCalls
from moorage_proto import signals
from moorage_sandbox.cgroup import Group
from moorage_sandbox.report import SandboxReport

#: Between a worker's death and the zygote's word of it; longer means that the zygote is stopped.
_WORD_TIMEOUT_SECONDS = 2.0


class SandboxedWorker:
    """Implements the launcher's Worker. Made by ZygoteProcess, which calls ``ended`` and ``zygote_lost``."""

    #: Groups are made by the launcher around this one.
    group: Group | None = None
    out_of_memory = ""

    def __init__(
        self,
        pid: int,
        pidfd: int,
        report: SandboxReport,
        first: FirstProcess | None = None,
        proxy: socket.socket | None = None,
    ) -> None:
        """``proxy``: the socket that listens in its own network."""
        self._pid = pid
        self._proxy = proxy
        self._pidfd = pidfd
        self.report = report
        #: The process above it, where it may have others beside it.
        self._first = first
        self._killed = False
        self._calls: ForbiddenCalls | None = None
        #: For which it was killed: the first one that has a name.
        self._forbidden: ForbiddenCall | None = None
        #: Names of calls that were noted.
        self._noted: set[str] = set()
        self._loop = asyncio.get_running_loop()
        self._verdict: asyncio.Future[Verdict] = self._loop.create_future()
        self._loop.add_reader(pidfd, self._gone)

    @property
    def pid(self) -> int:
        return self._pid

    @property
    def sandbox_level(self) -> str:
        return self.report.level

    def take_proxy(self) -> socket.socket | None:
        taken, self._proxy = self._proxy, None
        return taken

    async def wait(self) -> Verdict:
        return await asyncio.shield(self._verdict)

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def dump_stacks(self) -> None:
        self._signal(signals.DUMP_STACKS)

    def kill(self) -> None:
        self._killed = True
        # The first process of a pid namespace: the kernel ends all others with it.
        self._signal(signal.SIGKILL)
        if self._first is not None and not self._verdict.done():
            self._first.kill()

    def listen(self, listener: int, note: Callable[[str], None] | None) -> None:
        """Hears of forbidden calls from now on. They end the worker; or, with ``note``, each name is noted once."""
        told = self._forbid if note is None else lambda call: self._note(call, note)
        self._calls = ForbiddenCalls(listener, told, refuse=note is not None)

    def _forbid(self, call: ForbiddenCall) -> None:
        if self._forbidden is None or not self._forbidden.name:
            self._forbidden = call
        # A waiting call dies with its thread; it is never answered.
        self.kill()

    def _note(self, call: ForbiddenCall, note: Callable[[str], None]) -> None:
        if call.name not in self._noted:
            self._noted.add(call.name)
            note(
                f"The sandbox refused the system call {call.name}. Outside of development some such calls end the"
                " worker; this is said once for each name."
            )

    def _signal(self, number: int) -> None:
        if not self._verdict.done():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def ended(self, status: int) -> None:
        """The zygote has reaped it; the kernel had ended its whole tree before."""
        if self._first is not None and not self._verdict.done():
            status = self._first.told(status)
        self._finish(verdict_of(status, killed_by_host=self._killed))

    def zygote_lost(self) -> None:
        """Nobody is left to reap it; the kernel is ending it."""
        if not self._verdict.done():
            self._loop.remove_reader(self._pidfd)
            self._loop.add_reader(self._pidfd, lambda: self._finish(lost_with_zygote()))

    def _gone(self) -> None:
        self._loop.remove_reader(self._pidfd)
        self._loop.call_later(_WORD_TIMEOUT_SECONDS, lambda: self._finish(unobserved()))

    def _finish(self, verdict: Verdict) -> None:
        if self._verdict.done():
            return
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        if self._calls is not None:
            self._calls.close()
        if self._proxy is not None:
            self._proxy.close()
        if self._first is not None:
            self._first.close()
        self._verdict.set_result(verdict if self._forbidden is None else forbidden(self._forbidden.name))
