"""Executions, for the application, the API and the CLI."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from moorage.app.acts import Act
from moorage.app.many import Many
from moorage.app.wiring import Wiring
from moorage.errors import MoorageError
from moorage.models.execution import Execution, ExecutionHistory, ExecutionRequest, ExecutionState
from moorage.models.selected import SelectedRuns
from moorage.models.selection import Selector
from moorage.orchestrator.identifiers import earliest


class ExecutionFailed(MoorageError):
    """``Host.call`` had no result to return."""

    code = "execution_failed"

    def __init__(self, execution: Execution) -> None:
        error = execution.error
        super().__init__(f"{execution.installation} {execution.task}: {execution.state}: {error and error.message}")
        self.execution = execution


class ExecutionCalls:
    """The part of ``Host`` that has tasks run, and tells what became of it.

    The host that inherits it has ``_parts`` and ``_act``.
    """

    _act: Act

    @property
    def _parts(self) -> Wiring:
        raise NotImplementedError

    async def submit(self, request: ExecutionRequest) -> Execution:
        return await self._parts.orchestrator.submit(request)

    async def run(self, request: ExecutionRequest) -> Execution:
        return await self._parts.orchestrator.run(request)

    async def submit_all(self, selector: Selector, request: ExecutionRequest) -> SelectedRuns:
        """The same of each that fits; the request's own installation does not count. Executions and what could not be
        accepted come apart, by name. Raises SelectorRefused, PredicateUnknown.
        """
        return await Many(self._parts).submit(selector, request)

    async def run_all(self, selector: Selector, request: ExecutionRequest) -> SelectedRuns:
        """As ``submit_all``; returns when each has its outcome."""
        return await Many(self._parts).run(selector, request)

    async def wait(self, execution_id: str) -> Execution:
        """Returns when it has its outcome."""
        return await self._parts.orchestrator.wait(execution_id)

    async def call(
        self,
        installation: str,
        task: str = "execute",
        input: Any = None,  # noqa: A002 - the task's own word for it
        *,
        timeout: timedelta | None = None,
    ) -> Any:
        """For applications: the task's result. Raises ExecutionFailed with the execution."""
        request = ExecutionRequest(installation, task, input, trigger="application", timeout=timeout)
        execution = await self.run(request)
        if execution.state is not ExecutionState.SUCCEEDED:
            raise ExecutionFailed(execution)
        return execution.result

    async def execution(self, execution_id: str) -> Execution:
        return await self._parts.store.executions.get(execution_id)

    async def execution_history(self, execution_id: str) -> ExecutionHistory:
        """Its attempts, and where its lines are in the log. Raises ExecutionUnknown."""
        parts = self._parts
        await parts.store.executions.get(execution_id)
        await parts.logs.flush()
        attempts = await parts.store.attempts.list(execution_id)
        return ExecutionHistory(attempts, await parts.store.logs.range_of(execution_id))

    async def executions(
        self,
        *,
        installation: str | None = None,
        state: ExecutionState | None = None,
        trigger: str | None = None,
        since: datetime | None = None,
        before: str = "",
        limit: int = 50,
    ) -> tuple[Execution, ...]:
        """Newest first, without inputs, results and tracebacks. ``trigger``: a trigger's id; ``before``: the last id of
        the page before.
        """
        after = "" if since is None else earliest(since)
        return await self._parts.store.executions.list(
            installation=installation, state=state, trigger=trigger, after=after, before=before, limit=limit
        )

    async def retry(self, execution_id: str, *, by: str = "") -> Execution:
        """A new execution of what an ended one did. Raises ExecutionUnknown, ExecutionOpen, and as ``submit``."""
        execution = await self._parts.orchestrator.retry(execution_id, by=by)
        await self._act("retry", execution.installation, by, f"{execution_id} as {execution.id}")
        return execution

    async def cancel(self, execution_id: str, *, by: str = "") -> Execution:
        execution = await self._parts.orchestrator.cancel(execution_id, by=by)
        await self._act("cancel", execution.installation, by, execution_id)
        return execution
