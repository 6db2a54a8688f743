"""Single values in the fields of contracts: their protobuf types, and conversion both ways."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Callable, Mapping, Tuple, Type
from uuid import UUID

from google.protobuf import descriptor_pb2

from moorage_proto import typed_pb2
from moorage_proto.typed.errors import ValueUnfit, wanted

_Field = descriptor_pb2.FieldDescriptorProto
_Form = typed_pb2.Typed

#: Of a Decimal, before the point or after it.
MAX_DIGITS = 10_000

INTEGERS = range(-(2**63), 2**63)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Single:
    """A type whose values are single fields."""

    #: In the names of messages: "Integer".
    name: str
    #: For sentences: "an integer".
    what: str
    #: FieldDescriptorProto.TYPE_*.
    type: Any
    form: Any
    #: Raise TypeError, ValueError or ArithmeticError for what is no such value.
    write: Callable[[Any], Any]
    read: Callable[[Any], Any]
    #: Whether its text may be the resource of a capability: each value has exactly one.
    names_resources: bool = False
    #: Of a choice.
    choices: Tuple[str, ...] = ()

    def to_wire(self, value: Any, where: str) -> Any:
        """Raises ValueUnfit."""
        try:
            return self.write(value)
        except OverflowError as error:
            raise ValueUnfit(where, str(error)) from None
        except (TypeError, ValueError, ArithmeticError):
            raise wanted(where, self.what, value) from None

    def from_wire(self, wire: Any, where: str) -> Any:
        """Raises ValueUnfit."""
        try:
            return self.read(wire)
        except (TypeError, ValueError, ArithmeticError):
            raise ValueUnfit(where, f"{self.what} was wanted, and what arrived is none") from None


def choice_of_enum(enumeration: Type[enum.Enum]) -> Single:
    """By the names of its members."""
    names = tuple(enumeration.__members__)
    return Single(
        enumeration.__name__,
        f"one of {', '.join(names)}",
        _Field.TYPE_STRING,
        _Form.CHOICE,
        lambda value: _instance(enumeration, value).name,
        lambda wire: enumeration.__members__[_known(names, wire)],
        names_resources=True,
        choices=names,
    )


def choice_of_texts(texts: Tuple[str, ...]) -> Single:
    """A ``Literal``."""
    return Single(
        "Choice",
        f"one of {', '.join(texts)}",
        _Field.TYPE_STRING,
        _Form.CHOICE,
        lambda value: _known(texts, _instance(str, value)),
        lambda wire: _known(texts, wire),
        names_resources=True,
        choices=texts,
    )


def _known(texts: Tuple[str, ...], text: str) -> str:
    if text not in texts:
        raise ValueError
    return text


def _instance(kind: Type[Any], value: Any) -> Any:
    # bool is an int and datetime a date in Python; nobody who wants the one means the other.
    if not isinstance(value, kind) or (isinstance(value, (bool, datetime)) and kind not in (bool, datetime)):
        raise TypeError
    return value


def _of(kind: Type[Any], write: Callable[[Any], Any] = lambda value: value) -> Callable[[Any], Any]:
    return lambda value: write(_instance(kind, value))


def _text(value: Any) -> str:
    # Half of a surrogate pair has no form in UTF-8.
    text: str = _instance(str, value)
    text.encode()
    return text


def _integer(value: Any) -> int:
    found: int = int(_instance(int, value))
    if found not in INTEGERS:
        raise OverflowError(
            "the integer is not between -2**63 and 2**63-1, which is what crosses; use Decimal for larger ones"
        )
    return found


def _real(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError
    try:
        return float(value)
    except OverflowError:
        raise OverflowError("the number is too large for a float") from None


def _binary(value: Any) -> bytes:
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise TypeError
    return bytes(value)


def _microseconds(value: Any) -> int:
    found: int = _instance(timedelta, value) // _MICROSECOND
    if found not in INTEGERS:
        raise OverflowError("the duration is longer than 64 bits of microseconds can say")
    return found


def _decimal(text: str) -> Decimal:
    """An integer of a Decimal such as 1E+999999999 would take all the memory there is."""
    value = Decimal(text)
    if value.is_finite() and (len(text) > MAX_DIGITS or abs(value.adjusted()) > MAX_DIGITS):
        raise ValueError
    return value


def _canonical(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """Of values that may name resources: capabilities compare texts, and one value must not have two of them."""

    def checked(wire: str) -> Any:
        value = read(wire)
        if str(value) != wire:
            raise ValueError
        return value

    return checked


def _as_it_is(wire: Any) -> Any:
    return wire


_STRING = _Field.TYPE_STRING

SINGLES: Mapping[Any, Single] = {
    str: Single("Text", "text", _STRING, _Form.PLAIN, _text, _as_it_is, names_resources=True),
    bool: Single("Flag", "true or false", _Field.TYPE_BOOL, _Form.PLAIN, _of(bool), _as_it_is),
    int: Single("Integer", "an integer", _Field.TYPE_SINT64, _Form.PLAIN, _integer, _as_it_is, names_resources=True),
    float: Single("Real", "a number", _Field.TYPE_DOUBLE, _Form.PLAIN, _real, _as_it_is),
    bytes: Single("Binary", "bytes", _Field.TYPE_BYTES, _Form.PLAIN, _binary, _as_it_is),
    datetime: Single(
        "DateTime", "a datetime", _STRING, _Form.DATETIME, _of(datetime, datetime.isoformat), datetime.fromisoformat
    ),
    date: Single(
        "Date",
        "a date",
        _STRING,
        _Form.DATE,
        _of(date, date.isoformat),
        _canonical(date.fromisoformat),
        names_resources=True,
    ),
    time: Single("Time", "a time", _STRING, _Form.TIME, _of(time, time.isoformat), time.fromisoformat),
    timedelta: Single(
        "Duration",
        "a timedelta",
        _Field.TYPE_SINT64,
        _Form.DURATION,
        _microseconds,
        lambda wire: timedelta(microseconds=wire),
    ),
    Decimal: Single(
        "Decimal",
        f"a Decimal of at most {MAX_DIGITS:,} digits",
        _STRING,
        _Form.DECIMAL,
        lambda value: str(_decimal(str(_instance(Decimal, value)))),
        _decimal,
    ),
    UUID: Single("Uuid", "a UUID", _STRING, _Form.UUID, _of(UUID, str), _canonical(UUID), names_resources=True),
}
