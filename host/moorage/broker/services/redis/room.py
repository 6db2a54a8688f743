"""How much the embedded server may hold: it lives in the host's memory, and plugins fill it.

Every write is counted by its arguments, and what it copies; when that comes to the limit, what is really there is
weighed anew, now and then only, because weighing holds the event loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from moorage_proto.redis_table import committed_table, whole_number

MAX_BYTES = 128 * 1024 * 1024

#: Between two weighings.
WEIGH_SECONDS = 10.0

#: Python's own for each value.
OBJECT_BYTES = 64

#: Those that make a value of others.
_COPYING = frozenset(
    {
        *(b"copy", b"bitop", b"sort", b"pfmerge", b"geosearchstore", b"georadius", b"georadiusbymember"),
        *(b"sunionstore", b"sinterstore", b"sdiffstore", b"zunionstore", b"zinterstore", b"zdiffstore"),
        b"zrangestore",
    }
)

#: Those that make a value as long as they are told.
_STRETCHING = {b"setrange": 1, b"setbit": 8, b"bitfield": 8}


class Room:
    def __init__(self, values: Callable[[], Iterable[Mapping[bytes, Any]]], limit_bytes: int = MAX_BYTES) -> None:
        """``values``: what is stored, by key, in each database."""
        self._values = values
        self._limit = limit_bytes
        self._weighed_at = time.monotonic()
        self._used = 0

    def admits(self, command: Sequence[bytes]) -> bool:
        """Whether the command may run; it is then counted."""
        name = command[0].lower()
        spec = committed_table().get(name)
        if spec is None or not any("denyoom" in each.flags for each in (spec, *spec.subcommands.values())):
            return True
        cost = sum(len(argument) + OBJECT_BYTES for argument in command) + self._further(name, command)
        if self._used + cost > self._limit and time.monotonic() - self._weighed_at >= WEIGH_SECONDS:
            self._used = weight([list(database.items()) for database in self._values()])
            self._weighed_at = time.monotonic()
        if self._used + cost > self._limit:
            return False
        self._used += cost
        return True

    def _further(self, name: bytes, command: Sequence[bytes]) -> int:
        if name in _COPYING:
            stored = (database.get(key) for database in self._values() for key in command[1:])
            return sum(weight(value) for value in stored if value is not None)
        unit = _STRETCHING.get(name)
        if unit is None:
            return 0
        # "#5" of BITFIELD counts in fields, of 64 bits at most.
        told = ((whole_number(word.lstrip(b"#")) or 0) * (64 if word[:1] == b"#" else 1) for word in command[2:])
        return max(told, default=0) // unit


def weight(value: Any) -> int:
    """Bytes, roughly, of a value and all that is in it."""
    total = 0
    left, seen = [value], set()
    while left:
        value = left.pop()
        total += OBJECT_BYTES
        if isinstance(value, (bytes, str)):
            total += len(value)
        elif isinstance(value, (int, float, type(None))) or id(value) in seen:
            continue
        elif isinstance(value, Mapping):
            left += [*value.keys(), *value.values()]
        elif isinstance(value, (list, tuple, set, frozenset)):
            left += value
        else:
            left += _attributes(value)
        if not isinstance(value, (bytes, str)):
            seen.add(id(value))
    return total


def _attributes(value: Any) -> Iterable[Any]:
    yield from getattr(value, "__dict__", {}).values()
    for kind in type(value).__mro__:
        names = vars(kind).get("__slots__", ())
        for name in (names,) if isinstance(names, str) else names:
            if hasattr(value, name):
                yield getattr(value, name)
