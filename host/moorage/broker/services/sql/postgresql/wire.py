"""Values between psycopg and the contract. What has no kind in the contract crosses as PostgreSQL's own text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg import postgres
from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import AdaptersMap, Dumper
from psycopg.types.multirange import Multirange
from psycopg.types.range import Range
from psycopg.types.string import TextLoader

from moorage_proto import sql_pb2, values
from moorage_proto.values import ValueInvalid

#: They are decoded where they are used, by the column's type: a value of the contract is nested 30 levels at most.
_AS_TEXT = ("json", "jsonb", "inet", "cidr")


class RecordDumper(Dumper):
    """A record as JSON text of a type that PostgreSQL infers: it fits json and jsonb."""

    oid = 0

    def dump(self, obj: Any) -> Buffer:
        return json.dumps(obj, ensure_ascii=False, default=str).encode()


def adapters() -> AdaptersMap:
    """For the connections of plugins."""
    made = AdaptersMap(psycopg.adapters)
    for name in _AS_TEXT:
        made.register_loader(name, TextLoader)
    made.register_dumper(dict, RecordDumper)
    return made


class Context(AdaptContext):
    """What ``connect`` takes adapters from."""

    def __init__(self) -> None:
        self._adapters = adapters()

    @property
    def adapters(self) -> AdaptersMap:
        return self._adapters

    @property
    def connection(self) -> None:
        return None


def type_name(oid: int) -> str:
    """PostgreSQL's own name; empty for types that were made in the database."""
    found = postgres.types.get(oid)
    if found is None:
        return ""
    return f"{found.name}[]" if oid == found.array_oid else found.name


def row(found: Sequence[Any]) -> sql_pb2.Row:
    """Raises ValueInvalid."""
    sent = sql_pb2.Row()
    for value in found:
        sent.values.append(values.to_wire(_plain(value)))
    return sent


def bindable(value: Any) -> Any:
    """A parameter from the wire; raises ValueInvalid."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, str) and "\x00" in value:
        raise ValueInvalid("PostgreSQL's texts hold no null character; send bytes")
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, Range):
        if value.isempty:
            return {"lower": None, "upper": None, "bounds": "", "empty": True}
        lower, upper = _plain(value.lower), _plain(value.upper)
        return {"lower": lower, "upper": upper, "bounds": value.bounds, "empty": False}
    if isinstance(value, Multirange | list | tuple):
        return [_plain(each) for each in value]
    return value
