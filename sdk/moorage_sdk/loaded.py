"""A plugin that was loaded: its tasks run here, in a worker and in a test alike. All on one event loop."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime
from typing import Any, Awaitable, Callable, Dict, Mapping, Optional, Tuple

from moorage_proto import value_pb2, values
from moorage_proto.errors import CallError, Reason, Status
from moorage_sdk import scope as scopes
from moorage_sdk import tracebacks
from moorage_sdk.channel import Channel
from moorage_sdk.context import Context
from moorage_sdk.extensions import Extension, ExtensionWork, load_extensions
from moorage_sdk.handlers import Handler, load_handler
from moorage_sdk.handover import Handover
from moorage_sdk.host import HostFacts
from moorage_sdk.injection import FromProvider, Injector, Plan
from moorage_sdk.lifetime import Lifetime
from moorage_sdk.plugin import Plugin
from moorage_sdk.providers import by_type
from moorage_sdk.run import Run, TaskWork
from moorage_sdk.schema.containers import plain
from moorage_sdk.scope import Scope
from moorage_sdk.services import builtin, registry
from moorage_sdk.services.events import Event
from moorage_sdk.settings import ConfigChange, LiveSettings
from moorage_sdk.tasks import Task, load_task
from moorage_sdk.threads import Threads

log = logging.getLogger(__name__)

#: Told of at the end of each scope, before the reply: what was logged must be with the host by then.
Flush = Callable[[], Awaitable[None]]

registry.register(*builtin.FACES)


class LoadedPlugin:
    """Made by ``load``; ended by ``unload``."""

    def __init__(
        self,
        plugin: Plugin,
        *,
        channel: Channel,
        host: HostFacts,
        config: Mapping[str, Any],
        flush: Flush,
        handover: Optional[Handover] = None,
        version: str = "",
    ) -> None:
        """``version`` is the plugin's own; ``handover`` is what the worker before it left, if it left anything."""
        self._plugin = plugin
        self._channel = channel
        self._host = host
        self._settings = LiveSettings(config)
        self._changing = asyncio.Lock()
        self._flush = flush
        self._handover = handover
        self._version = version
        self._threads = Threads()
        self._scope = scopes.current()
        self._lifetime = self._new_lifetime(self._scope, self.context(self._scope))
        self._hooks: Dict[str, Plan] = {}
        self._is_loaded = False
        self.tasks: Dict[str, Task] = {}
        self.handlers: Dict[str, Handler] = {}
        #: By name and version of the extension point.
        self.extensions: Mapping[Tuple[str, int], Extension] = {}

    @property
    def hooks(self) -> Tuple[str, ...]:
        return tuple(self._hooks)

    async def load(self) -> None:
        """Resolves every annotation, runs ``on_upgrade`` where another version came before, makes what lives as long as
        the plugin, and runs ``on_load``.

        Raises PluginInvalid, or whatever the plugin's code raises; close it then with ``unload``.
        """
        providers = by_type(self._plugin.providers)
        injector = Injector(self._host, providers, self._settings, self._plugin.settings, self._handover)
        if self._plugin.settings is not None:
            self._settings.read(self._plugin.settings)
        for name, function in self._plugin.hooks.items():
            self._hooks[name] = injector.plan(function, f"hook {name!r}")
        for name, function in self._plugin.tasks.items():
            self.tasks[name] = load_task(name, function, injector)
        for declared in self._plugin.handlers:
            self.handlers[declared.name] = load_handler(declared, injector)
        self.extensions = load_extensions(self._plugin.extensions, injector)
        if self._handover is not None and self._handover.is_upgrade(self._version):
            await self._run_hook("on_upgrade", self._lifetime.context)
        made = [FromProvider(provider, injector.provider_plan(provider)) for provider in providers.values()]
        for source in made:
            if not source.scoped:
                await source.get(self._lifetime)
        await self._run_hook("on_load", self._lifetime.context)
        self._is_loaded = True

    def run(
        self, task: str, scope: Scope, value: Any, deadline: Optional[datetime] = None, *, brought: bool = False
    ) -> Run[value_pb2.Value]:
        """One execution, not yet begun. ``brought``: by a trigger. Raises CallError for an unknown task."""
        found = self.tasks.get(task)
        if found is None:
            known = ", ".join(self.tasks) or "none"
            raise CallError(
                Status.NOT_FOUND, Reason.TASK_UNKNOWN, f"there is no task {task!r}; the plugin's tasks are: {known}"
            )
        return Run(self, TaskWork(found, value, brought), scope, self.context(scope, task, deadline))

    def handle(
        self, handler: str, scope: Scope, event: Event, deadline: Optional[datetime] = None
    ) -> Run[value_pb2.Value]:
        """One event, not yet handled. Raises CallError for an unknown handler."""
        found = self.handlers.get(handler)
        if found is None:
            raise CallError(Status.NOT_FOUND, Reason.TASK_UNKNOWN, f"the plugin has no event handler {handler!r}")
        value = event.data if found.task.plan.input is not None else None
        return Run(self, TaskWork(found.task, value), scope, self.context(scope, handler, deadline, event))

    def call(
        self, point: str, version: int, method: str, scope: Scope, arguments: bytes, deadline: Optional[datetime] = None
    ) -> Run[bytes]:
        """One call of an extension, not yet begun. Raises CallError for what the plugin does not implement."""
        extension = self.extensions.get((point, version))
        found = extension.methods.get(method) if extension is not None else None
        if found is None:
            problem = f"the plugin does not implement {method!r} of version {version} of {point!r}"
            raise CallError(Status.NOT_FOUND, Reason.TASK_UNKNOWN, problem)
        return Run(self, ExtensionWork(found, arguments), scope, self.context(scope, found.name, deadline))

    async def health(self) -> Tuple[bool, str]:
        """Whether the plugin thinks itself well, and what it says."""
        try:
            answer = await self._run_hook("health", self._lifetime.context)
        except Exception as error:  # noqa: BLE001 - whatever it raises is its way to say no
            return False, tracebacks.message_of(error)
        if isinstance(answer, str):
            return not answer, answer
        return answer is None or bool(answer), ""

    async def change_config(self, config: Mapping[str, Any], keys: Tuple[str, ...]) -> bool:
        """From now on these are the settings; one change after the other. Returns whether the plugin was told of it.

        Raises PluginInvalid where its settings class does not take them: it goes on with those it had; or whatever
        ``on_config_changed`` raises.
        """
        async with self._changing:
            before = self._settings.config
            self._settings.change(config)
            change = ConfigChange(keys, before, config)
            await self._run_hook("on_config_changed", self._lifetime.context, change=change)
        return "on_config_changed" in self._hooks

    async def export_state(self) -> Optional[value_pb2.Value]:
        """What ``export_state`` returns, ready for the wire; None where the plugin hands nothing over.

        Raises what the plugin's code raises; Mismatch or ValueInvalid for what cannot cross.
        """
        state = await self._run_hook("export_state", self._lifetime.context)
        return None if state is None else values.to_wire(plain(state, "the state"))

    async def unload(self) -> None:
        """Runs ``on_unload``, if ``on_load`` succeeded, and closes what lives as long as the plugin.

        Raises what ``on_unload`` raises, after everything was closed.
        """
        try:
            if self._is_loaded:
                await self._run_hook("on_unload", self._lifetime.context)
        finally:
            error = await self._lifetime.finish(None)
            if error is not None:
                log.error("closing the plugin's providers failed", exc_info=error)
            await self._lifetime.close()
            await self._flush()
            self._threads.close()

    def context(
        self, scope: Scope, task: str = "", deadline: Optional[datetime] = None, event: Optional[Event] = None
    ) -> Context:
        return Context(
            installation=self._host.installation,
            scope=scope,
            channel=self._channel,
            task=task,
            deadline=deadline,
            event=event,
        )

    def new_lifetime(self, scope: Scope, context: Context, error: Optional[BaseException] = None) -> Lifetime:
        return self._new_lifetime(scope, context, self._lifetime, error)

    async def on_error(self, scope: Scope, context: Context, error: BaseException) -> None:
        """Never raises."""
        try:
            await self._run_hook("on_error", context, scope, error)
        except Exception:
            log.exception("on_error failed")

    async def flush(self) -> None:
        await self._flush()

    async def _run_hook(
        self,
        name: str,
        context: Context,
        scope: Optional[Scope] = None,
        error: Optional[BaseException] = None,
        change: Optional[ConfigChange] = None,
    ) -> Any:
        plan = self._hooks.get(name)
        if plan is None:
            return None
        with scopes.entered(scope or self._scope):
            lifetime = self.new_lifetime(scope or self._scope, context, error)
            lifetime.change = change or lifetime.change
            answer, failure = None, None
            try:
                answer = await lifetime.call(self._plugin.hooks[name], **await plan.arguments(lifetime))
            except Exception as raised:  # noqa: BLE001 - raised below, after everything was closed
                failure = raised
            ended = await lifetime.finish(failure)
            await lifetime.close()
            await self._flush()
        if ended is not None:
            raise ended
        return answer

    def _new_lifetime(
        self,
        scope: Scope,
        context: Context,
        plugin: Optional[Lifetime] = None,
        error: Optional[BaseException] = None,
    ) -> Lifetime:
        return Lifetime(
            channel=self._channel,
            host=self._host,
            scope=scope,
            context=context,
            threads=self._threads,
            plugin=plugin,
            error=error,
        )
