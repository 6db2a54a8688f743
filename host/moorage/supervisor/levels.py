"""The launcher that makes each worker at the strongest level that this machine has, and none below what is required."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

from moorage.supervisor.errors import SandboxFailed
from moorage.supervisor.launcher import Launcher, Worker, WorkerOrder
from moorage.supervisor.plain import PlainLauncher
from moorage.supervisor.probe import probe_sandbox
from moorage.supervisor.zygote import ZygoteLauncher
from moorage_sandbox import plan
from moorage_sandbox.layers import DEFECTS
from moorage_sandbox.policy import DEFAULT_POLICY, Policy
from moorage_sandbox.report import MissingLayer, SandboxReport, at_least

log = logging.getLogger(__name__)


class LevelLauncher:
    """Implements the launcher's contract. ``async with`` or ``close`` ends every worker and zygote.

    An order that requires "full" is tried as it is. For one that would do with less, what this machine has is found out
    first, with throw-away workers, once: a level that failed there is not tried again, and one that worked must work.
    """

    def __init__(
        self,
        *,
        policy: Policy = DEFAULT_POLICY,
        entry: str = plan.ENTRY,
        imports: tuple[str, ...] = plan.ZYGOTE_IMPORTS,
    ) -> None:
        self._policy = policy
        self._entry = entry
        self._imports = imports
        self._launchers: dict[str, Launcher] = {}
        self._probing = asyncio.Lock()
        self._report: SandboxReport | None = None

    async def report(self) -> SandboxReport:
        """How strong a sandbox this machine can have; probed once: what the kernel offers does not change meanwhile."""
        async with self._probing:
            if self._report is None:
                self._report = await probe_sandbox()
            return self._report

    async def start(self, order: WorkerOrder, *, timeout: timedelta) -> Worker:
        """See Launcher.start."""
        level = "full" if order.require == "full" else await self._strongest(order)
        if level != "full":
            log.warning("%s starts at level %s: %s is not what this machine has.", order.installation, level, "full")
        try:
            return await self._launcher(level).start(order, timeout=timeout)
        except SandboxFailed as error:
            if level != "full" or error.missing.layer in DEFECTS:
                raise
            # What to do instead is worth the time that it takes to find out.
            raise refused(error.missing, order, (await self.report()).level) from error

    async def _strongest(self, order: WorkerOrder) -> str:
        """Raises SandboxFailed where it is less than what the order requires."""
        report = await self.report()
        if not at_least(report.level, order.require):
            raise refused(report.missing[0], order, report.level)
        return report.level

    def _launcher(self, level: str) -> Launcher:
        if level not in self._launchers:
            self._launchers[level] = self._make(level)
        return self._launchers[level]

    def _make(self, level: str) -> Launcher:
        if level == "none":
            return PlainLauncher(policy=self._policy, entry=self._entry)
        return ZygoteLauncher(level=level, policy=self._policy, entry=self._entry, imports=self._imports)

    async def close(self) -> None:
        launchers, self._launchers = self._launchers, {}
        for launcher in launchers.values():
            await launcher.close()

    async def __aenter__(self) -> LevelLauncher:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def refused(missing: MissingLayer, order: WorkerOrder, reached: str) -> SandboxFailed:
    """With the level that this machine has, and how an operator accepts it."""
    return SandboxFailed(missing, order.require, reached=reached, installation=order.installation)
