"""A method as it is written: its parameters, what it returns, what streams, who waits."""

from __future__ import annotations

import collections.abc
import inspect
import types
import typing
from dataclasses import dataclass
from typing import Any, Callable, Dict, Mapping, Tuple

from moorage_proto.annotations import bare, newer_syntax_hint
from moorage_proto.typed.errors import ContractInvalid

#: The first parameter of a method that serves: who calls. It never crosses.
CALLER = "caller"

_SYNC_STREAMS = frozenset({collections.abc.Iterator, collections.abc.Iterable, collections.abc.Generator})
_ASYNC_STREAMS = frozenset({
    collections.abc.AsyncIterator,
    collections.abc.AsyncIterable,
    collections.abc.AsyncGenerator,
})  # fmt: skip


@dataclass(frozen=True)
class Parameter:
    name: str
    annotation: Any
    #: inspect.Parameter.empty: it has none.
    default: Any


@dataclass(frozen=True)
class Written:
    """One method of a class, resolved."""

    name: str
    parameters: Tuple[Parameter, ...]
    #: Of a stream: of its items.
    result: Any
    #: Binds arguments, without ``self`` and ``caller``.
    signature: inspect.Signature
    takes_caller: bool
    #: Whether who calls it awaits it, or iterates over it with ``async for``.
    is_async: bool
    requests_stream: bool
    replies_stream: bool

    @property
    def names(self) -> Tuple[str, ...]:
        return tuple(parameter.name for parameter in self.parameters)


def read(place: str, function: Callable[..., Any]) -> Written:
    """``place`` names the method in messages. Raises ContractInvalid."""
    given = list(inspect.signature(function).parameters.values())[1:]
    takes_caller = bool(given) and given[0].name == CALLER
    if takes_caller:
        given = given[1:]
    hints = _hints(place, function, {parameter.name for parameter in given} | {"return"})
    for parameter in given:
        _check(place, parameter, hints)
    result, replies_stream = hints.get("return", inspect.Parameter.empty), False
    if result is inspect.Parameter.empty:
        raise ContractInvalid(place, "it does not say what it returns; write -> None where that is nothing")
    is_async = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
    origin = typing.get_origin(bare(result))
    if origin in _SYNC_STREAMS | _ASYNC_STREAMS:
        if inspect.iscoroutinefunction(function):
            raise ContractInvalid(place, "it streams what it returns; write def, or yield in it, and not async def")
        result, replies_stream, is_async = typing.get_args(bare(result))[0], True, origin in _ASYNC_STREAMS
    parameters = [Parameter(each.name, hints[each.name], each.default) for each in given]
    streamed = [
        each for each in parameters if typing.get_origin(bare(each.annotation)) in _SYNC_STREAMS | _ASYNC_STREAMS
    ]
    if streamed:
        parameters = [_item_of(place, streamed, parameters, replies_stream)]
    return Written(
        function.__name__,
        tuple(parameters),
        result,
        inspect.Signature(given),
        takes_caller,
        is_async,
        bool(streamed),
        replies_stream,
    )


def _item_of(place: str, streamed: Any, parameters: Any, replies_stream: bool) -> Parameter:
    if len(parameters) > 1:
        raise ContractInvalid(
            place, f"{streamed[0].name!r} streams, so it is the only parameter; put the others into each of its items"
        )
    if replies_stream:
        raise ContractInvalid(place, "a method streams what it takes or what it returns, not both; write two methods")
    item = typing.get_args(bare(streamed[0].annotation))[0]
    return Parameter(streamed[0].name, item, inspect.Parameter.empty)


def _check(place: str, parameter: inspect.Parameter, hints: Mapping[str, Any]) -> None:
    if parameter.kind not in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY):
        raise ContractInvalid(
            place, f"parameter {parameter.name!r} cannot cross; write no *, ** or positional-only ones"
        )
    if parameter.name not in hints:
        raise ContractInvalid(place, f"parameter {parameter.name!r} has no annotation; write its type")
    if parameter.name == CALLER:
        raise ContractInvalid(place, f"{CALLER!r} is who calls, and comes first")


def _hints(place: str, function: Callable[..., Any], names: Any) -> Mapping[str, Any]:
    """One at a time, so that the message can name the one that is at fault."""
    resolved: Dict[str, Any] = {}
    for name, annotation in getattr(function, "__annotations__", {}).items():
        if name not in names:
            continue
        holder = types.SimpleNamespace(__annotations__={name: annotation})
        try:
            hints = typing.get_type_hints(holder, getattr(function, "__globals__", {}), include_extras=True)
        except Exception as error:
            what = "of what it returns" if name == "return" else f"of parameter {name!r}"
            raise ContractInvalid(
                place,
                f"the annotation {annotation!r} {what} cannot be resolved: {error}; import what it names at the top "
                f"of the module, not under TYPE_CHECKING{newer_syntax_hint(error)}",
            ) from error
        resolved[name] = hints[name]
    return resolved
