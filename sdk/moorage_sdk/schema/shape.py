"""A shape: what a type's values look like on the wire, and the way there and back."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Callable, Dict, List, Mapping, Protocol, Tuple
from uuid import UUID

#: A JSON Schema (2020-12) as plain Python.
JsonSchema = Dict[str, Any]


class Shape(Protocol):
    """Of one type. ``where`` names the value for messages: "input.users[2].name"."""

    def read(self, value: Any, where: str) -> Any:
        """The Python object for a plain value from the wire. Raises Mismatch."""

    def write(self, value: Any, where: str) -> Any:
        """The plain value for a Python object. Raises Mismatch when it is not of the type."""

    def schema(self, definitions: Definitions) -> JsonSchema:
        """What ``read`` accepts."""


class Mismatch(ValueError):
    """A value does not have the shape that was declared; the sentence names the field."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"{where}: {problem}")
        self.where = where
        self.problem = problem


def wanted(where: str, what: str, value: Any) -> Mismatch:
    """Tells the kind of what was found, never the value: it may be a secret."""
    return Mismatch(where, f"{what} was wanted, {kind_of(value)} was found")


class Definitions:
    """Collects the schemas of named types, so that each is written once and types may refer to themselves."""

    def __init__(self) -> None:
        self._names: Dict[Any, str] = {}
        self.bodies: Dict[str, JsonSchema] = {}

    def refer(self, key: type, body: Callable[[], JsonSchema]) -> JsonSchema:
        """A reference to the definition of a class, which is made at the first time."""
        name = self._names.get(key)
        if name is None:
            name = key.__name__ if key.__name__ not in self.bodies else f"{key.__module__}.{key.__qualname__}"
            self._names[key] = name
            self.bodies[name] = {}
            self.bodies[name] = body()
        return {"$ref": f"#/$defs/{name}"}


def json_schema(shape: Shape) -> JsonSchema:
    """The whole schema: the outermost type in place, what it refers to under ``$defs``."""
    definitions = Definitions()
    root = shape.schema(definitions)
    bodies = definitions.bodies
    reference = root.get("$ref", "")
    name = reference.rpartition("/")[2]
    if len(root) == 1 and name in bodies:
        root = dict(bodies[name])
        if not _refers(bodies, reference):
            bodies = {other: body for other, body in bodies.items() if other != name}
    if bodies:
        root = {**root, "$defs": {**root.get("$defs", {}), **bodies}}
    return root


def _refers(part: Any, reference: str) -> bool:
    if isinstance(part, Mapping):
        return part.get("$ref") == reference or any(_refers(value, reference) for value in part.values())
    return isinstance(part, list) and any(_refers(value, reference) for value in part)


_KINDS: List[Tuple[Tuple[type, ...], str]] = [
    ((bool,), "true or false"),
    ((int, float, Decimal), "a number"),
    ((str,), "text"),
    ((bytes, bytearray, memoryview), "binary data"),
    ((datetime,), "an instant"),
    ((date,), "a date"),
    ((time,), "a time of day"),
    ((timedelta,), "a duration"),
    ((UUID,), "a UUID"),
    ((list, tuple), "a list"),
    ((Mapping,), "a record"),
]


def kind_of(value: Any) -> str:
    if value is None:
        return "nothing"
    for types, name in _KINDS:
        if isinstance(value, types):
            return name
    return f"an object of type {type(value).__name__}"
