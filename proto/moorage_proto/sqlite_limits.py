"""How much memory and uninterrupted time one statement may take in the process that runs it. Pure, but for ``apply``.

SQLite looks at the clock between the steps of a program, never within a function, and it takes memory for whatever a
step makes. What it bounds is the length of a single value: so the more of a program's steps can hold a value or compare
texts byte by byte, the shorter values may be while it runs.
"""

from __future__ import annotations

import math
import sqlite3
from typing import Any, Dict, Iterable, Tuple

#: Of a text or blob, where a statement has few of them.
MAX_VALUE_BYTES = 1024 * 1024

#: Of all values that a statement can hold at a time.
STATEMENT_BYTES = 16 * 1024 * 1024

#: Of a value in a statement that calls one of the functions below, once.
SLOW_VALUE_BYTES = 32 * 1024

#: Of one row that is sent; a message of the link is a little larger.
MAX_ROW_BYTES = 3 * 1024 * 1024

#: Their time grows with the product of their arguments' lengths, or what they make with their number.
_SLOW = """
    concat/* concat_ws/* highlight/* instr/2 json_array/* json_insert/* json_object/* json_patch/2 json_replace/*
    json_set/* jsonb_array/* jsonb_insert/* jsonb_object/* jsonb_patch/2 jsonb_replace/* jsonb_set/* ltrim/2 replace/3
    rtrim/2 snippet/* trim/2
"""
SLOW_FUNCTIONS = frozenset(_SLOW.split())

#: Steps that hold a value of their own.
_HOLDING = frozenset({"AggFinal", "AggStep", "AggValue", "Column", "Concat", "Function", "PureFunc"})
_CALLING = frozenset({"AggStep", "Function", "PureFunc"})

#: The numbers are SQLite's: https://www.sqlite.org/c3ref/c_limit_attached.html
#: Those of columns, arguments, expressions and compounds stay: the application's own schema is read under them, too.
_LIMITS: Dict[int, int] = {
    0: MAX_VALUE_BYTES,  # LENGTH
    1: 1024 * 1024,  # SQL_LENGTH
    5: 100_000,  # VDBE_OP
    7: 0,  # ATTACHED
    8: 256,  # LIKE_PATTERN_LENGTH
    9: 32_766,  # VARIABLE_NUMBER
    10: 100,  # TRIGGER_DEPTH
    11: 0,  # WORKER_THREADS
}


def apply(raw: sqlite3.Connection) -> None:
    """To a connection that plugins use. Python sets SQLite's limits from 3.11 on, and the host has that."""
    if hasattr(raw, "setlimit"):
        for category, limit in _LIMITS.items():
            raw.setlimit(category, limit)


def limit_values(raw: sqlite3.Connection, value_bytes: int) -> None:
    """For what runs from now on."""
    if hasattr(raw, "setlimit"):
        raw.setlimit(0, value_bytes)


def value_bytes(program: Iterable[Tuple[Any, ...]]) -> int:
    """The longest value in a statement with this program, as ``EXPLAIN`` tells it."""
    holding, slow, width = 0, 0, 1
    for step in program:
        opcode = step[1]
        holding += opcode in _HOLDING
        slow += opcode in _CALLING and _is_slow(str(step[5]))
        if opcode == "ResultRow":
            width = max(width, step[3])
    longest = min(MAX_VALUE_BYTES, STATEMENT_BYTES // max(holding, width))
    return min(longest, SLOW_VALUE_BYTES // (math.isqrt(slow - 1) + 1)) if slow else longest


def _is_slow(function: str) -> bool:
    """Of a name as programs have it: ``trim(2)``."""
    name, _, arguments = function.partition("(")
    return f"{name}/*" in SLOW_FUNCTIONS or f"{name}/{arguments[:-1]}" in SLOW_FUNCTIONS
