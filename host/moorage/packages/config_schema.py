"""An installation's settings against the JSON Schema in its plugin's manifest."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from moorage.errors import Invalid
from moorage.models.manifest import Manifest


class ConfigInvalid(Invalid):
    """The operator's settings of a plugin do not fit its schema."""

    code = "config_invalid"


def effective_config(name: str, manifest: Manifest, config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with the schema's defaults filled in.

    Raises ConfigInvalid with one sentence for each setting that does not fit.
    """
    schema = manifest.config_schema
    filled = _with_defaults(schema, config)
    problems = sorted(Draft202012Validator(schema).iter_errors(filled), key=lambda problem: problem.json_path)
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
