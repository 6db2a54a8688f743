"""What a plugin declares: its tasks, hooks and providers. Nothing is resolved or run here."""

from __future__ import annotations

import inspect
from typing import Any, Callable, Dict, List, Optional, Tuple, TypeVar, Union, overload

from moorage_proto.typed.extension import owner_of
from moorage_sdk.extensions import DeclaredExtension
from moorage_sdk.handlers import DeclaredHandler
from moorage_sdk.providers import PLUGIN, SCOPE

Function = TypeVar("Function", bound=Callable[..., Any])
Implementing = TypeVar("Implementing", bound=Union[type, Callable[..., Any]])

#: Where a task's function remembers its plugin, for tests that are handed the function.
PLUGIN_ATTRIBUTE = "__moorage_plugin__"

HOOKS = ("on_load", "on_upgrade", "on_unload", "on_error", "on_config_changed", "health", "export_state")


class Plugin:
    """The object that the manifest's entry point names.

        plugin = Plugin()

        @plugin.task
        def execute(ctx: Context, log: logging.Logger) -> int: ...

    Decorated functions stay ordinary functions. What they are injected with is resolved when the plugin is loaded.
    """

    def __init__(self, *, settings: Optional[type] = None) -> None:
        """``settings``: a dataclass, TypedDict or pydantic model that the installation's settings are read as.

        It is injected wherever a parameter is annotated with it.
        """
        self.settings = settings
        self.tasks: Dict[str, Callable[..., Any]] = {}
        self.hooks: Dict[str, Callable[..., Any]] = {}
        self.handlers: List[DeclaredHandler] = []
        self.extensions: List[DeclaredExtension] = []
        #: Functions with their lifetimes, in the order of declaration.
        self.providers: List[Tuple[Callable[..., Any], str]] = []

    @overload
    def task(self, function: Function) -> Function: ...

    @overload
    def task(self, *, name: str = "") -> Callable[[Function], Function]: ...

    def task(
        self, function: Optional[Function] = None, *, name: str = ""
    ) -> Union[Function, Callable[[Function], Function]]:
        """Declares a task, under the function's own name or another.

        The one parameter whose type is a dataclass, TypedDict or pydantic model, or that is named ``input``, is given
        the execution's input. What the function returns is the execution's result. Its docstring's first line is
        shown to people.
        """

        def declare(function: Function) -> Function:
            _check_function("a task", function)
            task_name = name or function.__name__
            if task_name in self.tasks:
                raise ValueError(f"there are two tasks named {task_name!r}; name one otherwise: @plugin.task(name=...)")
            self.tasks[task_name] = function
            setattr(function, PLUGIN_ATTRIBUTE, self)
            return function

        return declare if function is None else declare(function)

    def on_load(self, function: Function) -> Function:
        """Runs once, before any task; when it raises the plugin does not start.

        A parameter annotated ``Handover`` is given what the worker before it left.
        """
        return self._hook("on_load", function)

    def on_upgrade(self, function: Function) -> Function:
        """Runs once, before everything else of the plugin, when another version was ready before this one.

        A parameter ``from_version: str`` is given that version. When it raises, this version does not start.
        """
        return self._hook("on_upgrade", function)

    def export_state(self, function: Function) -> Function:
        """Runs before a reload; what it returns is the next worker's ``Handover.state``.

        Other work may go on meanwhile, and after it. When it raises, the reload is given up.
        """
        return self._hook("export_state", function)

    def on_unload(self, function: Function) -> Function:
        """Runs once, after the last task."""
        return self._hook("on_unload", function)

    def on_error(self, function: Function) -> Function:
        """Runs when a task has failed; a parameter annotated ``Exception`` is given what it raised."""
        return self._hook("on_error", function)

    def on_config_changed(self, function: Function) -> Function:
        """Runs when settings of the installation were changed while the worker lives.

        A parameter annotated with the settings class has the new ones, one annotated ``ConfigChange`` tells what was
        changed. Executions that begin from now on have the new ones too; those that run keep what they were given. When
        it raises, whoever changed the settings is told so, and the new ones count all the same.
        """
        return self._hook("on_config_changed", function)

    def health(self, function: Function) -> Function:
        """Asked now and then. Nothing or True is healthy; False, a text or an exception says that it is not."""
        return self._hook("health", function)

    def on_event(self, topic: str) -> Callable[[Function], Function]:
        """Declares a handler: it is called with every event whose topic is this one, or matches it: ``track.*``.

        It is injected like a task: the parameter whose type is a dataclass, TypedDict or pydantic model, or that is
        named ``input``, is given the event's data, one annotated ``moorage_sdk.events.Event`` the whole event. Each
        event has a scope of its own: a scoped Session is committed when the handler has returned. Events arrive one
        after another, and at most once; for work that must not be lost, let an event trigger start a task.
        """
        return self._handler(topic, replies=False)

    def reply_to(self, topic: str) -> Callable[[Function], Function]:
        """Declares the handler of requests: as ``on_event``, and what it returns is the answer."""
        return self._handler(topic, replies=True)

    def _handler(self, topic: str, *, replies: bool) -> Callable[[Function], Function]:
        def declare(function: Function) -> Function:
            _check_function("a handler", function)
            declared = DeclaredHandler(topic, function, replies)
            if any(other.name == declared.name for other in self.handlers):
                raise ValueError(f"there are two handlers {function.__name__!r} of {topic!r}; name one otherwise")
            self.handlers.append(declared)
            setattr(function, PLUGIN_ATTRIBUTE, self)
            return function

        return declare

    def implements(self, contract: Any) -> Callable[[Implementing], Implementing]:
        """Declares what the application calls at one of its extension points.

            @plugin.implements(Discount)
            class Regulars:
                def __init__(self, log: logging.Logger) -> None: ...

                async def discount(self, basket: Basket, session: AsyncSession) -> int: ...

        A class has all methods of the contract; a function implements one, ``@plugin.implements(Discount.discount)``.
        Parameters that the contract has are given what the application passes, others are injected. Each call has a
        scope of its own, in which the object is made: a scoped Session is committed when the method has returned. Calls
        may run side by side. ``def`` and ``async def`` both do, whichever the contract has.
        """
        if not isinstance(contract, type) and owner_of(contract) is None:
            raise TypeError(f"{contract!r} is neither an extension point nor a method of one; see @extension_point")

        def declare(implementation: Implementing) -> Implementing:
            if isinstance(contract, type) != isinstance(implementation, type):
                raise TypeError("a class implements an extension point, and a function one method of it")
            if not isinstance(implementation, type):
                _check_function("an extension", implementation)
            self.extensions.append(DeclaredExtension(contract, implementation))
            setattr(implementation, PLUGIN_ATTRIBUTE, self)
            return implementation

        return declare

    @overload
    def provide(self, function: Function) -> Function: ...

    @overload
    def provide(self, *, lifetime: str = SCOPE) -> Callable[[Function], Function]: ...

    def provide(
        self, function: Optional[Function] = None, *, lifetime: str = SCOPE
    ) -> Union[Function, Callable[[Function], Function]]:
        """Declares a provider: what it returns is injected wherever its result's annotation is asked for.

        ``lifetime`` is "scope" (made anew for each execution that asks) or "plugin" (made once, before ``on_load``).
        A function that yields the value instead cleans up after the yield, newest first, however the scope ended;
        ``error = yield value`` tells how: the exception, or None. Providers may have injected parameters themselves.
        """
        if lifetime not in (PLUGIN, SCOPE):
            raise ValueError(f'a provider\'s lifetime is "plugin" or "scope", not {lifetime!r}')

        def declare(function: Function) -> Function:
            if not inspect.isfunction(function):
                raise TypeError(f"a provider is a function, {type(function).__name__} is none")
            self.providers.append((function, lifetime))
            return function

        return declare if function is None else declare(function)

    def _hook(self, name: str, function: Function) -> Function:
        _check_function(name, function)
        if name in self.hooks:
            raise ValueError(f"there are two {name} hooks; a plugin has one, which may call several functions")
        self.hooks[name] = function
        return function


def _check_function(what: str, function: Any) -> None:
    if not inspect.isfunction(function):
        raise TypeError(f"{what} is a function, {type(function).__name__} is none; write @plugin.task above a def")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{what} returns its result, {function.__name__!r} yields; collect into a list and return that")
