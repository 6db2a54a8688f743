"""One execution of one task, from its input to its result on the wire."""

from __future__ import annotations

import asyncio
from typing import Any, Dict, Optional, Protocol, Tuple

from moorage_proto import value_pb2, values
from moorage_proto.errors import CallError, Reason, Status
from moorage_sdk import messages, tracebacks
from moorage_sdk import scope as scopes
from moorage_sdk.context import Context, cancelled
from moorage_sdk.errors import Cancelled, MoorageError
from moorage_sdk.lifetime import Lifetime
from moorage_sdk.schema import Mismatch
from moorage_sdk.scope import Scope
from moorage_sdk.tasks import Task


class Ground(Protocol):
    """What a run needs of the loaded plugin."""

    def new_lifetime(self, scope: Scope, context: Context, error: Optional[BaseException] = None) -> Lifetime: ...

    async def on_error(self, scope: Scope, context: Context, error: BaseException) -> None: ...

    async def flush(self) -> None: ...


class Run:
    """One execution of one task."""

    def __init__(
        self, plugin: Ground, task: Task, scope: Scope, context: Context, value: Any, *, brought: bool = False
    ) -> None:
        """``brought``: the value may be what a trigger brings, to be taken whole, in part or not at all."""
        self._plugin = plugin
        self._task = task
        self._scope = scope
        self._context = context
        self._value = value
        self._brought = brought
        self._running: Optional[asyncio.Future[Any]] = None

    def cancel(self) -> None:
        """A coroutine is cancelled, sync code is told. May be called twice, and after the end."""
        self._context.cancel()
        if self._running is not None and self._task.is_async:
            self._running.cancel()

    async def outcome(self) -> value_pb2.Value:
        """The result, ready for the wire. Raises CallError."""
        try:
            arguments = self._read_input()
        except Mismatch as error:
            raise CallError(
                Status.INVALID_ARGUMENT, Reason.REQUEST_INVALID, f"task {self._task.name!r}: {error}"
            ) from error
        with scopes.entered(self._scope):
            lifetime = self._plugin.new_lifetime(self._scope, self._context)
            reply, failure = await self._call(lifetime, arguments)
            failure = await lifetime.finish(failure)
            await lifetime.close()
            await self._context.finish()
            if failure is not None and not self._was_cancelled(failure):
                await self._plugin.on_error(self._scope, self._context, failure)
            await self._plugin.flush()
        if failure is not None:
            raise self._explained(failure) from failure
        assert reply is not None, "a call that did not fail has a reply"
        return reply

    def _read_input(self) -> Dict[str, Any]:
        declared = self._task.plan.input
        message = messages.brought(self._value) if self._brought else None
        if declared is not None:
            value = self._value if message is None else declared.part(self._value, message)
            return {declared.parameter.name: declared.read(value)}
        if message is None and self._value not in (None, {}):
            raise Mismatch("input", "the task takes none")
        return {}

    async def _call(
        self, lifetime: Lifetime, arguments: Dict[str, Any]
    ) -> Tuple[Optional[value_pb2.Value], Optional[BaseException]]:
        try:
            arguments.update(await self._task.plan.arguments(lifetime))
            self._context.raise_if_cancelled()
            self._running = asyncio.ensure_future(lifetime.call_cancellable(self._task.function, **arguments))
            await asyncio.wait((self._running,))
            if self._running.cancelled():
                return None, cancelled(self._task.name)
            return self._result_to_wire(self._running.result()), None
        except Exception as raised:  # noqa: BLE001 - plugin code may raise anything; it fails this execution only
            return None, raised

    def _result_to_wire(self, value: Any) -> value_pb2.Value:
        return values.to_wire(self._task.result.write(value, "the result"))

    def _was_cancelled(self, error: BaseException) -> bool:
        return self._context.cancelled and isinstance(error, Cancelled)

    def _explained(self, error: BaseException) -> CallError:
        if self._was_cancelled(error):
            return cancelled(self._task.name)
        told = error if isinstance(error, MoorageError) else None
        return CallError(
            Status.UNKNOWN,
            Reason.TASK_FAILED,
            f"task {self._task.name!r} raised {tracebacks.message_of(error)}",
            capability=told.capability if told else "",
            remedy=told.remedy if told else "",
            retryable=told.retryable if told else False,
            task=tracebacks.failure_of(error),
        )
