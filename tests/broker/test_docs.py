"""docs/capabilities.md tells of every verb and every brokered method what the contract says."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import moorage_proto
from moorage_proto import capability
from moorage_proto.classifiers import CLASSIFIED_VERBS
from moorage_proto.methods import Method, methods_of

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "capabilities.md"

#: What the classifiers make resources of.
CLASSIFIED = {
    "http": "read from the request",
}


def brokered() -> Iterator[tuple[str, Method[Any, Any]]]:
    """(KafkaService.Produce, method), in the order of the contract's files."""
    for module in sorted(info.name for info in pkgutil.iter_modules(moorage_proto.__path__)):
        if module.endswith("_pb2"):
            for service in importlib.import_module(f"moorage_proto.{module}").DESCRIPTOR.services_by_name.values():
                for method in methods_of(service).values():
                    if method.access is not None:
                        yield f"{service.name}.{method.path.rpartition('/')[2]}", method


def verb_rows() -> list[str]:
    """One row for each verb: what its resource is, and which methods need it."""
    resources: dict[str, str] = {}
    users: dict[str, list[str]] = {}
    for name, method in brokered():
        for need in method.access.needs.all:
            resources[need.verb] = ", ".join(f"`{path}`" for path in need.resource_paths) + " of the request"
            users.setdefault(need.verb, []).append(name)
        for verb in method.access.late.verbs:
            resources[verb] = "decided while the backend works"
            users.setdefault(verb, []).append(name)
        for verb in CLASSIFIED_VERBS.get(method.access.classify, ()):
            resources[verb] = CLASSIFIED[method.access.classify]
            users.setdefault(verb, []).append(name)
    return [
        f"| `{verb}` | {resources[verb]} | {'yes' if is_in_backends(verb) else 'no'} | {', '.join(users[verb])} |"
        for verb in sorted(users)
    ]


def is_in_backends(verb: str) -> bool:
    return verb.partition(".")[0] in capability.BACKEND_SERVICES


def other_rows() -> list[str]:
    """The methods that need no capability of their own, and why."""
    rows = []
    for name, method in brokered():
        if method.access.WhichOneof("rule") == "handle":
            rows.append(f"| {name} | `{method.access.handle}` has to be a handle that the calling scope was given |")
        elif method.access.own_reason:
            rows.append(f"| {name} | {method.access.own_reason} |")
    return rows


def test_the_table_of_verbs_is_the_contracts() -> None:
    rows = verb_rows()
    assert "\n".join(rows) in PAGE.read_text(), "docs/capabilities.md needs these rows:\n" + "\n".join(rows)


def test_the_table_of_other_methods_is_the_contracts() -> None:
    rows = other_rows()
    assert "\n".join(rows) in PAGE.read_text(), "docs/capabilities.md needs these rows:\n" + "\n".join(rows)


def test_the_examples_of_the_page_are_capabilities() -> None:
    (block,) = (part for part in PAGE.read_text().split("```") if part.startswith("capabilities"))
    lines = [line.split()[0] for line in block.splitlines()[1:] if line.strip()]
    assert len(lines) > 5
    for line in lines:
        assert str(capability.parse(line)) == line


def test_every_service_of_this_package_has_its_page() -> None:
    for service in ("config", "http", "kafka", "log", "secrets", "storage"):
        page = (DOCS / "services" / f"{service}.md").read_text()
        for name, _ in brokered():
            if name.lower().startswith(service):
                assert f"`{name}`" in page
