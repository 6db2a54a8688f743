"""What the testing kit reads of a plugin's ``pyproject.toml``. The host's own reader is the strict one."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Iterable, Mapping, Tuple

from moorage_proto import capability
from moorage_proto.capability import Capability
from moorage_proto.learning import Request

if sys.version_info >= (3, 11):
    import tomllib
else:
    try:
        import tomli as tomllib
    except ImportError as missing:
        raise ImportError(
            "the testing kit reads pyproject.toml, and before Python 3.11 that takes tomli; "
            "install moorage-sdk[testing]"
        ) from missing


class ManifestMissing(LookupError):
    """No plugin's project was found."""


@dataclass(frozen=True)
class TestedManifest:
    """The parts of the manifest that a test depends on."""

    __test__ = False  # its name is no invitation to pytest

    name: str
    version: str = ""
    #: "churn.plugin:plugin"; empty: tests name functions, not tasks.
    entry_point: str = ""
    #: Required and optional ones.
    capabilities: Tuple[Capability, ...] = ()
    #: Settings' defaults, from the schema.
    config: Mapping[str, Any] = field(default_factory=dict)
    #: The capabilities' entries, with their reasons.
    requests: Tuple[Request, ...] = ()


def find_manifest(start: Path) -> TestedManifest:
    """That of the nearest folder, upwards, with a ``[tool.moorage]`` table. Raises ManifestMissing."""
    for folder in (start, *start.parents):
        file = folder / "pyproject.toml"
        if file.is_file():
            document = tomllib.loads(file.read_text(encoding="utf-8"))
            if "moorage" in document.get("tool", {}):
                return _read(document)
    raise ManifestMissing(
        f"neither {start} nor a folder above it has a pyproject.toml with a [tool.moorage] table; "
        f"the `moorage` fixture takes the plugin's name and capabilities from there"
    )


def _read(document: Mapping[str, Any]) -> TestedManifest:
    table = document["tool"]["moorage"]
    return TestedManifest(
        name=document.get("project", {}).get("name", "plugin"),
        version=document.get("project", {}).get("version", ""),
        entry_point=table.get("plugin", ""),
        capabilities=tuple(request.capability for request in _requests(table)),
        config=_defaults(table.get("config", {})),
        requests=tuple(_requests(table)),
    )


def _requests(table: Mapping[str, Any]) -> Iterable[Request]:
    for key in ("required", "optional"):
        for entry in table.get(key, ()):
            yield Request(capability.parse(entry["allow"]), entry.get("because", ""), key == "required")


def _defaults(schema: Mapping[str, Any]) -> Dict[str, Any]:
    found: Dict[str, Any] = {}
    for key, entry in schema.get("properties", {}).items():
        if "default" in entry:
            found[key] = entry["default"]
        elif entry.get("type") == "object":
            inner = _defaults(entry)
            if inner:
                found[key] = inner
    return found
