"""An installation's settings against the JSON Schema in its plugin's manifest."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from moorage.errors import Invalid
from moorage.models.manifest import Manifest


class ConfigInvalid(Invalid):
    """The operator's settings of a plugin do not fit its schema."""

    code = "config_invalid"


def _unique_items(_validator: Any, is_asked: bool, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    """The library compares each item with each other one: of a plugin's default that may take hours."""
    if is_asked and isinstance(instance, list) and len({_canonical(item) for item in instance}) != len(instance):
        yield ValidationError(f"{instance!r:.200} has non-unique elements")


def _canonical(value: Any) -> Any:
    """Equal where JSON's values are: 1 is 1.0, and no boolean."""
    if isinstance(value, Mapping):
        return ("record", frozenset((key, _canonical(below)) for key, below in value.items()))
    if isinstance(value, list):
        return ("list", *map(_canonical, value))
    return (isinstance(value, bool), value)


_Validator = extend(Draft202012Validator, {"uniqueItems": _unique_items})  # type: ignore[no-untyped-call]


def effective_config(name: str, manifest: Manifest, config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with the schema's defaults filled in.

    Raises ConfigInvalid with one sentence for each setting that does not fit.
    """
    schema = manifest.config_schema
    filled = _with_defaults(schema, config)
    problems = sorted(_Validator(schema).iter_errors(filled), key=lambda problem: problem.json_path)
    if problems:
        raise ConfigInvalid("\n".join(_sentence(name, schema, problem) for problem in problems))
    return filled


def _with_defaults(schema: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    filled = dict(config)
    for key, entry in schema.get("properties", {}).items():
        if key not in filled and "default" in entry:
            filled[key] = entry["default"]
        if entry.get("type") == "object" and isinstance(filled.get(key, {}), Mapping):
            inner = _with_defaults(entry, filled.get(key, {}))
            if inner:
                filled[key] = inner
    return filled


def _keys(instance: Any) -> list[str]:
    return list(instance) if isinstance(instance, Mapping) else []


def _sentence(name: str, schema: Mapping[str, Any], problem: ValidationError) -> str:
    place = ".".join(str(part) for part in problem.absolute_path) or "the settings"
    sentence = f"Settings of {name}: {place}: {problem.message}."
    if problem.validator == "additionalProperties":
        known = list(schema.get("properties", {}))
        unknown = [key for key in _keys(problem.instance) if key not in known]
        close = [match for key in unknown for match in difflib.get_close_matches(key, known, n=1)]
        sentence += f" Did you mean {close[0]!r}?" if close else f" Known settings: {', '.join(known) or 'none'}."
    return sentence
