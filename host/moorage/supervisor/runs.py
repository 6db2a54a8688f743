"""What is in flight on one incarnation: executions, events that handlers are called with, calls of extensions."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

from moorage.models.event import PluginEvent
from moorage.models.execution import Execution, ExecutionError, ExecutionState, TaskOutcome
from moorage.models.extensions import ExtensionCall
from moorage.models.incarnation import Verdict
from moorage.supervisor.shard import AttachedWorker

#: How long the verdict of a dead worker may lag behind the end of its link.
VERDICT_TIMEOUT = timedelta(seconds=3)


class Runs:
    """Knows what runs, waits for it or cancels it, and explains a lost link by the verdict of its worker."""

    def __init__(self, worker: AttachedWorker, verdict: asyncio.Future[Verdict]) -> None:
        self._worker = worker
        self._verdict = verdict
        self._runs: dict[str, asyncio.Task[TaskOutcome]] = {}
        self._executions: set[str] = set()
        self._events = itertools.count(1)
        #: Those to whom the worker is lent; each may still begin a run.
        self.sessions = 0
        #: Set while nothing runs, and while nothing runs and nothing may begin.
        self._idle, self._free = asyncio.Event(), asyncio.Event()
        self._settle()
        #: Why what was left after draining was cancelled, and what comes later does not begin.
        self._because: Verdict | None = None

    @property
    def executions(self) -> tuple[str, ...]:
        return tuple(one for one in self._runs if one in self._executions)

    def enter(self) -> None:
        """A session begins; ``leave`` ends it. Draining waits for it."""
        self.sessions += 1
        self._settle()

    def leave(self) -> None:
        self.sessions -= 1
        self._settle()

    async def free(self) -> None:
        """Until nothing runs and no session is open."""
        await self._free.wait()

    async def run(self, execution: Execution, timeout: timedelta) -> TaskOutcome:
        """Cancelling the caller cancels the plugin's task and rolls back."""
        self._executions.add(execution.id)
        try:
            return await self._conduct(execution.id, lambda: self._worker.run(execution, timeout))
        finally:
            self._executions.discard(execution.id)

    async def handle(self, handler: str, event: PluginEvent, timeout: timedelta) -> TaskOutcome:
        """As ``run``, for an event handler."""
        name = f"{event.id}/{next(self._events)}"
        return await self._conduct(name, lambda: self._worker.handle(handler, event, timeout))

    async def call_extension(self, call: ExtensionCall, timeout: timedelta) -> TaskOutcome:
        """As ``run``, for an extension."""
        name = f"{call.point}/{next(self._events)}"
        return await self._conduct(name, lambda: self._worker.call_extension(call, timeout))

    async def _conduct(self, name: str, work: Callable[[], Coroutine[Any, Any, TaskOutcome]]) -> TaskOutcome:
        if self._because is not None:
            return from_verdict(self._because)
        run = asyncio.create_task(work(), name=f"run {name}")
        self._runs[name] = run
        self._settle()
        try:
            await asyncio.wait((run,))
        except asyncio.CancelledError:
            run.cancel()
            await asyncio.wait((run,))
            if run.cancelled():
                raise
        finally:
            del self._runs[name]
            self._settle()
        if run.cancelled() or run.result().state is ExecutionState.CRASHED:
            return await self._explained(run)
        return run.result()

    async def drain(self, timeout: timedelta, because: Verdict) -> tuple[str, ...]:
        """Waits for what runs, cancels what is left after the timeout, and returns the ids of the cancelled."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout.total_seconds()):
                await self.free()
        cancelled = self.executions
        self._because = because
        for run in self._runs.values():
            run.cancel()
        await self._idle.wait()
        return cancelled

    def _settle(self) -> None:
        for event, quiet in ((self._idle, not self._runs), (self._free, not self._runs and not self.sessions)):
            if quiet:
                event.set()
            else:
                event.clear()

    async def _explained(self, run: asyncio.Task[TaskOutcome]) -> TaskOutcome:
        """A lost link is how the death of a worker looks from here; its verdict says what happened."""
        if run.cancelled() and self._because is not None:
            return from_verdict(self._because)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(VERDICT_TIMEOUT.total_seconds()):
                return from_verdict(await asyncio.shield(self._verdict))
        return TaskOutcome(ExecutionState.CANCELLED) if run.cancelled() else run.result()


def from_verdict(verdict: Verdict) -> TaskOutcome:
    """The outcome of a run whose worker ended under it."""
    state = ExecutionState.CANCELLED if verdict.planned else ExecutionState.CRASHED
    return TaskOutcome(
        state,
        error=ExecutionError(
            type=verdict.kind.value, message=verdict.sentence, traceback=verdict.traceback or verdict.stack
        ),
    )
