"""Values as psycopg gives them, for those of PostgreSQL's types that cross the link in another form. Pure."""

from __future__ import annotations

import ipaddress
import json
from enum import Enum
from typing import Any, Callable, Optional, Sequence, Tuple

from moorage_sdk.services.sql.types import Range

Reader = Callable[[Any], Any]

_ARRAY = "[]"
_AS_TEXT = (
    Range,
    ipaddress.IPv4Address,
    ipaddress.IPv6Address,
    ipaddress.IPv4Network,
    ipaddress.IPv6Network,
)


def row_readers(types: Sequence[str], loads: Reader = json.loads) -> Optional[Tuple[Optional[Reader], ...]]:
    """One for each column; None: every value is what it is. ``loads`` reads JSON."""
    readers = tuple(_reader(name, loads) for name in types)
    return readers if any(readers) else None


def written(value: Any) -> Any:
    """A parameter in the form in which it crosses: as text what PostgreSQL reads from text, as psycopg sends it."""
    if isinstance(value, _AS_TEXT):
        return str(value)
    if isinstance(value, Enum) and not isinstance(value, (int, str)):
        return value.name
    if isinstance(value, (list, tuple)):
        return [written(each) for each in value]
    return value


def _reader(name: str, loads: Reader) -> Optional[Reader]:
    if name.endswith(_ARRAY):
        item = _reader(name[: -len(_ARRAY)], loads)
        return None if item is None else _elementwise(item)
    if name in ("json", "jsonb"):
        return lambda text: None if text is None else loads(text)
    return _READERS.get(name)


def _elementwise(item: Reader) -> Reader:
    def read(value: Any) -> Any:
        """Arrays are lists in lists; what is no list is an item of the innermost."""
        return [read(each) for each in value] if isinstance(value, list) else item(value)

    return read


def _inet(text: Any) -> Any:
    """An address, or with a mask that is not the whole of it an interface."""
    if text is None:
        return None
    return ipaddress.ip_interface(text) if "/" in text else ipaddress.ip_address(text)


def _cidr(text: Any) -> Any:
    return None if text is None else ipaddress.ip_network(text)


def _range(record: Any) -> Any:
    if record is None:
        return None
    return Range(empty=True) if record["empty"] else Range(**record)


def _ranges(records: Any) -> Any:
    return None if records is None else [_range(record) for record in records]


def _record(values: Any) -> Any:
    return None if values is None else tuple(values)


_READERS = {
    "inet": _inet,
    "cidr": _cidr,
    "record": _record,
    **dict.fromkeys(("int4range", "int8range", "numrange", "daterange", "tsrange", "tstzrange"), _range),
    **dict.fromkeys(
        ("int4multirange", "int8multirange", "nummultirange", "datemultirange", "tsmultirange", "tstzmultirange"),
        _ranges,
    ),
}
