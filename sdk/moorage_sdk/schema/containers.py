"""Shapes that hold other shapes: lists, dictionaries, unions."""

from __future__ import annotations

import dataclasses
import enum
from dataclasses import dataclass
from typing import Any, Callable, Dict, Mapping, Tuple

from moorage_sdk.schema.scalars import Nothing
from moorage_sdk.schema.shape import Definitions, JsonSchema, Mismatch, Shape, kind_of, wanted


@dataclass(frozen=True)
class Sequence:
    """Any number of items of one shape."""

    item: Shape
    #: list, tuple, set, frozenset
    type: Callable[[Any], Any]
    unique: bool = False

    def read(self, value: Any, where: str) -> Any:
        if not isinstance(value, (list, tuple)):
            raise wanted(where, "a list", value)
        return self.type(self.item.read(item, f"{where}[{index}]") for index, item in enumerate(value))

    def write(self, value: Any, where: str) -> Any:
        if isinstance(value, (str, bytes, Mapping)) or not hasattr(value, "__iter__"):
            raise wanted(where, "a list", value)
        return [self.item.write(item, f"{where}[{index}]") for index, item in enumerate(value)]

    def schema(self, definitions: Definitions) -> JsonSchema:
        schema: JsonSchema = {"type": "array", "items": self.item.schema(definitions)}
        return {**schema, "uniqueItems": True} if self.unique else schema


@dataclass(frozen=True)
class Fixed:
    """A tuple with one shape for each place."""

    items: Tuple[Shape, ...]

    def read(self, value: Any, where: str) -> Any:
        return tuple(self._each(value, where, "read"))

    def write(self, value: Any, where: str) -> Any:
        return self._each(value, where, "write")

    def schema(self, definitions: Definitions) -> JsonSchema:
        places = [item.schema(definitions) for item in self.items]
        return {"type": "array", "prefixItems": places, "minItems": len(places), "maxItems": len(places)}

    def _each(self, value: Any, where: str, way: str) -> list[Any]:
        if not isinstance(value, (list, tuple)):
            raise wanted(where, "a list", value)
        if len(value) != len(self.items):
            raise Mismatch(where, f"{len(self.items)} items were wanted, {len(value)} were found")
        pairs = enumerate(zip(self.items, value))
        return [getattr(shape, way)(item, f"{where}[{index}]") for index, (shape, item) in pairs]


@dataclass(frozen=True)
class Dictionary:
    """Text keys, values of one shape."""

    value: Shape

    def read(self, value: Any, where: str) -> Dict[str, Any]:
        return self._each(value, where, self.value.read)

    def write(self, value: Any, where: str) -> Dict[str, Any]:
        return self._each(value, where, self.value.write)

    def schema(self, definitions: Definitions) -> JsonSchema:
        return {"type": "object", "additionalProperties": self.value.schema(definitions)}

    def _each(self, value: Any, where: str, way: Callable[[Any, str], Any]) -> Dict[str, Any]:
        if not isinstance(value, Mapping):
            raise wanted(where, "a record", value)
        for key in value:
            if not isinstance(key, str):
                raise Mismatch(where, f"its keys must be text, {kind_of(key)} was found")
        return {key: way(item, f"{where}.{key}") for key, item in value.items()}


@dataclass(frozen=True)
class Either:
    """A union: the first member that fits, in the order in which it is written."""

    members: Tuple[Shape, ...]

    def read(self, value: Any, where: str) -> Any:
        return self._first(value, where, "read")

    def write(self, value: Any, where: str) -> Any:
        return self._first(value, where, "write")

    def schema(self, definitions: Definitions) -> JsonSchema:
        return {"anyOf": [member.schema(definitions) for member in self.members]}

    def _first(self, value: Any, where: str, way: str) -> Any:
        problems = []
        members = [member for member in self.members if isinstance(member, Nothing) == (value is None)] or self.members
        for member in members:
            try:
                return getattr(member, way)(value, where)
            except Mismatch as mismatch:
                problems.append(mismatch)
        if len(problems) == 1:
            raise problems[0]
        listed = "; or ".join(dict.fromkeys(str(problem) for problem in problems))
        raise Mismatch(where, f"nothing that is allowed here fits ({listed})")


@dataclass(frozen=True)
class Anything:
    """``Any`` or no annotation: plain values as they are; dataclasses, enums and models become plain."""

    def read(self, value: Any, where: str) -> Any:  # noqa: ARG002 - anything is right
        return value

    def write(self, value: Any, where: str) -> Any:
        return plain(value, where)

    def schema(self, definitions: Definitions) -> JsonSchema:  # noqa: ARG002 - it needs no names
        return {}


def plain(value: Any, where: str) -> Any:
    """The value with everything in it that the wire has no kind for turned into lists, records and scalars."""
    if isinstance(value, enum.Enum):
        return plain(value.value, where)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name), where) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {_key(key, where): plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    for dump in ("model_dump", "dict"):
        if callable(getattr(value, dump, None)) and not isinstance(value, type):
            return plain(getattr(value, dump)(), where)
    if kind_of(value).startswith("an object"):
        raise Mismatch(where, f"{kind_of(value)} cannot cross to the host; return text, numbers, lists or records")
    return value


def _key(key: Any, where: str) -> str:
    if isinstance(key, enum.Enum):
        key = key.value
    if not isinstance(key, str):
        raise Mismatch(where, f"its keys must be text, {kind_of(key)} was found")
    return key
