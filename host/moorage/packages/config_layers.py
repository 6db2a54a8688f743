"""Settings in layers: the manifest's defaults, the settings file, what was set at run time. Pure.

A setting's key is the dotted path to it. Tables are no settings themselves: what is in them is. A table with a dot in
one of its keys could not be told from a path, and counts as one setting as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def flattened(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by dotted key."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        if _is_table(value):
            found.update(flattened(value, f"{prefix}{key}."))
        else:
            found[f"{prefix}{key}"] = value
    return found


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """The other way round; of a setting and others below it the others count."""
    config: dict[str, Any] = {}
    for key in sorted(values):
        *tables, last = key.split(".")
        table = config
        for name in tables:
            below = table.get(name)
            if not isinstance(below, dict):
                below = table[name] = {}
            table = below
        table[last] = values[key]
    return config


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Tables are merged; of everything else what is ``over`` counts."""
    both = dict(base)
    for key, value in over.items():
        below = both.get(key)
        both[key] = merged(below, value) if isinstance(below, Mapping) and _is_table(value) else value
    return both


def concerned(keys: Iterable[str], key: str) -> list[str]:
    """Which of the keys name the same setting, one of its tables, or what is below it."""
    return [each for each in keys if each == key or each.startswith(f"{key}.") or key.startswith(f"{each}.")]


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """Dotted keys of those that are others, sorted."""
    old, new = flattened(before), flattened(after)
    nothing = object()
    return tuple(sorted(key for key in {*old, *new} if not _same(old.get(key, nothing), new.get(key, nothing))))


def _same(one: Any, other: Any) -> bool:
    """For Python, 1 is True and 1.0."""
    return type(one) is type(other) and bool(one == other)


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value) and not any("." in str(key) for key in value)
