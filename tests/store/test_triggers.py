from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from moorage.models.installation import Installation
from moorage.models.manifest import Trigger
from moorage.models.policy import Origin
from moorage.models.selection import Selector
from moorage.models.trigger import Declaration
from moorage.store.errors import InstallationUnknown, TriggerExists, TriggerUnknown
from moorage.store.store import Store

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
TICK = NOW + timedelta(hours=1)
NEXT = NOW + timedelta(hours=2)
HOURLY = Trigger("cron", "0 * * * *", name="cron", options={"timezone": "Europe/Berlin"}, input={"of": [NOW, 1]})
MINE = (Origin.MANIFEST, Origin.SETTINGS)


def declared(name: str = "cron", origin: Origin = Origin.MANIFEST, **parts: Any) -> Declaration:
    return Declaration(f"churn/{name}", replace(HOURLY, name=name, **parts), origin, installation="churn")


@pytest.fixture
async def store(store: Store, installation: Installation) -> Store:
    await store.installations.add(installation)
    return store


async def ids(store: Store, of: str | None = None) -> list[str]:
    return [state.id for state in await store.triggers.list(of)]


async def fired_once(store: Store) -> None:
    """It is paused, and has counted."""
    await store.triggers.schedule({"churn/cron": (None, TICK)})
    assert await store.triggers.fire("churn/cron", TICK, NEXT, last_at=TICK, execution="e-1", fired=1, skipped=2)
    await store.triggers.pause("churn/cron", "stock-taking", by="Ada")


async def test_what_was_declared_is_read_again(store: Store) -> None:
    every = Trigger("interval", "5 min", name="nightly", select=Selector(tags=("etl",), none=(Selector(name="a*"),)))
    await store.triggers.put(declared())
    await store.triggers.put(Declaration("nightly", every, Origin.SETTINGS))

    first, second = await store.triggers.list()

    assert (first.id, first.installation, first.origin) == ("churn/cron", "churn", Origin.MANIFEST)
    assert first.trigger == HOURLY
    assert (second.installation, second.trigger, second.next_at) == ("", every, None)
    assert await ids(store, "") == ["nightly"]
    assert await ids(store, "churn") == ["churn/cron"]
    assert {state.id for state in await store.triggers.find(["nightly", "churn/cron", "none"])} == {first.id, second.id}


async def test_one_that_keeps_its_id_keeps_its_pause_and_its_counters(store: Store) -> None:
    await store.triggers.put(declared())
    await fired_once(store)

    kept = await store.triggers.put(declared(task="count"))

    assert kept.trigger.task == "count"
    assert (kept.paused, kept.paused_reason, kept.paused_by) == (True, "stock-taking", "Ada")
    assert (kept.fired, kept.skipped, kept.last_at, kept.last_execution) == (1, 2, TICK, "e-1")
    assert kept.next_at == NEXT


@pytest.mark.parametrize("parts", [{"source": "5 * * * *"}, {"options": {}}, {"kind": "interval", "source": "5 min"}])
async def test_another_schedule_forgets_the_next_tick(store: Store, parts: dict[str, Any]) -> None:
    await store.triggers.put(declared())
    await fired_once(store)

    assert (await store.triggers.put(declared(**parts))).next_at is None
    assert [state.id for state in await store.triggers.unscheduled()] == ["churn/cron"]


@pytest.mark.parametrize("changes", [{"jitter": "5 s"}, {"misfire": "all"}, {"attempts": 3}, {"paused": False}])
async def test_what_does_not_move_the_ticks_leaves_the_next_one(store: Store, changes: dict[str, Any]) -> None:
    await store.triggers.put(declared())
    await fired_once(store)
    assert (await store.triggers.change("churn/cron", changes, by="", at=NOW)).next_at == NEXT


async def test_declaring_takes_the_place_of_all_that_those_origins_said(store: Store) -> None:
    await store.triggers.declare([declared(), declared("old")], origins=MINE, of="churn")
    await store.triggers.add(declared("own", Origin.PERSON), at=NOW)
    await store.triggers.put(declared("shop", Origin.APPLICATION))
    await store.triggers.put(Declaration("nightly", HOURLY, Origin.SETTINGS))
    await fired_once(store)

    changed = await store.triggers.declare([declared(), declared("new")], origins=MINE, of="churn")

    assert [state.id for state in changed] == ["churn/new"]
    assert await ids(store) == ["churn/cron", "churn/new", "churn/own", "churn/shop", "nightly"]
    assert (await store.triggers.get("churn/cron")).fired == 1

    await store.triggers.declare([], origins=MINE)
    assert await ids(store) == ["churn/own", "churn/shop"]


async def test_declaring_leaves_alone_what_a_person_added_under_the_same_id(store: Store) -> None:
    await store.triggers.add(declared("own", Origin.PERSON, task="mine"), at=NOW)

    assert await store.triggers.declare([declared("own")], origins=MINE, of="churn") == ()

    assert (await store.triggers.get("churn/own")).trigger.task == "mine"


async def test_a_person_adds_under_a_free_id_only(store: Store) -> None:
    added = await store.triggers.add(replace(declared(origin=Origin.PERSON), by="Ada"), at=NOW)
    assert (added.origin, added.set_by, added.set_at) == (Origin.PERSON, "Ada", NOW)

    with pytest.raises(TriggerExists, match="'churn/cron' already"):
        await store.triggers.add(declared(origin=Origin.PERSON), at=NOW)


async def test_a_trigger_is_of_an_installation_that_there_is(store: Store) -> None:
    nobodys = Declaration("gone/cron", HOURLY, Origin.MANIFEST, installation="gone")

    with pytest.raises(InstallationUnknown, match="'gone'"):
        await store.triggers.declare([declared(), nobodys], origins=MINE)
    assert await ids(store) == []


async def test_it_goes_with_its_installation(store: Store) -> None:
    await store.triggers.put(declared())
    await store.installations.remove("churn")
    assert await ids(store) == []


async def test_people_change_parts_and_the_rest_follows_the_manifest(store: Store) -> None:
    await store.triggers.put(declared())

    changed = await store.triggers.change("churn/cron", {"timezone": None, "jitter": "5 s"}, by="Ada", at=NOW)
    assert changed.trigger == replace(changed.trigger, source="0 * * * *", options={"jitter": "5 s"})
    assert (changed.set_by, changed.set_at, changed.origin) == ("Ada", NOW, Origin.MANIFEST)

    await store.triggers.change("churn/cron", {"input": None}, by="Eve", at=NOW)
    after = await store.triggers.put(declared(source="7 * * * *"))

    assert after.trigger == Trigger("cron", "7 * * * *", name="cron", options={"jitter": "5 s"})
    assert after.changes == {"timezone": None, "jitter": "5 s", "input": None}
    assert after.declared is not None
    assert after.declared.options == {"timezone": "Europe/Berlin"}


async def test_changes_are_undone_in_parts_or_whole(store: Store) -> None:
    before = await store.triggers.put(declared())
    await store.triggers.change("churn/cron", {"task": "count", "source": "1 1 * * *", "jitter": "5 s"}, by="", at=NOW)

    partly = await store.triggers.undo("churn/cron", ["source"], by="Ada", at=NOW)
    assert (partly.trigger.source, partly.trigger.task, partly.trigger.options["jitter"]) == (
        "0 * * * *",
        "count",
        "5 s",
    )
    whole = await store.triggers.undo("churn/cron", [], by="Ada", at=NOW)
    assert (whole.trigger, whole.declared, whole.changes) == (before.trigger, None, {})


async def test_a_change_of_the_schedule_forgets_the_tick_and_another_change_does_not(store: Store) -> None:
    await store.triggers.put(declared())
    await store.triggers.schedule({"churn/cron": (None, TICK)})

    assert (await store.triggers.change("churn/cron", {"task": "count"}, by="", at=NOW)).next_at == TICK
    assert (await store.triggers.change("churn/cron", {"source": "1 * * * *"}, by="", at=NOW)).next_at is None


async def test_a_persons_own_is_removed_and_a_declared_one_remembered_as_removed(store: Store) -> None:
    await store.triggers.put(declared())
    await store.triggers.add(declared("own", Origin.PERSON), at=NOW)
    await store.triggers.schedule({"churn/cron": (None, TICK)})
    for name in ("cron", "own"):
        await store.triggers.remove(f"churn/{name}", by="Ada", at=NOW)

    await store.triggers.declare([declared()], origins=MINE)
    (left,) = await store.triggers.list()
    assert (left.id, left.removed, left.next_at, left.set_by) == ("churn/cron", True, None, "Ada")
    assert await store.triggers.unscheduled() == ()
    await store.triggers.schedule({"churn/cron": (None, TICK)})
    assert await store.triggers.due(NEXT) == ()

    assert not (await store.triggers.restore("churn/cron", by="Ada", at=NOW)).removed
    assert [state.id for state in await store.triggers.unscheduled()] == ["churn/cron"]


async def test_each_tick_has_one_winner(store: Store) -> None:
    await store.triggers.put(declared())
    await store.triggers.schedule({"churn/cron": (None, TICK)})

    assert await store.triggers.fire("churn/cron", TICK, NEXT, last_at=TICK, execution="e-1", fired=1)
    assert not await store.triggers.fire("churn/cron", TICK, NEXT, last_at=TICK, execution="e-2", fired=1)

    state = await store.triggers.get("churn/cron")
    assert (state.next_at, state.last_at, state.last_execution, state.fired) == (NEXT, TICK, "e-1", 1)


async def test_of_two_hosts_that_race_for_a_tick_one_goes_on(store: Store, location: Path | str) -> None:
    await store.triggers.put(declared())
    await store.triggers.schedule({"churn/cron": (None, TICK)})
    minute = timedelta(minutes=1)
    async with Store(location) as other:
        for number in range(10):
            due, following = TICK + number * minute, TICK + (number + 1) * minute
            won = await asyncio.gather(
                *(each.triggers.fire("churn/cron", due, following, fired=1) for each in (store, other, store))
            )
            assert sorted(won) == [False, False, True]
    assert (await store.triggers.get("churn/cron")).fired == 10


async def test_ticks_that_are_skipped_leave_the_last_one_as_it_was(store: Store) -> None:
    await store.triggers.put(declared())
    await fired_once(store)

    assert await store.triggers.fire("churn/cron", NEXT, None, skipped=3)

    state = await store.triggers.get("churn/cron")
    assert (state.next_at, state.last_at, state.last_execution, state.fired, state.skipped) == (None, TICK, "e-1", 1, 5)


async def test_a_tick_is_set_only_where_the_one_that_was_seen_still_is(store: Store) -> None:
    await store.triggers.put(declared())
    await store.triggers.schedule({"churn/cron": (None, TICK), "none": (None, TICK)})

    await store.triggers.schedule({"churn/cron": (None, NEXT)})
    assert (await store.triggers.get("churn/cron")).next_at == TICK
    await store.triggers.schedule({"churn/cron": (TICK, NEXT)})
    assert (await store.triggers.get("churn/cron")).next_at == NEXT


async def test_what_is_due_and_what_comes_next_is_read_earliest_first(store: Store) -> None:
    names = ("third", "first", "second", "paused", "idle")
    await store.triggers.declare([declared(name) for name in names], origins=MINE)
    ticks = {"first": NOW, "second": TICK, "third": NEXT, "paused": NOW}
    await store.triggers.schedule({f"churn/{name}": (None, tick) for name, tick in ticks.items()})
    await store.triggers.pause("churn/paused", "", by="Ada")

    assert [state.id for state in await store.triggers.due(TICK)] == ["churn/first", "churn/second"]
    assert [state.id for state in await store.triggers.upcoming(2)] == ["churn/first", "churn/second"]
    assert [state.id for state in await store.triggers.unscheduled()] == ["churn/idle"]

    assert not (await store.triggers.resume("churn/paused")).paused
    assert {state.id for state in await store.triggers.due(NOW)} == {"churn/first", "churn/paused"}


async def test_due_ticks_are_found_by_an_index(tmp_path: Path) -> None:
    query = "SELECT * FROM triggers WHERE next_at <= '2026' AND NOT paused ORDER BY next_at"
    async with Store(tmp_path / "moorage.db"):
        pass
    with contextlib.closing(sqlite3.connect(tmp_path / "moorage.db")) as connection:
        plan = str(connection.execute(f"EXPLAIN QUERY PLAN {query}").fetchall())
    assert "USING INDEX ix_triggers_next_at" in plan
    assert "TEMP B-TREE" not in plan


async def test_what_sources_bring_is_counted(store: Store) -> None:
    await store.triggers.put(declared())
    await store.triggers.problem("churn/cron", "The topic is not there.")
    await store.triggers.skipped("churn/cron")
    assert (await store.triggers.get("churn/cron")).problem == "The topic is not there."

    await store.triggers.fired("churn/cron", "e-9", at=NOW)
    await store.triggers.fired("gone/cron", "e-10", at=NOW)

    state = await store.triggers.get("churn/cron")
    assert (state.fired, state.skipped, state.last_at, state.last_execution, state.problem) == (1, 1, NOW, "e-9", "")


async def test_one_host_listens_until_it_lets_go_or_is_dead(store: Store) -> None:
    claim = store.triggers.claim
    await store.triggers.put(declared())

    assert await claim("churn/cron", "a")
    assert await claim("churn/cron", "a")
    assert not await claim("churn/cron", "b")
    assert not await claim("churn/cron", "b", dead=["c"])
    assert await claim("churn/cron", "b", dead=["a"])
    assert not await claim("churn/cron", "a")

    await store.triggers.release("a")
    assert (await store.triggers.get("churn/cron")).host == "b"
    await store.triggers.release("b", "churn/cron")
    assert await claim("churn/cron", "a")
    assert not await claim("churn/none", "a")


@pytest.mark.parametrize("verb", ["get", "resume", "pause", "change", "undo", "remove", "restore"])
async def test_an_unknown_trigger_is_named(store: Store, verb: str) -> None:
    at = {"by": "Ada", "at": NOW}
    asked = {
        "get": lambda: store.triggers.get("churn/x"),
        "resume": lambda: store.triggers.resume("churn/x"),
        "pause": lambda: store.triggers.pause("churn/x", "", by="Ada"),
        "change": lambda: store.triggers.change("churn/x", {"task": "a"}, **at),
        "undo": lambda: store.triggers.undo("churn/x", [], **at),
        "remove": lambda: store.triggers.remove("churn/x", **at),
        "restore": lambda: store.triggers.restore("churn/x", **at),
    }
    with pytest.raises(TriggerUnknown, match="no trigger 'churn/x'"):
        await asked[verb]()
