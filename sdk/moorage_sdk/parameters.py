"""The parameters of a function with their annotations resolved, and what the annotations say to injection."""

from __future__ import annotations

import inspect
import types
import typing
from dataclasses import dataclass
from typing import AbstractSet, Any, Callable, Dict, Mapping, Tuple

from moorage_proto.annotations import UNIONS, newer_syntax_hint
from moorage_proto.capability import MAIN_BACKEND
from moorage_sdk.errors import PluginInvalid
from moorage_sdk.markers import Backend

#: What a parameter without a default has as its default.
NO_DEFAULT: Any = inspect.Parameter.empty


@dataclass(frozen=True)
class Parameter:
    """One parameter of a function."""

    name: str
    #: As resolved: with Optional and Annotated.
    annotation: Any
    #: Without them: the class that is looked up.
    wanted: Any
    optional: bool
    #: What Annotated says beside the type.
    markers: Tuple[Any, ...]
    default: Any

    @property
    def backend(self) -> str:
        return next((marker.name for marker in self.markers if isinstance(marker, Backend)), MAIN_BACKEND)

    def marked(self, marker: type) -> bool:
        return any(found is marker or isinstance(found, marker) for found in self.markers)


def parameters_of(
    function: Callable[..., Any], owner: str, *, leave: AbstractSet[str] = frozenset()
) -> Tuple[Parameter, ...]:
    """``owner`` names the function in messages: "task 'execute'". ``leave``: parameters that are given otherwise.

    Raises PluginInvalid for a parameter without annotation, or with one that cannot be resolved.
    """
    hints = _hints(function, owner)
    return tuple(
        _parameter(parameter, hints, owner)
        for parameter in inspect.signature(function).parameters.values()
        if parameter.name not in leave
    )


def result_annotation(function: Callable[..., Any], owner: str) -> Any:
    """``Any`` where none is written. Raises PluginInvalid when it cannot be resolved."""
    return _hints(function, owner).get("return", Any)


def _hints(function: Callable[..., Any], owner: str) -> Mapping[str, Any]:
    function = inspect.unwrap(function)
    resolved: Dict[str, Any] = {}
    for name, annotation in getattr(function, "__annotations__", {}).items():
        # One at a time, so that the message can name the one that is at fault.
        holder = types.SimpleNamespace(__annotations__={name: annotation})
        try:
            hints = typing.get_type_hints(holder, _names(function), include_extras=True)
        except Exception as error:
            what = "the result" if name == "return" else f"parameter {name!r}"
            raise PluginInvalid(
                f"{owner}: the annotation {annotation!r} of {what} cannot be resolved: {error}; import what it names "
                f"at the top of the module, not under TYPE_CHECKING{newer_syntax_hint(error)}"
            ) from error
        resolved[name] = hints[name]
    return resolved


def _names(function: Callable[..., Any]) -> Dict[str, Any]:
    """The names that an annotation may use: the module's and, for functions inside functions, the enclosing ones."""
    names = dict(getattr(function, "__globals__", {}))
    closure = getattr(function, "__closure__", None) or ()
    for name, cell in zip(getattr(getattr(function, "__code__", None), "co_freevars", ()), closure):
        try:
            names[name] = cell.cell_contents
        except ValueError:
            continue
    return names


def _parameter(parameter: inspect.Parameter, hints: Mapping[str, Any], owner: str) -> Parameter:
    name = parameter.name
    if parameter.kind not in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY):
        raise PluginInvalid(f"{owner}: parameter {name!r} cannot be injected; write no *, ** or positional-only ones")
    if name not in hints:
        raise PluginInvalid(
            f"{owner}: parameter {name!r} has no annotation, and injection goes by annotations; "
            f"annotate it with what it should be given, such as {name}: Context"
        )
    wanted, optional, markers = _peeled(hints[name])
    return Parameter(name, hints[name], wanted, optional, markers, parameter.default)


def _peeled(annotation: Any) -> Tuple[Any, bool, Tuple[Any, ...]]:
    """Optional and Annotated may stand around each other either way."""
    optional, markers = False, ()  # type: bool, Tuple[Any, ...]
    while True:
        if hasattr(annotation, "__metadata__"):
            markers += annotation.__metadata__
            annotation = annotation.__origin__
            continue
        arguments = typing.get_args(annotation)
        others = [argument for argument in arguments if argument is not type(None)]
        if typing.get_origin(annotation) in UNIONS and len(others) == 1:
            optional, annotation = True, others[0]
            continue
        return annotation, optional, markers
