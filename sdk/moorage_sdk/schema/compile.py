"""From a resolved annotation to its shape."""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import sys
import types
import typing
from typing import Any, Callable, Dict, Mapping, Tuple, Union

from moorage_sdk.schema.containers import Anything, Dictionary, Either, Fixed, Sequence
from moorage_sdk.schema.models import Model, is_model
from moorage_sdk.schema.records import Field, Record, attributes_of, keys_of
from moorage_sdk.schema.scalars import SCALARS, Choice, choice_of
from moorage_sdk.schema.shape import AnnotationUnsupported, Shape

#: `int | None` makes another kind of union than Union[int, None] before Python 3.14.
_UNIONS = (Union, getattr(types, "UnionType", Union))

_SEQUENCES: Mapping[Any, Tuple[Callable[[Any], Any], bool]] = {
    list: (list, False),
    collections.abc.Sequence: (list, False),
    collections.abc.MutableSequence: (list, False),
    collections.abc.Iterable: (list, False),
    collections.abc.Collection: (list, False),
    set: (set, True),
    collections.abc.Set: (frozenset, True),
    frozenset: (frozenset, True),
}
#: Containers written without what they hold.
_BARE: Mapping[Any, Any] = {
    list: typing.List[Any],
    dict: typing.Dict[str, Any],
    tuple: typing.Tuple[Any, ...],
    set: typing.Set[Any],
    frozenset: typing.FrozenSet[Any],
}
_DICTIONARIES = frozenset({dict, collections.abc.Mapping, collections.abc.MutableMapping})


def shape_of(annotation: Any) -> Shape:
    """The shape of a type.

    Raises AnnotationUnsupported with a sentence that says which types there are.
    """
    return _Compiler().shape(annotation)


def is_record_type(annotation: Any) -> bool:
    """Whether it is a dataclass, TypedDict, named tuple or pydantic model: what a task's input may be by its type."""
    return isinstance(annotation, type) and (
        dataclasses.is_dataclass(annotation) or _is_typed_dict(annotation) or is_model(annotation)
    )


class _Compiler:
    """Remembers the records it has begun, so that types may refer to themselves."""

    def __init__(self) -> None:
        self._records: Dict[Any, Record] = {}

    def shape(self, annotation: Any) -> Shape:
        annotation = _bare(annotation)
        if annotation in (Any, object):
            return Anything()
        found = SCALARS.get(annotation) if isinstance(annotation, collections.abc.Hashable) else None
        if found is not None:
            return found
        origin = typing.get_origin(annotation)
        if origin is not None:
            return self._generic(annotation, origin, typing.get_args(annotation))
        if isinstance(annotation, type):
            return self._class(annotation)
        raise _unsupported(annotation)

    def _generic(self, annotation: Any, origin: Any, arguments: Tuple[Any, ...]) -> Shape:
        if origin in _UNIONS:
            return Either(tuple(self.shape(argument) for argument in arguments))
        if origin is typing.Literal:
            return Choice(tuple((argument, argument) for argument in arguments))
        if origin is tuple:
            if len(arguments) == 2 and arguments[1] is Ellipsis:
                return Sequence(self.shape(arguments[0]), tuple)
            return Fixed(() if arguments == ((),) else tuple(self.shape(argument) for argument in arguments))
        if origin in _SEQUENCES:
            container, unique = _SEQUENCES[origin]
            return Sequence(self.shape(arguments[0]), container, unique)
        if origin in _DICTIONARIES and arguments[0] in (str, Any):
            return Dictionary(self.shape(arguments[1]))
        raise _unsupported(annotation)

    def _class(self, annotation: type) -> Shape:
        if annotation in self._records:
            return self._records[annotation]
        if is_model(annotation):
            return Model(annotation)
        if issubclass(annotation, enum.Enum):
            return choice_of(annotation)
        if _is_typed_dict(annotation):
            return self._typed_dict(annotation)
        if dataclasses.is_dataclass(annotation):
            return self._dataclass(annotation)
        if issubclass(annotation, tuple) and hasattr(annotation, "_fields"):
            return self._named_tuple(annotation)
        if annotation not in _BARE:
            raise _unsupported(annotation)
        return self.shape(_BARE[annotation])

    def _dataclass(self, annotation: Any) -> Record:
        record = self._begin(annotation, lambda values: annotation(**values), attributes_of)
        hints = _hints(annotation)
        record.fields = tuple(
            Field(
                field.name,
                self.shape(hints[field.name]),
                required=field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING,
                default=field.default,
                has_default=field.default is not dataclasses.MISSING,
            )
            for field in dataclasses.fields(annotation)
            if field.init
        )
        return record

    def _named_tuple(self, annotation: Any) -> Record:
        record = self._begin(annotation, lambda values: annotation(**values), attributes_of)
        hints = _hints(annotation)
        defaults: Mapping[str, Any] = annotation._field_defaults
        record.fields = tuple(
            Field(name, self.shape(hints.get(name, Any)), name not in defaults, defaults.get(name), name in defaults)
            for name in annotation._fields
        )
        return record

    def _typed_dict(self, annotation: Any) -> Record:
        record = self._begin(annotation, lambda values: values, lambda type_, _: keys_of(type_))
        fields = []
        for name, hint in _hints(annotation).items():
            hint, required = _requirement(hint, name in annotation.__required_keys__)
            fields.append(Field(name, self.shape(hint), required))
        record.fields = tuple(fields)
        return record

    def _begin(self, annotation: type, make: Callable[[Any], Any], taker: Callable[..., Any]) -> Record:
        summary = (annotation.__doc__ or "").strip().partition("\n")[0]
        # dataclasses and named tuples without a docstring are given their signature as one
        summary = "" if summary.startswith(annotation.__name__ + "(") else summary
        record = Record(annotation, make, keys_of(annotation), summary)
        record.take = taker(annotation, lambda: [field.name for field in record.fields])
        self._records[annotation] = record
        return record


def _bare(annotation: Any) -> Any:
    """Without Annotated, NewType and aliases."""
    while True:
        if hasattr(annotation, "__metadata__"):
            annotation = annotation.__origin__
        elif hasattr(annotation, "__supertype__"):
            annotation = annotation.__supertype__
        elif type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__
        else:
            return type(None) if annotation is None else annotation


def _is_typed_dict(annotation: type) -> bool:
    return (
        issubclass(annotation, dict) and hasattr(annotation, "__total__") and hasattr(annotation, "__required_keys__")
    )


def _requirement(hint: Any, required: bool) -> Tuple[Any, bool]:
    """Peels Required, NotRequired and ReadOnly off; older Pythons leave them on, and count them wrongly in text."""
    names = {"Required": True, "NotRequired": False, "ReadOnly": None}
    name = getattr(getattr(hint, "__origin__", None), "_name", None)
    while name in names:
        stated = names[name]
        required = required if stated is None else stated
        hint = typing.get_args(hint)[0]
        name = getattr(getattr(hint, "__origin__", None), "_name", None)
    return hint, required


def _hints(annotation: Any) -> Mapping[str, Any]:
    try:
        return typing.get_type_hints(annotation, include_extras=True)
    except Exception as error:
        raise AnnotationUnsupported(
            f"the annotations of {annotation.__name__} cannot be resolved: {error}; "
            f"import what they name at the top of the module"
            f"{newer_syntax_hint(error)}"
        ) from error


def newer_syntax_hint(error: BaseException) -> str:
    """What to write instead, where the annotation is written in the syntax of a newer Python."""
    if isinstance(error, TypeError) and "|" in str(error) and sys.version_info < (3, 10):
        return "; for Python 3.9 write Optional[...] or Union[...] instead of |"
    return ""


def _unsupported(annotation: Any) -> AnnotationUnsupported:
    name = annotation.__qualname__ if isinstance(annotation, type) else repr(annotation)
    return AnnotationUnsupported(
        f"{name} cannot cross between host and plugin; there are dataclasses, TypedDicts, named tuples, pydantic "
        f"models, enums, Literal, Optional, lists, sets, tuples, dictionaries with text keys, and single values: text, "
        f"numbers, true and false, bytes, Decimal, UUID, datetime, date, time and timedelta"
    )
