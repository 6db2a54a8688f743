"""Sources inside the host: its start, its bus, and those of the application."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

import pytest
from source_doors import BookDoor

from moorage.broker.services.events import EventHub
from moorage.orchestrator.triggers.application import ApplicationSources, SourceInvalid
from moorage.orchestrator.triggers.base import Fate, NotNow, Signal, SourceFailed
from moorage.orchestrator.triggers.events import EventSource
from moorage.orchestrator.triggers.startup import StartupSource
from moorage_sdk import messages


@pytest.fixture
async def door():
    made = BookDoor()
    yield made
    await made.close()


@pytest.fixture
def quick(monkeypatch):
    for name in ("FIRST_PAUSE", "LONGEST_PAUSE"):
        monkeypatch.setattr(f"moorage.orchestrator.triggers.beside.{name}", timedelta(milliseconds=1))


@contextlib.asynccontextmanager
async def listening(source, door):
    task = asyncio.create_task(source.run(door))
    await asyncio.sleep(0)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait((task,), timeout=5)


async def test_a_host_starts_once(door):
    await StartupSource("boot-1").run(door)
    await StartupSource("boot-1").run(door)
    await StartupSource("boot-2").run(door)
    assert [(signal.key, signal.input) for signal in door.runs] == [("boot-1", None), ("boot-2", None)]


async def test_a_start_waits_until_it_may_run(door, quick):
    door.closed = True
    async with listening(StartupSource("boot-1"), door) as task:
        await door.until(lambda: door.refusals > 2)
        door.closed = False
        await asyncio.wait_for(task, 5)
    assert len(door.runs) == 1


async def test_an_event_is_an_execution(door):
    hub = EventHub()
    async with listening(EventSource(hub, "track.*"), door):
        event = hub.publish("track.played", {"id": 7}, source="player")
        hub.publish("album.played", {"id": 8})
        await door.until(lambda: bool(door.told))
    (signal,) = door.runs
    assert signal.key == event.id
    message = messages.brought(signal.input)
    assert isinstance(message, messages.EventMessage)
    assert (message.topic, message.source, message.data, message.missed) == ("track.played", "player", {"id": 7}, 0)


async def test_events_wait_until_they_may_run(door, quick):
    hub = EventHub()
    door.closed = True
    async with listening(EventSource(hub, "**"), door):
        hub.publish("track.played", 1)
        hub.publish("track.played", 2)
        await door.until(lambda: door.refusals > 3)
        door.closed = False
        await door.until(lambda: len(door.told) == 2)
    assert [given["data"] for given in door.inputs] == [1, 2]


async def test_events_beyond_the_buffer_are_counted(door, monkeypatch, caplog):
    monkeypatch.setattr("moorage.orchestrator.triggers.events.CAPACITY", 3)
    hub = EventHub()
    door.slots = 1
    door.gate.clear()
    async with listening(EventSource(hub, "**"), door):
        hub.publish("track.played", 0)
        await door.until(lambda: len(door.runs) == 1)
        for number in range(1, 10):
            hub.publish("track.played", number)
        door.gate.set()
        await door.until(lambda: door.inputs[-1]["data"] == 9)
    seen = [given["data"] for given in door.inputs]
    assert len(seen) + sum(given["missed"] for given in door.inputs) == 10
    assert door.most_at_once == 1
    assert "were lost" in caplog.text


async def test_a_topic_that_is_none_is_a_sentence(door):
    with pytest.raises(SourceFailed, match="topic"):
        await EventSource(EventHub(), "No Topic").run(door)


async def lines(options):
    for number, line in enumerate(options["lines"]):
        taken = yield Signal(f"{number}", {"line": line})
        options["said"].append((line, taken.fate))


async def test_a_generator_is_resumed_when_the_outcome_is_recorded(door):
    options = {"lines": ["a", "b"], "said": []}
    door.fate = lambda signal: Fate.POISON if signal.input["line"] == "b" else Fate.DONE
    door.gate.clear()
    async with listening(ApplicationSources([lines]).source("lines", options), door) as task:
        await door.until(lambda: bool(door.runs))
        assert options["said"] == []
        door.gate.set()
        await asyncio.wait_for(task, 5)
    assert options["said"] == [("a", Fate.DONE), ("b", Fate.POISON)]


async def test_a_generator_may_wait_until_it_is_taken(door):
    async def patient(options):
        try:
            yield Signal("1", None)
        except NotNow:
            door.closed = False
            yield Signal("1", None)

    door.closed = True
    await ApplicationSources([patient]).source("patient", {}).run(door)
    assert len(door.runs) == 1


async def test_a_generator_that_does_not_wait_is_run_again_by_who_listens(door):
    door.closed = True
    with pytest.raises(NotNow):
        await ApplicationSources([lines]).source("lines", {"lines": ["a"], "said": []}).run(door)


async def test_a_generator_is_closed_when_nobody_listens_any_more(door):
    closed = []

    async def open_things(options):
        try:
            yield Signal("1", None)
        finally:
            closed.append(True)

    door.gate.clear()
    async with listening(ApplicationSources([open_things]).source("open_things", {}), door):
        await door.until(lambda: bool(door.runs))
    assert closed == [True]


class Letters:
    name = "letters"

    async def run(self, door, options):
        async with asyncio.TaskGroup() as group:
            for letter in options["letters"]:
                group.create_task(door.take(Signal(letter, letter)))


async def test_an_object_has_several_in_the_door(door):
    await ApplicationSources([Letters()]).source("letters", {"letters": "abc"}).run(door)
    assert sorted(door.inputs) == ["a", "b", "c"]


@pytest.mark.parametrize("source", [object(), Letters, print, lambda options: None])
def test_what_is_no_source_is_refused(source):
    if source is Letters:
        source = type("Nameless", (), {"name": "", "run": Letters.run})()
    with pytest.raises(SourceInvalid, match="is no source"):
        ApplicationSources([source])


def test_names_are_unique_and_known():
    with pytest.raises(SourceInvalid, match="Two sources"):
        ApplicationSources([lines, lines])
    with pytest.raises(SourceFailed, match="it has: lines"):
        ApplicationSources([lines]).source("others", {})
