"""The JSON form of what tasks give back, of settings and of log fields. Pure.

JSON has fewer kinds than the contract's Value. Where protobuf's JSON mapping has a form for a kind, it is that one
(base64 for bytes, text for numbers that are none); dates, times and durations are ISO 8601; a decimal and a UUID are
text, because a JSON number would lose digits.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

#: Deeper input than the contract carries is refused before it reaches a worker.
MAX_DEPTH = 30

_MICROSECOND = timedelta(microseconds=1)


def to_json(value: Any) -> Any:
    """A value made of what JSON knows.

    Raises TypeError for a type that the contract has no kind for.
    """
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else _not_finite(value)
    if isinstance(value, Mapping):
        return {text(str(key)): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    return _scalar(value)


def text(value: str) -> str:
    """The same text with lone surrogates, which UTF-8 has no form for, written as escapes."""
    return value.encode("utf-8", "backslashreplace").decode()


def check_input(value: Any, depth: int = 0) -> None:
    """Raises ValueError, with a sentence, for JSON that cannot cross to a worker."""
    if depth > MAX_DEPTH:
        raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, list):
        for item in value:
            check_input(item, depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_text(key)
            check_input(item, depth + 1)


def _check_text(value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError("it holds half of a surrogate pair, which is no character") from error


def _scalar(value: Any) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return _duration(value)
    if isinstance(value, Decimal | UUID):
        return str(value)
    raise TypeError(f"a value of type {type(value).__name__} has no JSON form")


def _not_finite(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _duration(value: timedelta) -> str:
    """ISO 8601 in seconds, which is exact: a month or year has no fixed length."""
    seconds, microseconds = divmod(abs(value) // _MICROSECOND, 1_000_000)
    fraction = f".{microseconds:06}".rstrip("0") if microseconds else ""
    return f"{'-' if value < timedelta(0) else ''}PT{seconds}{fraction}S"
