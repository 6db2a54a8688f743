"""Policies in layers: the defaults, the manifest, the settings file, what people set at run time. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from moorage.models.manifest import Manifest
from moorage.models.policy import Origin, PolicyValue, RunPolicy
from moorage.packages.policies import OF_LIMITS, PARSERS


def layered(manifest: Manifest, settings: Mapping[str, Any], people: Iterable[PolicyValue]) -> tuple[PolicyValue, ...]:
    """Each value of an installation's policy, in the order of RunPolicy's fields, with whose word it is.

    ``settings``: checked values by key. ``people``: what was set at run time; a value that no longer fits the bounds
    does not count.
    """
    default = RunPolicy()
    values = {
        field.name: PolicyValue(field.name, getattr(default, field.name), Origin.DEFAULT) for field in fields(default)
    }
    for key in OF_LIMITS:
        values[key] = PolicyValue(key, getattr(manifest.limits, key), Origin.MANIFEST)
    for key, value in manifest.policy.items():
        _put(values, PolicyValue(key, value, Origin.MANIFEST))
    for key, value in settings.items():
        _put(values, PolicyValue(key, value, Origin.SETTINGS))
    for found in people:
        _put(values, found)
    return tuple(values.values())


def policy(values: Iterable[PolicyValue]) -> RunPolicy:
    """What layered values come to."""
    return RunPolicy(**{found.key: found.value for found in values})


def _put(values: dict[str, PolicyValue], found: PolicyValue) -> None:
    """What was stored by another version may be unknown or out of bounds: then the layer below counts."""
    if found.key not in PARSERS:
        return
    try:
        value = PARSERS[found.key](found.value)
    except ValueError:
        return
    values[found.key] = PolicyValue(found.key, value, found.origin, found.set_by, found.set_at)
