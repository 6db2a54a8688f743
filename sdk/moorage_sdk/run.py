"""One call of plugin code, from what it is given to its result on the wire: of a task, or of an extension."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Callable, Dict, Generic, Optional, Protocol, Tuple, TypeVar

from moorage_proto import value_pb2, values
from moorage_proto.errors import CallError, Reason, Status
from moorage_proto.typed import ValueUnfit
from moorage_sdk import messages, tracebacks
from moorage_sdk import scope as scopes
from moorage_sdk.context import Context, cancelled
from moorage_sdk.errors import Cancelled, MoorageError
from moorage_sdk.lifetime import Lifetime
from moorage_sdk.schema import Mismatch
from moorage_sdk.scope import Scope
from moorage_sdk.tasks import Task

Reply = TypeVar("Reply")
Reply_co = TypeVar("Reply_co", covariant=True)


class Work(Protocol[Reply_co]):
    """What is called."""

    @property
    def name(self) -> str: ...

    @property
    def owner(self) -> str:
        """For sentences: "task 'execute'"."""

    @property
    def is_async(self) -> bool: ...

    def read(self) -> Dict[str, Any]:
        """What the call itself brings, by parameter. Raises Mismatch, ValueUnfit."""

    async def bound(self, lifetime: Lifetime) -> Tuple[Callable[..., Any], Dict[str, Any]]:
        """The function, and what is injected."""

    def write(self, result: Any) -> Reply_co:
        """For the wire. Raises what its type refuses."""


@dataclass(frozen=True)
class TaskWork:
    task: Task
    value: Any
    #: The value may be what a trigger brings, to be taken whole, in part or not at all.
    brought: bool = False

    @property
    def name(self) -> str:
        return self.task.name

    @property
    def owner(self) -> str:
        return f"task {self.task.name!r}"

    @property
    def is_async(self) -> bool:
        return self.task.is_async

    def read(self) -> Dict[str, Any]:
        declared = self.task.plan.input
        message = messages.brought(self.value) if self.brought else None
        if declared is not None:
            value = self.value if message is None else declared.part(self.value, message)
            return {declared.parameter.name: declared.read(value)}
        if message is None and self.value not in (None, {}):
            raise Mismatch("input", "the task takes none")
        return {}

    async def bound(self, lifetime: Lifetime) -> Tuple[Callable[..., Any], Dict[str, Any]]:
        return self.task.function, await self.task.plan.arguments(lifetime)

    def write(self, result: Any) -> value_pb2.Value:
        return values.to_wire(self.task.result.write(result, "the result"))


class Ground(Protocol):
    """What a run needs of the loaded plugin."""

    def new_lifetime(self, scope: Scope, context: Context, error: Optional[BaseException] = None) -> Lifetime: ...

    async def on_error(self, scope: Scope, context: Context, error: BaseException) -> None: ...

    async def flush(self) -> None: ...


class Run(Generic[Reply]):
    """One call."""

    def __init__(self, plugin: Ground, work: Work[Reply], scope: Scope, context: Context) -> None:
        self._plugin = plugin
        self._work = work
        self._scope = scope
        self._context = context
        self._running: Optional[asyncio.Future[Any]] = None

    def cancel(self) -> None:
        """A coroutine is cancelled, sync code is told. May be called twice, and after the end."""
        self._context.cancel()
        if self._running is not None and self._work.is_async:
            self._running.cancel()

    async def outcome(self) -> Reply:
        """The result, ready for the wire. Raises CallError."""
        try:
            arguments = self._work.read()
        except (Mismatch, ValueUnfit) as error:
            raise CallError(Status.INVALID_ARGUMENT, Reason.REQUEST_INVALID, f"{self._work.owner}: {error}") from error
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

    async def _call(
        self, lifetime: Lifetime, arguments: Dict[str, Any]
    ) -> Tuple[Optional[Reply], Optional[BaseException]]:
        try:
            function, injected = await self._work.bound(lifetime)
            arguments.update(injected)
            self._context.raise_if_cancelled()
            self._running = asyncio.ensure_future(lifetime.call_cancellable(function, **arguments))
            await asyncio.wait((self._running,))
            if self._running.cancelled():
                return None, cancelled(self._work.name)
            return self._work.write(self._running.result()), None
        except Exception as raised:  # noqa: BLE001 - plugin code may raise anything; it fails this execution only
            return None, raised

    def _was_cancelled(self, error: BaseException) -> bool:
        return self._context.cancelled and isinstance(error, Cancelled)

    def _explained(self, error: BaseException) -> CallError:
        if self._was_cancelled(error):
            return cancelled(self._work.name)
        told = error if isinstance(error, MoorageError) else None
        return CallError(
            Status.UNKNOWN,
            Reason.TASK_FAILED,
            f"{self._work.owner} raised {tracebacks.message_of(error)}",
            capability=told.capability if told else "",
            remedy=told.remedy if told else "",
            retryable=told.retryable if told else False,
            task=tracebacks.failure_of(error),
        )
