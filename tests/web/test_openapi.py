"""The API's description of itself."""

from __future__ import annotations

from pathlib import Path

from fastapi.openapi.models import OpenAPI

DOCS = Path(__file__).parents[2] / "docs" / "api.md"


def routes(document):
    return {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}


def references(node):
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


async def test_is_valid_and_complete(client):
    document = (await client.get("/openapi.json")).json()

    OpenAPI.model_validate(document)
    for reference in references(document):
        node = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    identities = [operation["operationId"] for operation in operations]
    assert len(set(identities)) == len(identities)
    for operation in operations:
        assert operation["summary"]
        assert operation["tags"]
        assert "application/problem+json" in operation["responses"]["default"]["content"]


async def test_every_route_is_documented(client):
    document = (await client.get("/openapi.json")).json()
    text = DOCS.read_text()
    missing = [f"{method} {path}" for method, path in sorted(routes(document)) if f"{method} {path}" not in text]
    assert not missing
