"""Sizes and durations as people write them: ``256 MiB``, ``5 min``."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Mapping

_SIZES: Mapping[str, int] = {
    "TiB": 1024**4,
    "GiB": 1024**3,
    "MiB": 1024**2,
    "KiB": 1024,
    "TB": 1000**4,
    "GB": 1000**3,
    "MB": 1000**2,
    "KB": 1000,
    "B": 1,
}
_WRITTEN_SIZES = ("TiB", "GiB", "MiB", "KiB", "B")

_MICROSECONDS: Mapping[str, int] = {
    "d": 86_400_000_000,
    "h": 3_600_000_000,
    "min": 60_000_000,
    "s": 1_000_000,
    "ms": 1_000,
    "us": 1,
}
#: Longer words for the same units.
_SPELLINGS: Mapping[str, str] = {
    "day": "d",
    "days": "d",
    "hour": "h",
    "hours": "h",
    "minute": "min",
    "minutes": "min",
    "second": "s",
    "seconds": "s",
    "sec": "s",
}
#: Fifteen digits are more than any disk or lifetime; a longer number is a mistake or a trap.
_AMOUNT = re.compile(r"(?P<number>[0-9]{1,15}(?:\.[0-9]{1,6})?) ?(?P<unit>[A-Za-z]+)", re.ASCII)


class UnitInvalid(ValueError):
    """The text is no size or duration; the sentence says what one looks like."""


def parse_size(value: object) -> int:
    """Bytes, from an integer or a text such as ``256 MiB``. Raises UnitInvalid."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _AMOUNT.fullmatch(value) if isinstance(value, str) else None
    if match is None or match["unit"] not in _SIZES:
        raise UnitInvalid(f"{_shown(value)} is not a size; write a number with B, KiB, MiB or GiB, such as '256 MiB'")
    amount = _scaled(match["number"], _SIZES[match["unit"]])
    if amount is None:
        raise UnitInvalid(f"{_shown(value)} is not a whole number of bytes; write a smaller unit")
    return amount


def parse_duration(value: object) -> timedelta:
    """From a number of seconds, or a text such as ``5 min`` or ``1 h 30 min``. Raises UnitInvalid."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _duration(value, value * 1_000_000)
    if isinstance(value, str):
        microseconds = _sum_of_durations(value)
        if microseconds is not None:
            return _duration(value, microseconds)
    raise UnitInvalid(f"{_shown(value)} is not a duration; write a number with ms, s, min, h or d, such as '5 min'")


def format_size(count: int) -> str:
    """The shortest exact text, in binary units."""
    for unit in _WRITTEN_SIZES:
        if count and count % _SIZES[unit] == 0:
            return f"{count // _SIZES[unit]} {unit}"
    return f"{count} B"


def format_duration(duration: timedelta) -> str:
    """An exact text in as many units as it takes, the largest first."""
    rest = duration // timedelta(microseconds=1)
    parts = []
    for unit, size in _MICROSECONDS.items():
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts) or "0 s"


def _sum_of_durations(text: str) -> int | None:
    total = 0
    at = 0
    while at < len(text):
        match = _AMOUNT.match(text, at)
        if match is None:
            return None
        unit = _MICROSECONDS.get(_SPELLINGS.get(match["unit"], match["unit"]))
        amount = None if unit is None else _scaled(match["number"], unit)
        if amount is None:
            return None
        total += amount
        at = match.end()
        if text.startswith(" ", at) and at + 1 < len(text):
            at += 1
    return total if text else None


def _scaled(number: str, factor: int) -> int | None:
    """The product, or None where it is no whole number. Without binary floating point: 0.1 s is 100 ms."""
    whole, _, fraction = number.partition(".")
    scaled, rest = divmod(int(whole + fraction) * factor, 10 ** len(fraction))
    return None if rest else scaled


def _duration(written: object, microseconds: float) -> timedelta:
    try:
        return timedelta(microseconds=microseconds)
    except (OverflowError, ValueError) as error:
        raise UnitInvalid(f"{_shown(written)} is longer than any duration that can be kept") from error


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
