"""The plugin's own providers: functions that make what other functions are injected with."""

from __future__ import annotations

import collections.abc
import inspect
import typing
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterable, Mapping

from moorage_sdk.errors import PluginInvalid
from moorage_sdk.parameters import result_annotation

PLUGIN = "plugin"
SCOPE = "scope"

_GENERATORS = frozenset({
    collections.abc.Iterator,
    collections.abc.Iterable,
    collections.abc.Generator,
    collections.abc.AsyncIterator,
    collections.abc.AsyncIterable,
    collections.abc.AsyncGenerator,
})  # fmt: skip


@dataclass(frozen=True)
class Provider:
    """A function, plain or async, that returns the value, or yields it and cleans up after the yield."""

    function: Callable[..., Any]
    #: What it makes: the annotation it is found by.
    type: Any
    #: False: one value for the plugin's life.
    scoped: bool

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def owner(self) -> str:
        return f"provider {self.name!r}"

    @property
    def type_text(self) -> str:
        return inspect.formatannotation(self.type)

    @property
    def yields(self) -> bool:
        return inspect.isgeneratorfunction(self.function) or inspect.isasyncgenfunction(self.function)

    @property
    def is_async(self) -> bool:
        return inspect.iscoroutinefunction(self.function) or inspect.isasyncgenfunction(self.function)


def by_type(declared: Iterable[tuple[Callable[..., Any], str]]) -> Mapping[Any, Provider]:
    """Providers with their lifetimes, found by what they make.

    Raises PluginInvalid when the type is not written, or two make the same.
    """
    found: Dict[Any, Provider] = {}
    for function, lifetime in declared:
        provider = Provider(function, _made_type(function), lifetime == SCOPE)
        other = found.setdefault(provider.type, provider)
        if other is not provider:
            raise PluginInvalid(
                f"providers {other.name!r} and {provider.name!r} both make {provider.type_text}; "
                f"tell them apart with typing.NewType, or keep one"
            )
    return found


def _made_type(function: Callable[..., Any]) -> Any:
    owner = f"provider {function.__name__!r}"
    annotation = result_annotation(function, owner)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        arguments = typing.get_args(annotation)
        if typing.get_origin(annotation) not in _GENERATORS or not arguments:
            raise PluginInvalid(f"{owner} yields, so annotate its result as Iterator[...] or AsyncIterator[...]")
        annotation = arguments[0]
    if annotation is Any or annotation is None or annotation is type(None):
        raise PluginInvalid(f"{owner} does not say what it makes; annotate its result, such as -> Repository")
    return annotation
