"""Fills what is free between the zygote's objects, so that workers put theirs together on pages of their own.

What was freed before the fork leaves gaps on pages that all workers share. A worker would put its own small objects
there, a few on each page, and each such page would be copied for it.
"""

from __future__ import annotations

import operator
from itertools import repeat, starmap
from typing import Any, Callable, Iterator, List

#: pymalloc, since 3.10: pools of so many bytes hold objects of one size; each begins with so many bytes of its own.
_POOL_BYTES = 16384
_POOL_HEADER_BYTES = 48
_STEP_BYTES = 16
_MOST_BYTES = 512
#: Of a bytes object beside its content.
_BYTES_HEADER_BYTES = b"".__sizeof__()
#: Of one size; far more gaps than an import leaves.
_MOST_POOLS = 64

_keep: List[Any] = []


def fill() -> None:
    """What fills them stays for good: about a megabyte, once."""
    for size in range(_STEP_BYTES, _MOST_BYTES + 1, _STEP_BYTES):
        in_a_pool = (_POOL_BYTES - _POOL_HEADER_BYTES) // size
        for _ in range(_MOST_POOLS):
            made = list(_objects(size, in_a_pool))
            _keep.append(made)
            # A pool that was empty, and perhaps the rest of the one before: there are no more gaps of this size.
            if len({id(each) // _POOL_BYTES for each in made}) <= 2:
                break


def _objects(size: int, count: int) -> Iterator[Any]:
    """Of exactly that size; nothing else is allocated meanwhile."""
    if size == _STEP_BYTES:
        return starmap(object, repeat((), count))
    if size < _BYTES_HEADER_BYTES:
        big = 1 << 31
        return map(operator.add, repeat(big, count), repeat(0, count))
    make: Callable[[int], Any] = bytes
    return map(make, repeat(size - _BYTES_HEADER_BYTES, count))
