"""Events between real plugins and the application."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from plugin_projects import write_plugin

from moorage.app import Host
from moorage.models.execution import ExecutionRequest, ExecutionState
from moorage_proto.errors import CallError, Reason

TIMEOUT_SECONDS = 30

PLAYER = """
    from moorage_sdk import Plugin
    from moorage_sdk.events import Events

    plugin = Plugin()

    @plugin.task
    def play(input: str, events: Events) -> str:
        return events.publish("track.playing", {"track": input})

    @plugin.task
    async def ask(input: int, events: Events) -> int:
        return await events.request_async("number.double", {"n": input})
"""

LISTENER = """
    from dataclasses import dataclass
    from moorage_sdk import Plugin
    from moorage_sdk.events import Event, Events
    from moorage_sdk.sql import Connection

    plugin = Plugin()

    @dataclass
    class Play:
        track: str

    @plugin.on_event("track.*")
    def playing(play: Play, event: Event, db: Connection, events: Events) -> None:
        db.execute("INSERT INTO heard VALUES (?)", (f"{play.track} by {event.source}",))
        events.publish("heard." + event.topic, {"track": play.track})
        if play.track == "bad":
            raise ValueError("bad taste")

    @plugin.reply_to("number.double")
    def double(input: dict) -> int:
        if input["n"] < 0:
            raise ValueError("the secret reason")
        return input["n"] * 2

    @plugin.task
    def execute() -> str:
        return "here"
"""
RIGHTS = ("events.subscribe:track.*", "events.reply:number.*", "events.publish:heard.**", "sql.write:heard")


@pytest.fixture(autouse=True)
def heard_tracks(database: Path) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE heard (track TEXT)")


async def install(host: Host, folder: Path) -> None:
    rights = ("events.publish:track.*", "events.request:number.*")
    await host.install(write_plugin(folder, PLAYER, name="player", required=rights), grant_required=True)
    await host.install(write_plugin(folder, LISTENER, name="listener", required=RIGHTS), grant_required=True)


def tracks(database: Path) -> list[str]:
    with sqlite3.connect(database) as connection:
        return [track for (track,) in connection.execute("SELECT track FROM heard")]


async def test_an_event_starts_its_listener_and_its_work_is_committed(
    host: Host, tmp_path: Path, database: Path
) -> None:
    await install(host, tmp_path)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        heard = host.bus.subscribe("heard.**")
        await host.call("player", "play", "Army of Me")
        host.bus.publish("track.playing", {"track": "Halleluhwah"})
        found = [await heard.__anext__(), await heard.__anext__()]
        await heard.aclose()
        while len(tracks(database)) < 2:
            await asyncio.sleep(0.01)
    assert [(event.topic, event.source, event.data["track"]) for event in found] == [
        ("heard.track.playing", "listener", "Army of Me"),
        ("heard.track.playing", "listener", "Halleluhwah"),
    ]
    await host.grants.use("listener")
    used = {grant.capability: grant.uses for grant in (await host.installation("listener")).grants}
    assert tracks(database) == ["Army of Me by player", "Halleluhwah by "]
    assert used["events.subscribe:track.*"] == 2
    assert used["events.reply:number.*"] == 0


async def test_a_handler_that_raises_is_rolled_back_and_told_in_its_log(
    host: Host, tmp_path: Path, database: Path
) -> None:
    await install(host, tmp_path)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        host.bus.publish("track.playing", {"track": "bad"})
        host.bus.publish("track.playing", {"track": "good"})
        while not tracks(database):
            await asyncio.sleep(0.01)
        while not any("bad taste" in line.message for line in await host.logs(installation="listener")):
            await asyncio.sleep(0.01)
    assert tracks(database) == ["good by "]


async def test_requests_are_answered_by_a_plugin_or_the_application(host: Host, tmp_path: Path) -> None:
    await install(host, tmp_path)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        assert await host.call("player", "ask", 21) == 42
        reply = await host.bus.request("number.double", {"n": 4})
        assert (reply.data, reply.source) == (8, "listener")
        with pytest.raises(
            CallError, match=r"listener failed to reply to number\.double; its own log tells why"
        ) as failed:
            await host.bus.request("number.double", {"n": -1})
        assert "secret reason" not in failed.value.message

        async def answer(event: object) -> int:
            return 7

        host.bus.respond("number.double", answer)
        assert await host.call("player", "ask", 21) == 7


async def test_who_is_disabled_or_not_granted_receives_nothing(host: Host, tmp_path: Path, database: Path) -> None:
    await install(host, tmp_path)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await host.disable("listener")
        host.bus.publish("track.playing", {"track": "unheard"})
        with pytest.raises(CallError, match=r"Nobody replies to number\.double") as nobody:
            await host.bus.request("number.double", {"n": 1})
        assert nobody.value.reason == Reason.BACKEND_UNAVAILABLE
        execution = await host.run(ExecutionRequest("player", "ask", 1))
        assert execution.state is ExecutionState.FAILED
        await host.enable("listener")
        await host.revoke("listener", ["events.subscribe:track.*"])
        host.bus.publish("track.playing", {"track": "unheard"})
        # Who may is asked when an event is delivered: before the next line makes it may.
        await host._parts.deliveries.settled()
        await host.grant("listener", ["events.subscribe:track.*"])
        host.bus.publish("track.playing", {"track": "heard"})
        while not tracks(database):
            await asyncio.sleep(0.01)
    assert tracks(database) == ["heard by "]
