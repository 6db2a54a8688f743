"""The pages of the services: the code that is on them runs in the testing kit, with the capabilities that they name."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import tomllib
from sqlalchemy import Column, Integer, String
from sqlalchemy.orm import declarative_base

from moorage_proto import capability
from moorage_sdk import Plugin
from moorage_sdk.testing import Moorage, TestedManifest

SERVICES = Path(__file__).parents[2] / "docs" / "services"

#: The page of an application's own services has a test of its own.
PAGES = sorted(path.stem for path in SERVICES.glob("*.md") if path.stem != "own")


class User(declarative_base()):  # type: ignore[misc]
    __tablename__ = "users"
    id = Column(Integer, primary_key=True)
    name = Column(String)


@dataclass
class Page:
    """What a page needs beside its own words."""

    rights: tuple[str, ...] = ()
    prepare: Callable[[Moorage], Any] = lambda moorage: None
    input: Any = None
    #: Names that the page leaves to its reader.
    names: dict[str, Any] = field(default_factory=dict)


EXAMPLES = {
    "config": Page(("config.read:**",), lambda moorage: moorage.config.update({"greeting": "ahoy"})),
    "events": Page(
        ("events.subscribe:track.*", "events.publish:track.*", "events.reply:price.quote"), input="Army of Me"
    ),
    "http": Page(prepare=lambda moorage: moorage.http.answer("GET", "https://api.example.com/**", json=[])),
    "kafka": Page(("kafka.produce:plugin-topic",)),
    "log": Page(),
    "net": Page(),
    "redis": Page(
        ("redis.read:**", "redis.write:**", "redis.write:cache/**"),
        lambda moorage: moorage.redis.client.set("greeting", "ahoy"),
    ),
    "secrets": Page(
        ("secrets.read:*", "secrets.write:*"),
        lambda moorage: moorage.secrets.__setitem__("LASTFM_KEY", "k3y-of-lastfm"),
        names={"authorise": lambda key: f"session of {len(key)}"},
    ),
    "servicebus": Page(
        ("servicebus.receive:orders", "servicebus.send:invoices"),
        lambda moorage: moorage.servicebus.put("orders", "1 cup", message_id="o-0"),
    ),
    "sql": Page(("sql.read:users",), lambda moorage: moorage.sql.add(User(name="Ada")), names={"User": User}),
    "storage": Page(),
}


@pytest.fixture(params=PAGES)
def page(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def modules(page: str) -> Iterator[list[ModuleType]]:
    """One for each block of Python that has a task, and one for the tests that are for the first."""
    made: list[ModuleType] = []
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", (SERVICES / f"{page}.md").read_text(), re.DOTALL)):
        if "@plugin." not in code:
            continue
        module = ModuleType(f"page_{page}_{number}")
        vars(module).update({"plugin": Plugin(), **EXAMPLES[page].names})
        sys.modules[module.__name__] = module
        made.append(module)
        exec(compile(code, f"{page}.md", "exec"), vars(module))
    yield made
    for module in made:
        del sys.modules[module.__name__]


@pytest.fixture
def make(page: str) -> Iterator[Callable[[ModuleType], Moorage]]:
    kits = []

    def made(module: ModuleType) -> Moorage:
        rights = (*EXAMPLES[page].rights, *requested(page))
        manifest = TestedManifest(
            "churn", entry_point=f"{module.__name__}:plugin", capabilities=tuple(map(capability.parse, rights))
        )
        kits.append(Moorage(manifest))
        return kits[-1]

    yield made
    for kit in kits:
        kit.close()


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (SERVICES / f"{page}.md").read_text(), re.DOTALL)


def requested(page: str) -> list[str]:
    """By the manifests on it."""
    tables = [tomllib.loads(text).get("tool", {}).get("moorage", {}) for text in blocks(page, "toml")]
    return [entry["allow"] for table in tables for entry in (*table.get("required", ()), *table.get("optional", ()))]


def test_the_tasks_on_the_page_run(
    page: str, modules: list[ModuleType], make: Callable[[ModuleType], Moorage], monkeypatch: pytest.MonkeyPatch
) -> None:
    if page == "net":
        monkeypatch.setattr("boto3.client", lambda _name: Bucket())
    assert modules
    for module in modules:
        kit = make(module)
        EXAMPLES[page].prepare(kit)
        for task in module.plugin.tasks:
            run = kit.run(task, "report.json" if page == "net" else EXAMPLES[page].input)
            assert run.error is None, run.error


class Bucket:
    """What boto3 would have found."""

    def get_object(self, **_wanted: str) -> dict[str, Any]:
        return {"Body": self}

    def read(self) -> bytes:
        return json.dumps({"users": 3}).encode()


def test_the_tests_on_the_page_pass(
    page: str, modules: list[ModuleType], make: Callable[[ModuleType], Moorage]
) -> None:
    for code in blocks(page, "python"):
        if "def test_" not in code:
            continue
        names = dict(vars(modules[0]))
        exec(compile(code, f"{page}.md", "exec"), names)
        for name in re.findall(r"def (test_\w+)", code):
            names[name](make(modules[0]))
