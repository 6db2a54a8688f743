"""Tagged JSON: the text in which the store keeps task inputs, results, settings and log fields.

It holds exactly the kinds of the contract's Value. Serialised Values would have been shorter to write; text was
chosen because an operator can read it with any database client. What JSON has is itself; everything else is a
record with one key that starts with a dollar sign: ``{"$decimal": "1.50"}``. A record that would look like that is
wrapped: ``{"$record": {"$decimal": 1}}``.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from moorage.store.errors import NotStorable
from moorage_proto.values import MAX_DEPTH

_MICROSECOND = timedelta(microseconds=1)

#: Python's own limit for reading a decimal integer (sys.int_info.default_max_str_digits).
_LARGEST_INTEGER_BITS = int(4300 * math.log2(10)) - 1


def dumps(value: Any) -> str:
    """Raises NotStorable."""
    return json.dumps(_encode(value, 0), separators=(",", ":"), allow_nan=False)


def loads(text: str) -> Any:
    return _decode(json.loads(text))


def _encode(value: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise NotStorable(f"it is nested deeper than {MAX_DEPTH} levels")
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$real": repr(value)}
    if isinstance(value, (list, tuple)):
        return [_encode(item, depth + 1) for item in value]
    if isinstance(value, Mapping):
        return _encode_record(value, depth)
    return _encode_tagged(value)


def _integer(value: int) -> int:
    if value.bit_length() > _LARGEST_INTEGER_BITS:
        raise NotStorable("an integer has more than 4300 digits")
    return int(value)


def _encode_record(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    for key in value:
        if not isinstance(key, str):
            raise NotStorable(f"the key {key!r} of a record is not text")
    record = {key: _encode(item, depth + 1) for key, item in value.items()}
    return {"$record": record} if _looks_tagged(record) else record


def _encode_tagged(value: Any) -> dict[str, Any]:
    for kind, tag, write in _WRITERS:
        if isinstance(value, kind):
            return {tag: write(value)}
    raise NotStorable(f"it holds a {type(value).__name__}")


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if _looks_tagged(value):
        ((tag, content),) = value.items()
        return _READERS[tag](content)
    return _decode_record(value)


def _decode_record(value: dict[str, Any]) -> dict[str, Any]:
    return {key: _decode(item) for key, item in value.items()}


def _looks_tagged(record: Mapping[str, Any]) -> bool:
    return len(record) == 1 and next(iter(record)).startswith("$")


#: In this order: a datetime is a date.
_WRITERS: tuple[tuple[type | tuple[type, ...], str, Callable[[Any], Any]], ...] = (
    ((bytes, bytearray, memoryview), "$bytes", lambda value: base64.b64encode(bytes(value)).decode()),
    (Decimal, "$decimal", str),
    (datetime, "$datetime", datetime.isoformat),
    (date, "$date", date.isoformat),
    (time, "$time", time.isoformat),
    (timedelta, "$microseconds", lambda value: value // _MICROSECOND),
    (UUID, "$uuid", str),
)

_READERS: dict[str, Callable[[Any], Any]] = {
    "$real": float,
    "$bytes": base64.b64decode,
    "$decimal": Decimal,
    "$datetime": datetime.fromisoformat,
    "$date": date.fromisoformat,
    "$time": time.fromisoformat,
    "$microseconds": lambda value: timedelta(microseconds=value),
    "$uuid": UUID,
    "$record": _decode_record,
}
