"""From a resolved annotation to its shape."""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import typing
from typing import Any, Callable, Dict, Mapping, Tuple

from moorage_proto.annotations import (
    UNIONS,
    AnnotationUnsupported,
    bare,
    hints_of,
    is_model,
    is_typed_dict,
    requirement,
)
from moorage_sdk.schema.containers import Anything, Dictionary, Either, Fixed, Sequence
from moorage_sdk.schema.models import Model
from moorage_sdk.schema.records import Field, Record, attributes_of, keys_of
from moorage_sdk.schema.scalars import SCALARS, Choice, choice_of
from moorage_sdk.schema.shape import Shape

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
        dataclasses.is_dataclass(annotation) or is_typed_dict(annotation) or is_model(annotation)
    )


class _Compiler:
    """Remembers the records it has begun, so that types may refer to themselves."""

    def __init__(self) -> None:
        self._records: Dict[Any, Record] = {}

    def shape(self, annotation: Any) -> Shape:
        annotation = bare(annotation)
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
        if origin in UNIONS:
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
        if is_typed_dict(annotation):
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
        hints = hints_of(annotation)
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
        hints = hints_of(annotation)
        defaults: Mapping[str, Any] = annotation._field_defaults
        record.fields = tuple(
            Field(name, self.shape(hints.get(name, Any)), name not in defaults, defaults.get(name), name in defaults)
            for name in annotation._fields
        )
        return record

    def _typed_dict(self, annotation: Any) -> Record:
        record = self._begin(annotation, lambda values: values, lambda type_, _: keys_of(type_))
        fields = []
        for name, hint in hints_of(annotation).items():
            hint, required = requirement(hint, name in annotation.__required_keys__)
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


def _unsupported(annotation: Any) -> AnnotationUnsupported:
    name = annotation.__qualname__ if isinstance(annotation, type) else repr(annotation)
    return AnnotationUnsupported(
        f"{name} cannot cross between host and plugin; there are dataclasses, TypedDicts, named tuples, pydantic "
        f"models, enums, Literal, Optional, lists, sets, tuples, dictionaries with text keys, and single values: text, "
        f"numbers, true and false, bytes, Decimal, UUID, datetime, date, time and timedelta"
    )
