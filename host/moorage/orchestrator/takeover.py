"""What a host that died, or lost its lease, left open takes its place again in this one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from datetime import timedelta

from moorage.clock import Clock, sleep
from moorage.models.execution import Execution, ExecutionState
from moorage.models.installation import Installation, InstallationId
from moorage.orchestrator import outcomes
from moorage.orchestrator.dispatcher import Dispatcher
from moorage.orchestrator.job import Job
from moorage.orchestrator.policies import PolicyOf
from moorage.orchestrator.presence import Presence
from moorage.orchestrator.queues import Queues
from moorage.orchestrator.recovery import Recovery
from moorage.owned import OwnedTasks
from moorage.store.errors import ExecutionUnknown, StoreFailed
from moorage.store.store import Store

log = logging.getLogger(__name__)

#: Executions that are read at once: their inputs may be large.
PAGE = 500

#: Between two tries to judge one while the store fails.
JUDGE_DELAY = timedelta(seconds=5)


@dataclass
class TakeOver:
    store: Store
    clock: Clock
    presence: Presence
    policy_of: PolicyOf
    queues: Queues
    dispatcher: Dispatcher
    recovery: Recovery
    tasks: OwnedTasks
    #: Whether databases are to be asked, which may take long; where there is none, it is judged at once.
    asks: bool
    #: What was taken up begins only when this is over.
    recovering: bool = False
    #: By execution: of those that ran when their host died.
    _judging: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    #: By execution: of those of which the store did not say what became of them.
    _unsure: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    async def of(self, *hosts: str) -> tuple[Execution, ...]:
        """Takes up what these have. Returns those that got an outcome before this returns. Raises StoreFailed."""
        found: list[Execution] = []
        async with contextlib.aclosing(self._left_open(hosts)) as pages:
            async for page in pages:
                found += await self._page(page)
        return tuple(found)

    async def inherit(self, execution: Execution) -> None:
        """One that is this host's takes its place again. Raises StoreFailed."""
        await self._inherit(execution, await self.store.installations.find(execution.installation))

    def reclaim(self, execution_id: str) -> None:
        """One that was this host's may be so again; returns at once."""
        self.tasks.start(self._reclaim(execution_id), f"reclaim {execution_id}")

    def make_sure(self, execution_id: str, *, was_refused: bool = False) -> None:
        """The store failed when it was to become this host's: what it has made of that is known when it answers again.
        Returns at once. ``was_refused``: whoever asked for it was told that there is no such execution.
        """
        if execution_id not in self._unsure:
            task = self.tasks.start(self._make_sure(execution_id, was_refused), f"make sure of {execution_id}")
            self._unsure[execution_id] = task
            task.add_done_callback(lambda _: self._unsure.pop(execution_id, None))

    def stop_judging(self, execution_id: str | None = None) -> None:
        """Of one, or of all."""
        for each, task in (*self._judging.items(), *self._unsure.items()):
            if execution_id in (None, each):
                task.cancel()

    async def _left_open(self, hosts: tuple[str, ...]) -> AsyncGenerator[tuple[Execution, ...], None]:
        """What ran, then what waited, each oldest first."""
        for state in (ExecutionState.RUNNING, ExecutionState.QUEUED) if hosts else ():
            last = ""
            while page := await self.store.executions.open_ones(*hosts, states=(state,), after=last, limit=PAGE):
                yield page
                last = page[-1].id

    async def _page(self, page: tuple[Execution, ...]) -> list[Execution]:
        found = []
        # Asked for once, not for each: there may be very many.
        installed: dict[InstallationId, Installation | None] = {}
        for execution in page:
            if self._has(execution.id) or execution.id in self.queues.coming:
                continue
            name = execution.installation
            if name not in installed:
                installed[name] = await self.store.installations.find(name)
            own = await self._own(execution, installed[name])
            ended = None if own is None else await self._inherit(own, installed[name])
            if ended is not None:
                found.append(ended)
        return found

    def _has(self, execution_id: str) -> bool:
        return execution_id in self.queues.jobs or execution_id in self._judging

    async def _own(self, execution: Execution, installation: Installation | None) -> Execution | None:
        """One of a host that is gone, as this host has it now. None: another has it, or is to have it, because this
        one has no such plugin.
        """
        executions, host = self.store.executions, self.presence.host
        if execution.host == host:
            return execution
        if installation is None and await executions.is_installed(execution.installation):
            return None
        try:
            moved = await executions.moved(execution.id, before=execution.host, after=host)
        except StoreFailed:
            self.make_sure(execution.id)
            raise
        if not moved:
            return None
        # What it was may have changed before it was this host's.
        return await executions.get(execution.id)

    async def _inherit(self, execution: Execution, installation: Installation | None) -> Execution | None:
        """Returns it if it has got its outcome. ``installation`` None: it is gone."""
        if execution.state.is_outcome or self._has(execution.id):
            return None
        if execution.state is ExecutionState.QUEUED:
            return await self._queued_again(execution, installation)
        if not self.asks:
            return await self._judge(execution, installation)
        task = self.tasks.start(self._judge_later(execution, installation), f"judge {execution.id}")
        self._judging[execution.id] = task
        task.add_done_callback(lambda _: self._judging.pop(execution.id, None))
        return None

    async def _judge(self, execution: Execution, installation: Installation | None) -> Execution | None:
        policy = None if installation is None else self.policy_of(installation)
        while (judged := await self.recovery.judge(execution, policy)) is None:
            # The last that the dead host had asked of the store was written only now; or another has it by now.
            execution = await self.store.executions.get(execution.id)
            if execution.state.is_outcome or execution.host != self.presence.host:
                return None
            if execution.state is ExecutionState.QUEUED:
                judged = execution
                break
        return judged if judged.state.is_outcome else await self._queued_again(judged, installation)

    async def _judge_later(self, execution: Execution, installation: Installation | None) -> None:
        while True:
            try:
                await self._judge(execution, installation)
            except StoreFailed as error:
                log.warning("%s: it is judged again: %s", execution.id, error)
                await sleep(self.clock, JUDGE_DELAY)
            else:
                return

    async def _queued_again(self, execution: Execution, installation: Installation | None) -> Execution | None:
        """Returns it if it has got its outcome: nobody can run it any more."""
        if installation is None:
            return await self.recovery.end(execution, outcomes.installation_gone(execution.installation))
        if execution.id not in self.queues.jobs:
            self._take_up(execution, installation)
        return None

    def _take_up(self, execution: Execution, installation: Installation) -> None:
        self.queues.line(installation)
        job = Job(execution, installation.manifest.limits, self.policy_of(installation))
        self.queues.restore(job)
        called = self.dispatcher.called(job)
        if called is not None:
            self.dispatcher.interrupt(job, called)
        if not self.recovering:
            self.queues.begin()

    async def _reclaim(self, execution_id: str) -> None:
        with contextlib.suppress(StoreFailed):
            stored = await self.store.executions.get(execution_id)
            if stored.host == self.presence.host and self.presence.works:
                await self.inherit(stored)

    async def _make_sure(self, execution_id: str, was_refused: bool) -> None:
        while True:
            await sleep(self.clock, JUDGE_DELAY)
            with contextlib.suppress(StoreFailed):
                return await self._settle(execution_id, was_refused)

    async def _settle(self, execution_id: str, was_refused: bool) -> None:
        with contextlib.suppress(ExecutionUnknown):
            stored = await self.store.executions.get(execution_id)
            if stored.host != self.presence.host or stored.state.is_outcome or self._has(execution_id):
                return
            if was_refused and not stored.key:
                # Whoever asked may have asked again by now. With a key both are one.
                await self.recovery.end(stored, outcomes.unconfirmed())
            else:
                await self.inherit(stored)
