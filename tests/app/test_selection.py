"""Selection among what the store has, with predicates of the application that may misbehave."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from moorage.app import selection as module
from moorage.app.selection import Selection
from moorage.models.installation import Installation
from moorage.models.manifest import Manifest, RequestedCapability
from moorage.models.selection import Selector
from moorage.orchestrator.selection import PredicateUnknown, SelectorRefused
from moorage.store.store import Store
from moorage_proto.capability import parse

NAMES = ("churn", "geo-tag", "sample")


def installation(name: str) -> Installation:
    wanted = (RequestedCapability(parse("sql.read:users"), "", required=False),)
    manifest = Manifest(name, "1.0.0", f"{name}:plugin", tags=frozenset({name[0]}), capabilities=wanted)
    return Installation(name, manifest, Path(name), Path(name), "", ("",), "")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store(tmp_path / "moorage.db") as opened:
        for name in NAMES:
            await opened.installations.add(installation(name))
        await opened.grants.grant("geo-tag", ["sql.read:users"], by="dana")
        yield opened


async def view(found: Installation) -> Any:
    class View:
        installation = found

    return View()


async def selected(store: Store, selector: Selector, **predicates: Any) -> list[str]:
    return [each.id for each in await Selection(store, predicates, view).select(selector)]


async def test_by_name_tag_and_capability(store: Store) -> None:
    assert await selected(store, Selector()) == list(NAMES)
    assert await selected(store, Selector(name="*e*")) == ["geo-tag", "sample"]
    assert await selected(store, Selector(tags=("c",))) == ["churn"]
    assert await selected(store, Selector(capability="sql.read:users")) == ["geo-tag"]
    assert await selected(store, Selector(none=(Selector(capability="sql.read:users"),))) == ["churn", "sample"]


async def test_a_predicate_is_asked_only_where_it_matters(store: Store) -> None:
    asked: list[str] = []

    def vip(view: Any) -> bool:
        asked.append(view.installation.id)
        return bool(view.installation.id == "sample")

    selector = Selector(name="*e*", predicate="vip")
    assert await selected(store, selector, vip=vip) == ["sample"]
    assert asked == ["geo-tag", "sample"]


async def test_a_predicate_that_raises_or_mumbles_breaks_nobody_else(store: Store, caplog) -> None:
    def odd(view: Any) -> Any:
        if view.installation.id == "churn":
            raise LookupError("no such customer")
        return 1 if view.installation.id == "geo-tag" else True

    assert await selected(store, Selector(predicate="odd"), odd=odd) == ["sample"]
    assert await selected(store, Selector(none=(Selector(predicate="odd"),)), odd=odd) == []
    assert "failed at churn" in caplog.text
    assert "not True or False" in caplog.text


async def test_a_predicate_that_hangs_says_nothing_more(store: Store, monkeypatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", timedelta(seconds=0.05))
    go = threading.Event()

    def slow(view: Any) -> bool:
        return view.installation.id == "churn" or go.wait(20)

    selection = Selection(store, {"slow": slow, "all": lambda view: True}, view)
    either = Selector(any=(Selector(predicate="slow"), Selector(name="sample")))
    try:
        assert [each.id for each in await selection.select(either)] == ["churn", "sample"]
        # It is not asked again before it has come back.
        assert [each.id for each in await selection.select(either)] == ["sample"]
        assert len(await selection.select(Selector(predicate="all"))) == len(NAMES)
    finally:
        go.set()
    async with asyncio.timeout(10):
        while len(await selection.select(Selector(predicate="slow"))) != len(NAMES):
            await asyncio.sleep(0.01)


async def test_what_is_wrong_with_a_selector_is_said(store: Store) -> None:
    with pytest.raises(SelectorRefused, match=r"select\.version: '1' is no version specifier"):
        await selected(store, Selector(version="1"))
    with pytest.raises(PredicateUnknown, match="no predicate 'vip'; it has: eu"):
        await selected(store, Selector(none=(Selector(predicate="vip"),)), eu=lambda view: True)
