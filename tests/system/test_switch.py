"""The switch for all installations, and what disabled ones receive: nothing, by whatever way it comes."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Protocol

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient
from plugin_projects import write_plugin

from moorage.app import Host, Settings, extension_point
from moorage.events.events import DesiredChanged, Event, ExecutionEnded, Loaded, SwitchChanged
from moorage.models.execution import ExecutionRequest, ExecutionState
from moorage.supervisor.errors import NotRunnable
from moorage_proto.errors import CallError

TIMEOUT_SECONDS = 30

CODE = """
    from moorage_sdk import Context, Plugin
    from moorage_sdk.events import Events

    plugin = Plugin()
    told = []

    @plugin.task
    def execute() -> list:
        return told

    @plugin.task
    def wait(ctx: Context, events: Events) -> str:
        events.publish("probe.began", {})
        ctx.wait_cancelled(0.5)
        return "done"

    @plugin.on_event("track.*")
    def playing(input: dict) -> None:
        told.append(input["track"])

    @plugin.reply_to("number.double")
    def double(input: dict) -> int:
        return input["n"] * 2
"""
RIGHTS = ("events.subscribe:track.*", "events.reply:number.*", "events.publish:probe.*")


async def install(host: Host, folder: Path, name: str = "probe") -> None:
    await host.install(write_plugin(folder, CODE, name=name, required=RIGHTS), grant_required=True)


async def double(host: Host) -> object:
    return (await host.bus.request("number.double", {"n": 4})).data


async def shut(host: Host, way: str) -> None:
    if way == "switch":
        await host.switch.off(reason="maintenance", by="dana")
    elif way == "hold":
        await host.stop("probe", hold="maintenance", by="dana")
    else:
        await host.disable("probe", by="dana")


async def open_again(host: Host, way: str) -> None:
    if way == "switch":
        await host.switch.on(by="dana")
    elif way == "hold":
        await host.release("probe", by="dana")
    else:
        await host.enable("probe", by="dana")


@pytest.mark.parametrize("way", ["switch", "hold", "disable"])
async def test_what_may_not_work_receives_nothing(host: Host, tmp_path: Path, way: str) -> None:
    await install(host, tmp_path)
    assert await double(host) == 8
    host.bus.publish("track.playing", {"track": "before"})
    await host.start("probe")
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while await host.call("probe") != ["before"]:
            await asyncio.sleep(0)

    await shut(host, way)
    host.bus.publish("track.playing", {"track": "meanwhile"})
    with pytest.raises(CallError, match=r"number\.double"):
        await double(host)
    rejected = await host.run(ExecutionRequest("probe"))
    assert rejected.state is ExecutionState.REJECTED
    assert rejected.error is not None
    with pytest.raises(NotRunnable):
        await host.start("probe")
    view = await host.installation("probe")
    assert (view.state, view.incarnations[0].state) != ("ready", "ready")
    assert view.incarnations[0].verdict is not None
    assert view.incarnations[0].verdict.planned

    await open_again(host, way)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        assert await double(host) == 8
        # Of what came meanwhile nothing was kept for it.
        assert await host.call("probe") == []


QUEUED = """
    from typing import Protocol
    from moorage_sdk import Plugin, extension_point
    from moorage_sdk.messages import ServiceBusMessage

    plugin = Plugin()

    @plugin.task
    def execute(message: ServiceBusMessage) -> str:
        return message.body.decode()

    @extension_point("shop.label", version=1)
    class Label(Protocol):
        def label(self) -> str: ...

    @plugin.implements(Label.label)
    def label() -> str:
        return "regulars"
"""


@extension_point("shop.label", version=1)
class Label(Protocol):
    def label(self) -> str: ...


@pytest.mark.parametrize("way", ["switch", "hold", "disable"])
async def test_messages_and_calls_of_extension_points_wait_or_reach_nobody(
    settings: Settings, tmp_path: Path, way: str
) -> None:
    rights = ("servicebus.receive:orders", "extensions.implement:shop.label")
    trigger = '[[tool.moorage.triggers]]\nservicebus = "orders"\n'
    async with Host(settings, extension_points=[Label]) as host, asyncio.timeout(60):
        project = write_plugin(tmp_path, QUEUED, required=rights, extra=trigger)
        await host.install(project, grant_required=True)
        ended = host.events.subscribe(ExecutionEnded)
        client = ServiceBusClient.from_connection_string(host.servicebus_connection_strings["main"])
        async with client, client.get_queue_sender("orders") as orders:
            await orders.send_messages(ServiceBusMessage("before"))
            assert (await ended.__anext__()).execution.result == "before"
            assert (await host.call_all(Label.label)).values == ["regulars"]

            await shut(host, way)
            await orders.send_messages(ServiceBusMessage("meanwhile"))
            assert (await host.call_all(Label.label)).values == []
            (view,) = await host.triggers.list("probe")
            assert (view.condition, "moorage" in view.reason) == ("idle", True)
            assert len(await host.executions()) == 1

            await open_again(host, way)
            # Nothing was acknowledged and dropped.
            assert (await ended.__anext__()).execution.result == "meanwhile"
            assert (await host.call_all(Label.label)).values == ["regulars"]


async def test_who_switched_it_off_and_why_is_said_everywhere(host: Host, tmp_path: Path) -> None:
    await install(host, tmp_path)
    assert (await host.switch.state()).is_on
    assert await host.switch.off(reason="the database is moved", by="dana") == ()

    rejected = await host.run(ExecutionRequest("probe"))
    assert rejected.error is not None
    assert rejected.error.message == (
        "probe takes no executions: everything is switched off by dana: the database is moved."
    )
    assert rejected.error.remedy == "moorage switch on"
    with pytest.raises(
        NotRunnable, match=r"switched off by dana: the database is moved\. Switch it on: moorage switch on"
    ):
        await host.start("probe")
    view = await host.installation("probe")
    assert view.state == "switched off"
    assert view.reason == "Everything is switched off by dana: the database is moved. moorage switch on"
    await host.switch.on(by="ada")
    actions = [(entry.action, entry.actor, entry.message) for entry in await host.audit() if "switch" in entry.action]
    assert actions == [("switch off", "dana", "the database is moved"), ("switch on", "ada", "")]
    assert (await host.run(ExecutionRequest("probe"))).state is ExecutionState.SUCCEEDED


async def test_what_runs_ends_and_what_was_up_comes_up_again(host: Host, tmp_path: Path) -> None:
    await install(host, tmp_path)
    await install(host, tmp_path, "other")
    await host.start("probe")
    async with asyncio.timeout(TIMEOUT_SECONDS), contextlib.aclosing(host.bus.subscribe("probe.began")) as began:
        running = asyncio.ensure_future(host.run(ExecutionRequest("probe", "wait")))
        await began.__anext__()
        reports = await host.switch.off(by="dana")
        done = await running
    assert (done.state, done.result) == (ExecutionState.SUCCEEDED, "done")
    assert [report.sentence for report in reports] == ["probe: stopped; 1 process gone."]

    # What is installed or enabled meanwhile works no sooner.
    await install(host, tmp_path, "third")
    await host.enable("other")
    async with asyncio.timeout(TIMEOUT_SECONDS), host.events.subscribe(Loaded) as loaded:
        for name in ("probe", "other", "third"):
            assert (await host.run(ExecutionRequest(name))).state is ExecutionState.REJECTED
        await host.switch.on(by="dana")
        # What was not up is not started for that.
        assert (await loaded.__anext__()).installation == "probe"
    assert await host.call("third") == []


async def test_it_outlives_the_host(open_host, tmp_path: Path) -> None:
    async with open_host() as host:
        await install(host, tmp_path)
        await host.switch.off(reason="maintenance", by="dana")
    async with open_host() as host:
        state = await host.switch.state()
        assert (state.is_on, state.reason, state.set_by) == (False, "maintenance", "dana")
        assert (await host.installation("probe")).state == "switched off"
        assert (await host.run(ExecutionRequest("probe"))).state is ExecutionState.REJECTED
        with pytest.raises(NotRunnable):
            await host.start("probe")
        # It is not made part of what is wanted of the installation.
        await host.disable("probe")
        await host.switch.on()
        assert (await host.installation("probe")).state == "disabled"
        await host.enable("probe")
        assert await host.call("probe") == []


async def test_it_is_announced_once_for_all_and_then_for_each(host: Host, tmp_path: Path) -> None:
    await install(host, tmp_path)
    await install(host, tmp_path, "other")
    async with asyncio.timeout(TIMEOUT_SECONDS), host.events.subscribe(SwitchChanged, DesiredChanged) as events:
        await host.switch.off(reason="maintenance", by="dana")
        told: list[Event] = [await events.__anext__() for _ in range(3)]
        # Switched off again, with another reason: the new one counts.
        await host.switch.off(reason="still", by="ada")
        told += [await events.__anext__() for _ in range(3)]
        await host.switch.on()
        told += [await events.__anext__() for _ in range(3)]
    kinds = [(type(event).__name__, event.installation) for event in told]
    assert kinds == [("SwitchChanged", ""), ("DesiredChanged", "probe"), ("DesiredChanged", "other")] * 3
    switched = [event for event in told if isinstance(event, SwitchChanged)]
    assert [(each.before.is_on, each.after.is_on) for each in switched] == [
        (True, False),
        (False, False),
        (False, True),
    ]
    changes = [event for event in told if isinstance(event, DesiredChanged)]
    assert [bool(each.after.switched_off) for each in changes] == [True, True, True, True, False, False]
