"""Shapes with named fields: dataclasses, TypedDicts and named tuples."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterable, List, Mapping, Tuple

from moorage_sdk.schema.shape import Definitions, JsonSchema, Mismatch, Shape, kind_of, wanted


@dataclass(frozen=True)
class Field:
    """One field of a record."""

    name: str
    shape: Shape
    required: bool
    #: Shown in the schema when it is a plain scalar.
    default: Any = None
    has_default: bool = False


@dataclass
class Record:
    """Fields by name; no others. ``fields`` is filled after it was made, for types that refer to themselves."""

    type: type
    #: Makes the object from the fields by name.
    make: Callable[[Dict[str, Any]], Any]
    #: The fields of an object by name, those it lacks left out. Raises Mismatch when it is of another type.
    take: Callable[[Any, str], Mapping[str, Any]]
    summary: str = ""
    fields: Tuple[Field, ...] = field(default=(), repr=False)

    def read(self, value: Any, where: str) -> Any:
        if not isinstance(value, Mapping):
            raise wanted(where, "a record", value)
        self._check_names(value, where)
        found = {
            field.name: field.shape.read(value[field.name], f"{where}.{field.name}")
            for field in self.fields
            if field.name in value
        }
        try:
            return self.make(found)
        except (TypeError, ValueError) as error:
            raise Mismatch(where, f"{self.type.__name__} refuses it: {error}") from error

    def write(self, value: Any, where: str) -> Dict[str, Any]:
        fields = self.take(value, where)
        self._check_names(fields, where)
        return {
            field.name: field.shape.write(fields[field.name], f"{where}.{field.name}")
            for field in self.fields
            if field.name in fields
        }

    def schema(self, definitions: Definitions) -> JsonSchema:
        return definitions.refer(self.type, lambda: self._body(definitions))

    def _body(self, definitions: Definitions) -> JsonSchema:
        body: JsonSchema = {
            "type": "object",
            "title": self.type.__name__,
            "properties": {field.name: _property(field, definitions) for field in self.fields},
            "additionalProperties": False,
        }
        required = [field.name for field in self.fields if field.required]
        if required:
            body["required"] = required
        if self.summary:
            body["description"] = self.summary
        return body

    def _check_names(self, value: Mapping[Any, Any], where: str) -> None:
        known = [field.name for field in self.fields]
        for name in value:
            if name not in known:
                raise Mismatch(where, _unknown(name, known))
        missing = [field.name for field in self.fields if field.required and field.name not in value]
        if missing:
            raise Mismatch(where, f"{_listed(missing)} missing")


def attributes_of(type_: type, names: Callable[[], Iterable[str]]) -> Callable[[Any, str], Mapping[str, Any]]:
    """A ``take`` for objects that carry their fields as attributes."""

    def take(value: Any, where: str) -> Mapping[str, Any]:
        if not isinstance(value, type_):
            raise Mismatch(where, f"an object of type {type_.__name__} was wanted, {kind_of(value)} was found")
        return {name: getattr(value, name) for name in names()}

    return take


def keys_of(type_: type) -> Callable[[Any, str], Mapping[str, Any]]:
    """A ``take`` for dictionaries."""

    def take(value: Any, where: str) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            raise wanted(where, f"a record ({type_.__name__})", value)
        return value

    return take


def _property(field: Field, definitions: Definitions) -> JsonSchema:
    schema = field.shape.schema(definitions)
    if field.has_default and type(field.default) in (str, int, float, bool, type(None)):
        return {**schema, "default": field.default}
    return schema


def _unknown(name: Any, known: List[str]) -> str:
    near = difflib.get_close_matches(str(name), known, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known) or 'none'}"
    return f"there is no field {name!r}; {hint}"


def _listed(names: List[str]) -> str:
    quoted = [repr(name) for name in names]
    return f"{quoted[0]} is" if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]} are"
