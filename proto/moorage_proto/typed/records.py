"""Values with fields: the messages of a contract. What has no field of its own is put into a message of one field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterable, Mapping, Optional, Tuple, Union

from moorage_proto.typed.errors import ValueUnfit, wanted
from moorage_proto.typed.singles import Single

#: Messages in messages; protobuf reads 100.
MAX_DEPTH = 60

#: Items of lists in one message, all together. To make Python objects of more takes a host seconds.
MAX_ITEMS = 250_000

#: What an absent field is read as that the receiver has a default for.
ABSENT: Any = object()


class Reading:
    """Of one message: how many items it may still have."""

    def __init__(self) -> None:
        self._left = MAX_ITEMS

    def spend(self, items: int, where: str) -> None:
        self._left -= items
        if self._left < 0:
            raise ValueUnfit(where, f"the message has more than {MAX_ITEMS:,} items; pass fewer at once, or stream")


@dataclass(frozen=True)
class Container:
    """A field with any number of values."""

    #: For sentences: "a list".
    what: str
    #: From the items that were read; raises TypeError or ValueError when they make none.
    make: Callable[[Iterable[Any]], Any]
    #: To what is written. Raises TypeError for what is no such container.
    items: Callable[[Any], Iterable[Any]]


@dataclass(frozen=True)
class Slot:
    """One field of a message."""

    name: str
    number: int
    kind: Union[Single, Record]
    many: Optional[Container] = None
    #: None is a field that is not there.
    optional: bool = False
    #: A message without the field is refused.
    required: bool = False

    def put(self, message: Any, value: Any, where: str, depth: int) -> None:
        """Raises ValueUnfit."""
        if self.many is not None:
            self._put_many(message, self.many, value, where, depth)
        elif value is None and self.optional:
            return
        elif isinstance(self.kind, Record):
            part = getattr(message, self.name)
            part.SetInParent()
            self.kind.fill(part, value, where, depth + 1)
        else:
            setattr(message, self.name, self.kind.to_wire(value, where))

    def take(self, message: Any, where: str, reading: Reading) -> Any:
        """Raises ValueUnfit."""
        if self.many is not None:
            return self._take_many(message, self.many, where, reading)
        if not message.HasField(self.name):
            if self.required:
                raise ValueUnfit(where, "it is missing")
            return None if self.optional else ABSENT
        if isinstance(self.kind, Record):
            return self.kind.read(getattr(message, self.name), where, reading)
        return self.kind.from_wire(getattr(message, self.name), where)

    def _put_many(self, message: Any, many: Container, value: Any, where: str, depth: int) -> None:
        try:
            items = many.items(value)
        except TypeError:
            raise wanted(where, many.what, value) from None
        field = getattr(message, self.name)
        for index, item in enumerate(items):
            if isinstance(self.kind, Record):
                self.kind.fill(field.add(), item, f"{where}[{index}]", depth + 1)
            else:
                field.append(self.kind.to_wire(item, f"{where}[{index}]"))

    def _take_many(self, message: Any, many: Container, where: str, reading: Reading) -> Any:
        field = getattr(message, self.name)
        reading.spend(len(field), where)
        kind = self.kind
        if isinstance(kind, Record):
            items = [kind.read(item, f"{where}[{index}]", reading) for index, item in enumerate(field)]
        else:
            items = [kind.from_wire(item, f"{where}[{index}]") for index, item in enumerate(field)]
        try:
            return many.make(items)
        except (TypeError, ValueError) as error:
            raise ValueUnfit(where, f"its items make no {many.what.split()[-1]}: {error}") from None


@dataclass
class Record:
    """A message. ``slots`` are filled after it was made, for types that refer to themselves."""

    #: In its contract's file.
    name: str
    #: Makes the object from the fields by name, those that are absent left out.
    make: Callable[[Dict[str, Any]], Any]
    #: The fields of an object by name. Raises ValueUnfit when it is of another type.
    take: Callable[[Any, str], Mapping[str, Any]]
    slots: Tuple[Slot, ...] = ()

    def fill(self, message: Any, value: Any, where: str, depth: int = 0) -> None:
        """Raises ValueUnfit."""
        if depth > MAX_DEPTH:
            raise ValueUnfit(where, f"it is nested deeper than {MAX_DEPTH} levels")
        fields = self.take(value, where)
        for slot in self.slots:
            if slot.name in fields:
                slot.put(message, fields[slot.name], f"{where}.{slot.name}" if where else slot.name, depth)

    def read(self, message: Any, where: str, reading: Reading) -> Any:
        """Raises ValueUnfit."""
        fields: Dict[str, Any] = {}
        for slot in self.slots:
            value = slot.take(message, f"{where}.{slot.name}" if where else slot.name, reading)
            if value is not ABSENT:
                fields[slot.name] = value
        try:
            return self.make(fields)
        except ValueUnfit:
            raise
        except (TypeError, ValueError) as error:
            raise ValueUnfit(where or self.name, f"{self.name} refuses it: {_first_line(error)}") from error


def attributes_of(type_: Any, names: Iterable[str]) -> Callable[[Any, str], Mapping[str, Any]]:
    """A ``take`` for objects that carry their fields as attributes."""
    wanted_names = tuple(names)

    def take(value: Any, where: str) -> Mapping[str, Any]:
        if not isinstance(value, type_):
            raise wanted(where, f"an object of type {type_.__name__}", value)
        return {name: getattr(value, name) for name in wanted_names}

    return take


def keys_of(type_: Any, names: Iterable[str], required: Iterable[str]) -> Callable[[Any, str], Mapping[str, Any]]:
    """A ``take`` for dictionaries."""
    known, needed = frozenset(names), tuple(required)

    def take(value: Any, where: str) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            raise wanted(where, f"a dictionary ({type_.__name__})", value)
        for name in value:
            if name not in known:
                raise ValueUnfit(where, f"{type_.__name__} has no key {name!r}")
        for name in needed:
            if name not in value:
                raise ValueUnfit(where, f"the key {name!r} is missing")
        return value

    return take


def places_of(count: int) -> Callable[[Any, str], Mapping[str, Any]]:
    """A ``take`` for tuples with one type for each place."""

    def take(value: Any, where: str) -> Mapping[str, Any]:
        if not isinstance(value, (tuple, list)) or len(value) != count:
            raise wanted(where, f"a tuple of {count}", value)
        return {f"item_{index}": item for index, item in enumerate(value)}

    return take


def boxed(value: Any, where: str) -> Mapping[str, Any]:  # noqa: ARG001 - a ``take``
    """A ``take`` for what is in a message because it has no field of its own."""
    return {"value": value}


def unboxed(fields: Dict[str, Any]) -> Any:
    return fields["value"]


def _first_line(error: Exception) -> str:
    """Pydantic's sentences hold the value from the second line on."""
    problems = getattr(error, "errors", None)
    if callable(problems):
        first = problems()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return str(error).partition("\n")[0]
