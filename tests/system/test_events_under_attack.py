"""Plugins that flood the bus, hang in it, ask in circles, and are replaced or stopped in the middle of it."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
import time
from datetime import timedelta
from pathlib import Path

import pytest
from plugin_projects import write_plugin

from moorage.app import Host
from moorage.config.settings import Settings
from moorage.models.event import PluginEvent
from moorage.orchestrator import deliveries
from moorage_proto.errors import CallError, Reason

TIMEOUT_SECONDS = 40

LISTENER = """
    from moorage_sdk import Plugin
    from moorage_sdk.events import Event, Events

    plugin = Plugin()

    @plugin.on_event("ping.*")
    def ping(event: Event, events: Events) -> None:
        events.publish("pong.VERSION", event.data)
"""
LISTENING = ("events.subscribe:ping.*", "events.publish:pong.*")

FLOOD = """
    import threading
    import time
    from moorage_sdk import Plugin
    from moorage_sdk.errors import MoorageError
    from moorage_sdk.events import Events

    plugin = Plugin()

    @plugin.on_event("flood.**")
    def stuck() -> None:
        time.sleep(3)

    @plugin.task
    def execute(events: Events, input: float) -> int:
        open_ones = [events.subscribe("flood.**") for _ in range(16)]
        end, counts = time.monotonic() + input, []

        def work(number: int) -> None:
            count = 0
            while time.monotonic() < end:
                try:
                    data = [{}] * 8000 if count % 20 == 0 else None
                    events.publish(f"flood.{number}.{count}", data)
                except MoorageError:
                    pass
                count += 1
            counts.append(count)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for one in open_ones:
            one.close()
        return sum(counts)
"""

HANGING = """
    import os
    import threading
    from moorage_sdk import Plugin
    from moorage_sdk.events import Event, Events

    plugin = Plugin()

    @plugin.on_event("ping.*")
    def ping(event: Event, events: Events) -> None:
        events.publish("pong.begun", event.data)
        if event.data == "hang":
            threading.Event().wait()
        events.publish("pong.done", event.data)

    @plugin.reply_to("reply.large")
    def large() -> str:
        return "x" * 100_000

    @plugin.reply_to("reply.small")
    def small() -> str:
        return "x" * 1000
"""


async def install(host: Host, folder: Path, code: str, name: str, *rights: str, extra: str = "") -> None:
    await host.install(write_plugin(folder, code, name=name, required=rights, extra=extra), grant_required=True)


def memory_bytes() -> int:
    """Of this process, the host's: the most it has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def test_a_flood_holds_up_nobody_and_takes_little(host: Host, tmp_path: Path) -> None:
    await install(host, tmp_path, LISTENER.replace("VERSION", "one"), "listener", *LISTENING)
    await install(host, tmp_path, FLOOD, "flood", "events.subscribe:flood.**", "events.publish:flood.**")
    await host.start("listener")
    await host.start("flood")
    gc.collect()
    before = memory_bytes()
    waited = []
    async with asyncio.timeout(TIMEOUT_SECONDS):
        pongs = host.bus.subscribe("pong.*")
        flooding = asyncio.create_task(host.call("flood", input=3.0))
        while not flooding.done():
            began = time.monotonic()
            host.bus.publish("ping.one", len(waited))
            assert (await pongs.__anext__()).data == len(waited)
            waited.append(time.monotonic() - began)
            await asyncio.sleep(0.02)
        published = await flooding
        await pongs.aclose()
    waited.sort()
    assert published > 20
    assert waited[len(waited) // 2] < 0.5
    assert waited[-1] < 2.0
    assert memory_bytes() - before < 200 * 2**20


@pytest.mark.parametrize("how", ["time", "SIGKILL", "kill"])
async def test_a_handler_that_hangs_or_dies_takes_its_own_event_alone(
    host: Host, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "time":
        monkeypatch.setattr(deliveries, "HANDLER_TIMEOUT", timedelta(seconds=0.3))
        monkeypatch.setattr("moorage.broker.attached.GRACE", timedelta(seconds=0.3))
    await install(host, tmp_path, HANGING, "churn", *LISTENING)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        pongs = host.bus.subscribe("pong.*")
        for data in ("hang", "next"):
            host.bus.publish("ping.one", data)
        assert (await pongs.__anext__()).data == "hang"
        view = await host.installation("churn")
        (pid,) = [one.pid for one in view.incarnations if one.stopped_at is None]
        if how == "SIGKILL":
            os.kill(pid, signal.SIGKILL)
        elif how == "kill":
            await host.kill("churn")
        seen = [await pongs.__anext__(), await pongs.__anext__()]
        await pongs.aclose()
    assert [(event.topic, event.data) for event in seen] == [("pong.begun", "next"), ("pong.done", "next")]


async def test_a_reply_that_is_too_large_is_its_own_plugins_failure(host: Host, tmp_path: Path) -> None:
    await install(host, tmp_path, HANGING, "churn", "events.reply:reply.*")
    async with asyncio.timeout(TIMEOUT_SECONDS):
        assert len((await host.bus.request("reply.small")).data) == 1000
        with pytest.raises(CallError, match=r"churn failed to reply to reply\.large") as failed:
            await host.bus.request("reply.large")
        assert failed.value.reason == Reason.BACKEND_FAILED
        while not any("at most 65,536 bytes" in line.message for line in await host.logs(installation="churn")):
            await asyncio.sleep(0.01)


CIRCLE = """
    from moorage_sdk import Plugin
    from moorage_sdk.events import Event, Events

    plugin = Plugin()

    @plugin.reply_to("ask.OWN")
    async def asked(event: Event, events: Events) -> int:
        if event.data == "last":
            return 1
        return await events.request_async("ask.OTHER", event.data, timeout=1)
"""


async def test_two_that_ask_each_other_in_a_circle_come_to_an_end(host: Host, tmp_path: Path) -> None:
    for own, other in (("a", "b"), ("b", "a")):
        code = CIRCLE.replace("OWN", own).replace("OTHER", other)
        await install(host, tmp_path, code, own, f"events.reply:ask.{own}", f"events.request:ask.{other}")
    async with asyncio.timeout(TIMEOUT_SECONDS):
        with pytest.raises(CallError):
            await host.bus.request("ask.a", "round", timeout_seconds=5)
        sessions = host._parts.broker.sessions.values()
        while any(session.in_flight or len(session._link.scopes) > 1 for session in sessions):
            await asyncio.sleep(0.01)
        for name in ("a", "b"):
            assert (await host.bus.request(f"ask.{name}", "last")).data == 1


@pytest.mark.parametrize("mode", ["beside", "in_turn"])
async def test_events_go_on_through_a_reload(host: Host, tmp_path: Path, mode: str) -> None:
    extra = f"reload = '{mode}'"
    await install(host, tmp_path, LISTENER.replace("VERSION", "one"), "listener", *LISTENING, extra=extra)
    found: list[PluginEvent] = []
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await host.start("listener")
        pongs = host.bus.subscribe("pong.*")
        write_plugin(tmp_path, LISTENER.replace("VERSION", "two"), name="listener", required=LISTENING, extra=extra)
        reloading = asyncio.create_task(host.reload("listener"))
        count = 0
        while not reloading.done():
            host.bus.publish("ping.one", count)
            count += 1
            await asyncio.sleep(0.02)
        assert (await reloading).mode == mode
        host.bus.publish("ping.one", count)
        while not found or found[-1].data != count:
            found.append(await pongs.__anext__())
        await pongs.aclose()
    assert [event.data for event in found] == list(range(count + 1))
    assert [event.topic for event in found] == sorted(event.topic for event in found)
    assert found[-1].topic == "pong.two"


async def test_one_that_is_disabled_in_the_middle_gets_nothing_more(host: Host, tmp_path: Path) -> None:
    await install(host, tmp_path, HANGING, "churn", *LISTENING)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        pongs = host.bus.subscribe("pong.*")
        host.bus.publish("ping.one", "hang")
        for number in range(5):
            host.bus.publish("ping.one", number)
        assert (await pongs.__anext__()).data == "hang"
        disabling = asyncio.create_task(host.disable("churn"))
        while (await host.installation("churn")).installation.desired.enabled:
            await asyncio.sleep(0.01)
        await host.kill("churn")
        await disabling
        await host._parts.deliveries.settled()
        await host.enable("churn")
        host.bus.publish("ping.one", "after")
        assert (await pongs.__anext__()).data == "after"
        await pongs.aclose()


async def test_a_host_that_stops_does_not_wait_for_events(settings: Settings, tmp_path: Path) -> None:
    supervision = settings.supervision.model_copy(update={"stop_drain": timedelta(seconds=0.2)})
    async with Host(settings.model_copy(update={"supervision": supervision})) as host:
        drains = "[tool.moorage.limits]\ndrain_timeout = '1 s'"
        await install(host, tmp_path, HANGING, "churn", *LISTENING, extra=drains)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            pongs = host.bus.subscribe("pong.*")
            host.bus.publish("ping.one", "hang")
            for number in range(200):
                host.bus.publish("ping.one", number)
            await pongs.__anext__()
            await pongs.aclose()
        began = time.monotonic()
    assert time.monotonic() - began < 10
