"""The executions in flight on one incarnation."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from moorage.broker.scope import ScopeKind
from moorage.broker.session import BrokerSession
from moorage.models.execution import Execution, ExecutionState, TaskOutcome
from moorage.models.incarnation import Verdict
from moorage.supervisor import outcome
from moorage.telemetry.trace import new_traceparent
from moorage_proto import plugin_pb2, values
from moorage_proto.errors import CallError, Reason, Status
from moorage_proto.link import Link
from moorage_proto.methods import service_methods

_RUN = service_methods(plugin_pb2, "PluginService")["run"]

#: How long the verdict of a dead worker may lag behind the end of its link.
VERDICT_TIMEOUT = timedelta(seconds=3)


class Runs:
    """Each execution has a scope of its own: the task returns, the host commits, and only then it has succeeded."""

    def __init__(self, link: Link, session: BrokerSession, verdict: Callable[[], "asyncio.Future[Verdict]"]) -> None:
        self._link = link
        self._session = session
        self._verdict = verdict
        self._calls: dict[str, asyncio.Task[TaskOutcome]] = {}
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def executions(self) -> tuple[str, ...]:
        return tuple(self._calls)

    async def run(self, execution: Execution, timeout: timedelta) -> TaskOutcome:
        """Cancelling the caller cancels the plugin's task and rolls back."""
        self._session.open_scope(ScopeKind.EXECUTION, execution.id, execution=execution.id)
        call = asyncio.create_task(self._call(execution, timeout), name=f"run {execution.id}")
        self._calls[execution.id] = call
        self._idle.clear()
        result = TaskOutcome(ExecutionState.CANCELLED)
        try:
            await asyncio.wait((call,))
            result = await self._stopped() if call.cancelled() else call.result()
        finally:
            call.cancel()
            try:
                result = await self._close_scope(execution.id, result)
            finally:
                del self._calls[execution.id]
                if not self._calls:
                    self._idle.set()
        return result

    async def drain(self, timeout: timedelta) -> tuple[str, ...]:
        """Waits for what runs, cancels what is left after the timeout, and returns the ids of the cancelled."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout.total_seconds()):
                await self._idle.wait()
        return await self.cancel()

    async def cancel(self) -> tuple[str, ...]:
        cancelled = self.executions
        for call in self._calls.values():
            call.cancel()
        await self._idle.wait()
        return cancelled

    async def _call(self, execution: Execution, timeout: timedelta) -> TaskOutcome:
        request = plugin_pb2.RunRequest(
            task=execution.task,
            execution=execution.id,
            attempt=execution.attempt,
            trigger=execution.trigger,
            input=values.to_wire(execution.input),
        )
        try:
            reply = await self._link.call(
                _RUN, request, scope=execution.id, timeout=timeout.total_seconds(), traceparent=new_traceparent()
            )
            return TaskOutcome(ExecutionState.SUCCEEDED, result=values.from_wire(reply.result))
        except CallError as error:
            return await self._explain(error)
        except values.ValueInvalid as error:
            sentence = f"The task's result cannot be read: {error}."
            return outcome.from_error(CallError(Status.INVALID_ARGUMENT, Reason.TASK_FAILED, sentence))

    async def _explain(self, error: CallError) -> TaskOutcome:
        """A lost link is how the death of a worker looks from here; its verdict says what happened."""
        if error.reason not in (Reason.LINK_CLOSED, Reason.PROTOCOL_VIOLATION):
            return outcome.from_error(error)
        try:
            return await self._stopped()
        except TimeoutError:
            return outcome.from_error(error)

    async def _stopped(self) -> TaskOutcome:
        async with asyncio.timeout(VERDICT_TIMEOUT.total_seconds()):
            return outcome.from_verdict(await asyncio.shield(self._verdict()))

    async def _close_scope(self, scope: str, result: TaskOutcome) -> TaskOutcome:
        success = result.state is ExecutionState.SUCCEEDED
        try:
            await self._session.close_scope(scope, success=success)
        except CallError as error:
            return replace(outcome.from_error(error), state=ExecutionState.FAILED)
        return result
