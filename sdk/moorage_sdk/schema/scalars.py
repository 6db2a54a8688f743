"""Shapes of single values. Those that JSON lacks are also read from text, as the JSON Schema says."""

from __future__ import annotations

import base64
import binascii
import enum
import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Callable, Dict, Optional, Tuple, Type
from uuid import UUID

from moorage_sdk.schema.shape import Definitions, JsonSchema, Mismatch, Shape, wanted


@dataclass(frozen=True)
class Scalar:
    """A type of which the wire has the same kind."""

    type: Type[Any]
    #: For messages: "a date".
    what: str
    json: JsonSchema
    #: Reads the values that are taken for one of the type; raises ValueError for others.
    convert: Optional[Callable[[Any], Any]] = None

    def read(self, value: Any, where: str) -> Any:
        if self._fits(value):
            return value
        if self.convert is None:
            raise wanted(where, self.what, value)
        try:
            return self.convert(value)
        except (ValueError, TypeError, ArithmeticError):
            raise wanted(where, self.what, value) from None

    def write(self, value: Any, where: str) -> Any:
        if not self._fits(value):
            raise wanted(where, self.what, value)
        return value

    def schema(self, definitions: Definitions) -> JsonSchema:  # noqa: ARG002 - it needs no names
        return dict(self.json)

    def _fits(self, value: Any) -> bool:
        # bool is an int and datetime a date in Python; nobody who wants the one means the other.
        if isinstance(value, (bool, datetime)):
            return isinstance(value, self.type) and self.type in (bool, datetime)
        return isinstance(value, self.type)


@dataclass(frozen=True)
class Real:
    """``float``: integers are taken for it, in both directions."""

    def read(self, value: Any, where: str) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
            raise wanted(where, "a number", value)
        try:
            return float(value)
        except OverflowError:
            raise Mismatch(where, "the number is too large for a float") from None

    def write(self, value: Any, where: str) -> float:
        return self.read(value, where)

    def schema(self, definitions: Definitions) -> JsonSchema:  # noqa: ARG002 - it needs no names
        return {"type": "number"}


@dataclass(frozen=True)
class Nothing:
    """``None``."""

    def read(self, value: Any, where: str) -> None:
        if value is not None:
            raise wanted(where, "nothing", value)

    def write(self, value: Any, where: str) -> None:
        self.read(value, where)

    def schema(self, definitions: Definitions) -> JsonSchema:  # noqa: ARG002 - it needs no names
        return {"type": "null"}


@dataclass(frozen=True)
class Choice:
    """An ``Enum`` or ``Literal``: a fixed set of plain values."""

    #: Each plain value with the Python object that stands for it.
    members: Tuple[Tuple[Any, Any], ...]

    def read(self, value: Any, where: str) -> Any:
        for plain, member in self.members:
            if type(plain) is type(value) and plain == value:
                return member
        raise self._refusal(where)

    def write(self, value: Any, where: str) -> Any:
        for plain, member in self.members:
            if type(member) is type(value) and member == value:
                return plain
        raise self._refusal(where)

    def schema(self, definitions: Definitions) -> JsonSchema:  # noqa: ARG002 - it needs no names
        return {"enum": [plain for plain, _ in self.members]}

    def _refusal(self, where: str) -> Mismatch:
        listed = ", ".join(repr(plain) for plain, _ in self.members)
        return Mismatch(where, f"one of {listed} was wanted")


def choice_of(enumeration: Type[enum.Enum]) -> Choice:
    return Choice(tuple((member.value, member) for member in enumeration))


def _integer(value: Any) -> int:
    """JSON knows one kind of number: 5.0 is an integer there."""
    if isinstance(value, bool) or not isinstance(value, (float, Decimal)) or value != int(value):
        raise ValueError
    return int(value)


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError
    try:
        return Decimal(str(value))
    except InvalidOperation:
        raise ValueError from None


def _binary(value: Any) -> bytes:
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    try:
        return base64.b64decode(_text(value), validate=True)
    except binascii.Error:
        raise ValueError from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


#: Before Python 3.11 fromisoformat reads no "Z".
_ZULU = re.compile(r"[zZ]$")


def _instant(value: Any) -> datetime:
    return datetime.fromisoformat(_ZULU.sub("+00:00", _text(value)))


def _time(value: Any) -> time:
    return time.fromisoformat(_ZULU.sub("+00:00", _text(value)))


_DURATION = re.compile(
    r"P(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d{1,6})?)S)?)?"
)


def _duration(value: Any) -> timedelta:
    """ISO 8601 without years and months, whose length varies; or a number of seconds."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return timedelta(seconds=value)
    match = _DURATION.fullmatch(_text(value))
    parts = {name: float(digits) for name, digits in match.groupdict().items() if digits} if match else {}
    if not parts:
        raise ValueError
    return timedelta(**parts)


#: By type.
SCALARS: Dict[Any, Shape] = {
    type(None): Nothing(),
    bool: Scalar(bool, "true or false", {"type": "boolean"}),
    int: Scalar(int, "an integer", {"type": "integer"}, _integer),
    float: Real(),
    str: Scalar(str, "text", {"type": "string"}),
    bytes: Scalar(bytes, "binary data (base64 in JSON)", {"type": "string", "contentEncoding": "base64"}, _binary),
    datetime: Scalar(
        datetime, "an instant such as 2026-11-20T06:00:00+00:00", {"type": "string", "format": "date-time"}, _instant
    ),
    date: Scalar(
        date,
        "a date such as 2026-11-20",
        {"type": "string", "format": "date"},
        lambda value: date.fromisoformat(_text(value)),
    ),
    time: Scalar(time, "a time such as 06:00:00", {"type": "string", "format": "time"}, _time),
    timedelta: Scalar(timedelta, "a duration such as PT1H30M", {"type": "string", "format": "duration"}, _duration),
    Decimal: Scalar(Decimal, "a decimal number", {"type": ["string", "number"], "format": "decimal"}, _decimal),
    UUID: Scalar(UUID, "a UUID", {"type": "string", "format": "uuid"}, lambda value: UUID(_text(value))),
}
