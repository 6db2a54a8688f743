"""One sandboxed worker, as the host holds it: a pidfd, and what its zygote tells of its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

from moorage.models.incarnation import Verdict
from moorage.supervisor.exits import lost_with_zygote, unobserved, verdict_of
from moorage_sandbox.report import SandboxReport

#: Between a worker's death and the zygote's word of it; longer means that the zygote is stopped.
_WORD_TIMEOUT_SECONDS = 2.0


class SandboxedWorker:
    """Implements the launcher's Worker. Made by ZygoteProcess, which calls ``ended`` and ``zygote_lost``."""

    def __init__(self, pid: int, pidfd: int, report: SandboxReport) -> None:
        self._pid = pid
        self._pidfd = pidfd
        self.report = report
        self._killed = False
        self._loop = asyncio.get_running_loop()
        self._verdict: asyncio.Future[Verdict] = self._loop.create_future()
        self._loop.add_reader(pidfd, self._gone)

    @property
    def pid(self) -> int:
        return self._pid

    @property
    def sandbox_level(self) -> str:
        return self.report.level

    async def wait(self) -> Verdict:
        return await asyncio.shield(self._verdict)

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._killed = True
        # The first process of a pid namespace: the kernel ends all others with it.
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if not self._verdict.done():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def ended(self, status: int) -> None:
        """The zygote has reaped it; the kernel had ended its whole tree before."""
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
        self._verdict.set_result(verdict)
