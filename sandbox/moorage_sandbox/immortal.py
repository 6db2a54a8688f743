"""Objects whose use is no write, so that workers share the memory they lie in.

CPython counts references in the objects themselves: a worker that only calls a function of the zygote's writes to it,
and the kernel copies the page for that worker alone. Since 3.12 there are objects that are not counted (PEP 683): None,
say. What a zygote has imported is needed for as long as any of its workers lives; here it is made such, all at once,
before the first fork.
"""

from __future__ import annotations

import _ctypes
import gc
import sys
import types
from typing import Any, Iterable, List, Set

#: Where the count stands, and what keeps it from being counted, was looked up in CPython's sources, object.h.
_VERSIONS = ((3, 12), (3, 13))
_NOT_COUNTED = 0xFFFF_FFFF

#: What these refer to is whole. Not so the state of a module, which may list what is dead and waits to be used again.
_OPEN = (tuple, list, dict, set, frozenset, types.FunctionType, property, staticmethod, classmethod, types.CellType)
#: They end while the zygote goes on.
_PASSING = (types.FrameType, types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType, types.TracebackType)


class _Count(_ctypes._SimpleCData):  # type: ignore[type-arg] # noqa: SLF001 - the base class of ctypes.c_uint
    _type_ = "I"


def possible() -> bool:
    """Whether this interpreter is one of those whose counts are known; it is looked at, too."""
    usual = sys.implementation.name == "cpython" and sys.version_info[:2] in _VERSIONS and sys.maxsize > 1 << 32
    # Others count elsewhere: with checks of every count, and without a global lock.
    special = hasattr(sys, "gettotalrefcount") or not getattr(sys, "_is_gil_enabled", lambda: True)()
    return usual and not special and _Count.from_address(id(None)).value == _NOT_COUNTED


def immortalise() -> int:
    """Whatever the collector knows, and what that is made of. Returns how many; 0 where it is not possible."""
    return _stop_counting(_found()) if possible() else 0


def _found() -> List[Any]:
    """What is alive, each once."""
    waiting = gc.get_objects()
    seen: Set[int] = {id(waiting)}
    found = []
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        kind = type(thing)
        if kind in _PASSING:
            continue
        found.append(thing)
        if kind in _OPEN or isinstance(thing, type):
            waiting += gc.get_referents(thing)
        elif kind is types.CodeType:
            waiting += (thing.co_consts, thing.co_names, thing.co_filename, thing.co_name)
    return found


def _stop_counting(things: Iterable[Any]) -> int:
    count = 0
    at = _Count.from_address
    for thing in things:
        at(id(thing)).value = _NOT_COUNTED
        count += 1
    return count
