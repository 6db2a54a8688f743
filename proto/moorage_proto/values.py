"""Python values to and from the contract's Value."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Callable, Dict, Iterator, List, Mapping, Sequence
from uuid import UUID

from moorage_proto import value_pb2

#: Nesting beyond this is refused, in both directions. Protobuf reads 100 levels of messages, and a record takes three.
MAX_DEPTH = 30

#: Values in a value, itself included, that the host reads from a worker. In 16 MiB there is room for four million; to
#: read so many takes a host seconds and hundreds of MiB.
MAX_PARTS = 250_000

#: Of a task's result: the host keeps it with the execution, and shows it to whoever asks for that one.
MAX_RESULT_BYTES = 1024 * 1024

_INTEGER_64 = range(-(2**63), 2**63)
_MICROSECOND = timedelta(microseconds=1)


class ValueInvalid(ValueError):
    """A Python value has no form on the wire, or a wire value no meaning."""


def check_result(wire: value_pb2.Value) -> None:
    """Both ends look: a worker whose results pile up would lose its link. Raises ValueInvalid."""
    if wire.ByteSize() > MAX_RESULT_BYTES:
        raise ValueInvalid(
            f"the result has {wire.ByteSize():,} bytes, and at most {MAX_RESULT_BYTES:,} are kept with an execution;"
            " put large data where those who need it can read it, such as a database, and return where that is"
        )


def to_wire(value: Any, depth: int = 0) -> value_pb2.Value:
    """Raises ValueInvalid for a type that the contract has no kind for."""
    wire = value_pb2.Value()
    _fill(wire, value, depth)
    return wire


def record_to_wire(value: Mapping[str, Any]) -> value_pb2.Record:
    return to_wire(dict(value)).record


def from_wire(wire: value_pb2.Value, depth: int = 0) -> Any:
    """Raises ValueInvalid for a malformed value."""
    kind = wire.WhichOneof("kind")
    if kind is None:
        raise ValueInvalid("a value of no kind arrived; set exactly one field of Value")
    if depth > MAX_DEPTH:
        raise ValueInvalid(f"a value is nested deeper than {MAX_DEPTH} levels")
    if kind in _PLAIN:
        return getattr(wire, kind)
    if kind == "null":
        return None
    if kind in _HOLDERS:
        return _HOLDERS[kind](wire, depth)
    try:
        return _CONVERTERS[kind](getattr(wire, kind))
    except (ArithmeticError, ValueError) as error:
        if isinstance(error, ValueInvalid):
            raise
        raise ValueInvalid(f"a {kind} value cannot be read") from error


def check_parts(wire: Sequence[value_pb2.Value], most: int = MAX_PARTS) -> int:
    """Of values from the other side of the boundary, before they are read; how many there are. Raises ValueInvalid."""
    count = _counted(0, len(wire), most)
    waiting: List[Iterator[value_pb2.Value]] = [iter(wire)]
    while waiting:
        value = next(waiting[-1], None)
        if value is None:
            waiting.pop()
        elif value.HasField("list"):
            count = _counted(count, len(value.list.values), most)
            waiting.append(iter(value.list.values))
        elif value.HasField("record"):
            count = _counted(count, len(value.record.entries), most)
            waiting.append(entry.value for entry in value.record.entries)
    return count


def _counted(count: int, added: int, most: int) -> int:
    """Before any of what a holder holds is looked at."""
    if count + added > most:
        raise ValueInvalid(f"more than {most:,} values came at once; return, or pass, fewer")
    return count + added


def record_from_wire(wire: value_pb2.Record, depth: int = 0) -> Dict[str, Any]:
    found: Dict[str, Any] = {}
    for entry in wire.entries:
        if entry.key in found:
            raise ValueInvalid(f"the key {entry.key!r} comes twice in a record")
        found[entry.key] = from_wire(entry.value, depth + 1)
    return found


def _fill(wire: value_pb2.Value, value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ValueInvalid(f"a value is nested deeper than {MAX_DEPTH} levels")
    if value is None:
        wire.null = value_pb2.NULL
    elif isinstance(value, (str, bool, int, float)):
        _fill_scalar(wire, value)
    elif isinstance(value, (bytes, bytearray, memoryview)):
        wire.binary = bytes(value)
    elif isinstance(value, (list, tuple)):
        wire.list.SetInParent()
        for item in value:
            _fill(wire.list.values.add(), item, depth + 1)
    elif isinstance(value, Mapping):
        _fill_record(wire.record, value, depth)
    else:
        _fill_other(wire, value)


def _fill_scalar(wire: value_pb2.Value, value: Any) -> None:
    if isinstance(value, str):
        wire.text = value
    elif isinstance(value, bool):
        wire.boolean = value
    elif isinstance(value, float):
        wire.real = value
    elif value in _INTEGER_64:
        wire.integer = value
    else:
        wire.big_integer = str(value)


def _fill_record(record: value_pb2.Record, value: Mapping[Any, Any], depth: int) -> None:
    record.SetInParent()
    for key, item in value.items():
        if not isinstance(key, str):
            raise ValueInvalid(f"the key {key!r} of a record is not text")
        entry = record.entries.add()
        entry.key = key
        _fill(entry.value, item, depth + 1)


def _fill_other(wire: value_pb2.Value, value: Any) -> None:
    if isinstance(value, Decimal):
        wire.decimal = str(value)
    elif isinstance(value, datetime):
        wire.timestamp = value.isoformat()
    elif isinstance(value, date):
        wire.date = value.isoformat()
    elif isinstance(value, time):
        wire.time = value.isoformat()
    elif isinstance(value, timedelta):
        microseconds = value // _MICROSECOND
        if microseconds not in _INTEGER_64:
            raise ValueInvalid("a duration is longer than 64 bits of microseconds can say")
        wire.duration = microseconds
    elif isinstance(value, UUID):
        wire.uuid = value.bytes
    else:
        raise ValueInvalid(f"a value of type {type(value).__name__} cannot cross; use text, numbers, lists or records")


def _read_list(wire: value_pb2.Value, depth: int) -> List[Any]:
    return [from_wire(item, depth + 1) for item in wire.list.values]


def _read_record(wire: value_pb2.Value, depth: int) -> Dict[str, Any]:
    return record_from_wire(wire.record, depth)


def _big_integer(digits: str) -> int:
    """Bounded: int() takes quadratic time in the number of digits."""
    if len(digits) > 4300:
        raise ValueInvalid("a big integer has more than 4300 digits")
    return int(digits)


_PLAIN = frozenset({"integer", "text", "real", "binary", "boolean"})

_CONVERTERS: Dict[str, Callable[[Any], Any]] = {
    "big_integer": _big_integer,
    "decimal": Decimal,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "timestamp": datetime.fromisoformat,
    "duration": lambda microseconds: timedelta(microseconds=microseconds),
    "uuid": lambda octets: UUID(bytes=octets),
}

_HOLDERS: Dict[str, Callable[[value_pb2.Value, int], Any]] = {"list": _read_list, "record": _read_record}
