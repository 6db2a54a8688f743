"""Whether the JSON Schema in a manifest is one that settings can be checked against, and a form be made from. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from moorage.packages.tables import nearest
from moorage.packages.toml_lines import KeyPath

MAX_DEPTH = 32

#: Of keys and values, all together: settings are compared with all of them, again and again.
MAX_PARTS = 2_000

_TYPES = ("object", "array", "string", "integer", "number", "boolean", "null")
_SETTING = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")

#: The keywords of JSON Schema 2020-12 that manifests may use, with the types of their values. Not among them: ``$ref``,
#: which can name addresses to fetch, and ``pattern``: the host would run a regular expression that a plugin wrote, and
#: some take years to answer.
_KEYWORDS: Mapping[str, str] = {
    "type": "text or list",
    "title": "text",
    "description": "text",
    "format": "text",
    "default": "any",
    "const": "any",
    "examples": "list",
    "enum": "list",
    "required": "list",
    "properties": "table",
    "additionalProperties": "boolean or table",
    "items": "table",
    "minimum": "number",
    "maximum": "number",
    "exclusiveMinimum": "number",
    "exclusiveMaximum": "number",
    "multipleOf": "positive number",
    "minLength": "count",
    "maxLength": "count",
    "minItems": "count",
    "maxItems": "count",
    "uniqueItems": "boolean",
}

#: Where, below the schema, and a sentence.
Finding = tuple[KeyPath, str]


def check_schema(schema: Mapping[str, Any]) -> Iterator[Finding]:
    """What is wrong with the schema of a plugin's settings. Where it has no type it is an object's."""
    if _parts(schema) > MAX_PARTS:
        yield (), f"it has more than {MAX_PARTS:,} keys and values; describe fewer settings, or less of each."
        return
    if schema.get("type", "object") != "object":
        yield ("type",), "settings are an object; write type = 'object', and each setting below properties."
    yield from _check(schema, ())


def _parts(schema: Mapping[str, Any]) -> int:
    """How many keys and values there are; counting stops where they are too many."""
    count = 0
    waiting: list[Any] = [schema]
    while waiting and count <= MAX_PARTS:
        found = waiting.pop()
        below = found.values() if isinstance(found, dict) else found if isinstance(found, list) else ()
        count += len(below)
        waiting.extend(below)
    return count


def _check(schema: Mapping[str, Any], path: KeyPath) -> Iterator[Finding]:
    if len(path) > MAX_DEPTH:
        yield path, "this is nested too deeply; flatten the settings."
        return
    for key, value in schema.items():
        place = (*path, key)
        kind = _KEYWORDS.get(key)
        if kind is None:
            yield place, f"unknown keyword of JSON Schema{nearest(key, set(_KEYWORDS))}"
        elif not any(_KINDS[name](value) for name in kind.split(" or ")):
            yield place, f"{key} has to be a {kind} that JSON can hold."
        elif key in _CHECKS:
            yield from _CHECKS[key](value, schema, place)


def _check_type(value: Any, _schema: Mapping[str, Any], path: KeyPath) -> Iterator[Finding]:
    for name in value if isinstance(value, list) else [value]:
        if name not in _TYPES:
            yield path, f"{name!r:.80} is not a type of JSON Schema; known are {', '.join(_TYPES)}."


def _check_properties(value: Any, _schema: Mapping[str, Any], path: KeyPath) -> Iterator[Finding]:
    for name, below in value.items():
        if not _SETTING.fullmatch(name):
            yield (*path, name), f"{name!a:.80} is not the name of a setting; write letters, digits, '_' and '-'."
        if isinstance(below, dict):
            yield from _check(below, (*path, name))
        else:
            yield (*path, name), "a setting is described by a table, such as { type = 'string' }."


def _check_required(value: Any, schema: Mapping[str, Any], path: KeyPath) -> Iterator[Finding]:
    properties = schema.get("properties")
    known = set(properties) if isinstance(properties, dict) else set()
    for index, name in enumerate(value):
        if not isinstance(name, str) or name not in known:
            yield (*path, index), f"{name!r:.80} is required, and properties do not describe it."


def _check_below(value: Any, _schema: Mapping[str, Any], path: KeyPath) -> Iterator[Finding]:
    if isinstance(value, dict):
        yield from _check(value, path)


_CHECKS: Mapping[str, Callable[[Any, Mapping[str, Any], KeyPath], Iterator[Finding]]] = {
    "type": _check_type,
    "properties": _check_properties,
    "required": _check_required,
    "additionalProperties": _check_below,
    "items": _check_below,
}


def _is_json(value: Any) -> bool:
    """TOML's dates and infinite numbers have no place in JSON."""
    if isinstance(value, dict):
        return all(_is_json(entry) for entry in value.values())
    if isinstance(value, list):
        return all(_is_json(entry) for entry in value)
    return isinstance(value, (str, int)) or (isinstance(value, float) and math.isfinite(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and _is_json(value)


_KINDS: Mapping[str, Callable[[Any], bool]] = {
    "text": lambda value: isinstance(value, str),
    "list": lambda value: isinstance(value, list) and _is_json(value),
    "table": lambda value: isinstance(value, dict),
    "boolean": lambda value: isinstance(value, bool),
    "number": _is_number,
    "positive number": lambda value: _is_number(value) and value > 0,
    "count": lambda value: _is_number(value) and isinstance(value, int) and value >= 0,
    "any": _is_json,
}
