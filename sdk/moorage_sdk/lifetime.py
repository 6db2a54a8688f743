"""The values that are alive for one scope, or for the plugin, and how they end."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import logging
from typing import Any, Awaitable, Callable, Dict, List, Optional, Tuple

from moorage_sdk.channel import Channel
from moorage_sdk.context import Context
from moorage_sdk.host import HostFacts
from moorage_sdk.providers import Provider
from moorage_sdk.scope import Scope
from moorage_sdk.services.base import Ask, Face, Provided
from moorage_sdk.settings import ConfigChange
from moorage_sdk.threads import ScopeThread, Threads

log = logging.getLogger(__name__)

#: What a generator that yields nothing is taken to have yielded.
_NOTHING: Any = object()


class Exited(Exception):
    """The plugin's code raised what would end more than itself: the interpreter, or the task that answers the host."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(
            f"{type(error).__name__}({error}) would end more than this; return, or raise another exception"
        )


class Lifetime:
    """Used from the plugin's event loop, by one task at a time.

    ``plugin`` is the lifetime of what lives as long as the plugin; its own ``plugin`` is itself.
    """

    def __init__(
        self,
        *,
        channel: Channel,
        host: HostFacts,
        scope: Scope,
        context: Context,
        threads: Threads,
        plugin: Optional[Lifetime] = None,
        error: Optional[BaseException] = None,
    ) -> None:
        self.context = context
        #: What the scope's work failed with, so far.
        self.error = error
        #: Of the settings, while ``on_config_changed`` is told of it.
        self.change = ConfigChange()
        self.plugin = plugin or self
        self._channel = channel
        self._host = host
        self._scope = scope
        self._threads = threads
        self._thread: Optional[ScopeThread] = None
        self._sync_context: Optional[contextvars.Context] = None
        self._alive: List[Provided] = []
        self._values: Dict[Tuple[Any, ...], Any] = {}

    async def call(self, function: Callable[..., Any], /, *arguments: Any, **keywords: Any) -> Any:
        """A coroutine function here, on the loop; any other in the scope's thread. Raises Exceptions only."""
        try:
            return await self.call_cancellable(function, *arguments, **keywords)
        except asyncio.CancelledError as error:
            raise Exited(error) from error

    async def call_cancellable(self, function: Callable[..., Any], /, *arguments: Any, **keywords: Any) -> Any:
        """As ``call``, in an asyncio task of its own that may be cancelled."""
        try:
            return await self._call(function, *arguments, **keywords)
        except (Exception, asyncio.CancelledError):
            raise
        except BaseException as error:
            # SystemExit and its kind, GeneratorExit, or a class of the plugin's own.
            raise Exited(error) from error

    async def _call(self, function: Callable[..., Any], /, *arguments: Any, **keywords: Any) -> Any:
        if inspect.iscoroutinefunction(function):
            return await function(*arguments, **keywords)
        if self._thread is None:
            self._thread = self._threads.take()
            self._sync_context = contextvars.copy_context()
        assert self._sync_context is not None, "made together with the thread"
        return await self._thread.run(self._sync_context, functools.partial(function, *arguments, **keywords))

    def face_value(self, face: Face, type_name: str, backend: str) -> Any:
        if not face.per_scope and self.plugin is not self:
            return self.plugin.face_value(face, type_name, backend)
        key = (id(face), type_name, backend)
        if key not in self._values:
            provided = face.make(Ask(type_name, backend, self._channel, self._scope, self._host))
            self._alive.append(provided)
            self._values[key] = provided.value
        return self._values[key]

    async def provided_value(
        self, provider: Provider, arguments: Callable[[Lifetime], Awaitable[Dict[str, Any]]]
    ) -> Any:
        if (provider,) not in self._values:
            provided = await self._make(provider, await arguments(self))
            self._alive.append(provided)
            self._values[(provider,)] = provided.value
        return self._values[(provider,)]

    async def finish(self, error: Optional[BaseException]) -> Optional[BaseException]:
        """First half of the end, before the reply: newest first. Returns the first error, the given one before all."""
        self.error = error
        for provided in reversed(self._alive):
            if provided.finish is None:
                continue
            try:
                await self.call(provided.finish, self.error is None)
            except Exception as raised:  # noqa: BLE001 - the others must be finished all the same
                self.error = self.error or raised
        return self.error

    async def close(self) -> None:
        """Second half: newest first, always. Gives the thread back."""
        while self._alive:
            provided = self._alive.pop()
            if provided.close is None:
                continue
            try:
                await self.call(provided.close)
            except Exception:
                log.exception("closing %s failed", type(provided.value).__name__)
        self._values.clear()
        if self._thread is not None:
            self._threads.give_back(self._thread)
            self._thread = None

    async def _make(self, provider: Provider, arguments: Dict[str, Any]) -> Provided:
        if not provider.yields:
            return Provided(await self.call(provider.function, **arguments))
        generator = provider.function(**arguments)
        if provider.is_async:
            value = await self.call(_first_async, generator)
            finish: Callable[[bool], Any] = self._resume_async(provider, generator)
        else:
            value = await self.call(next, generator, _NOTHING)
            finish = self._resume(provider, generator)
        if value is _NOTHING:
            raise RuntimeError(f"{provider.owner} ended without a yield, so there is nothing to inject")
        return Provided(value, finish=finish)

    def _resume(self, provider: Provider, generator: Any) -> Callable[[bool], None]:
        def finish(success: bool) -> None:  # noqa: ARG001 - the generator is told the error itself
            try:
                generator.send(self.error)
            except StopIteration:
                return
            generator.close()
            raise RuntimeError(f"{provider.owner} yields twice; one value is injected, so one yield is right")

        return finish

    def _resume_async(self, provider: Provider, generator: Any) -> Callable[[bool], Awaitable[None]]:
        async def finish(success: bool) -> None:  # noqa: ARG001 - the generator is told the error itself
            try:
                await generator.asend(self.error)
            except StopAsyncIteration:
                return
            await generator.aclose()
            raise RuntimeError(f"{provider.owner} yields twice; one value is injected, so one yield is right")

        return finish


async def _first_async(generator: Any) -> Any:
    try:
        return await generator.__anext__()
    except StopAsyncIteration:
        return _NOTHING
