"""Two hosts on one PostgreSQL store: what one changes counts on the other, and what one leaves the other takes."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from plugin_projects import write_plugin
from servers.postgres import PostgresServer, postgres_server

from moorage.app import Host
from moorage.config.orchestration import OrchestratorSettings
from moorage.config.settings import Settings
from moorage.events.events import (
    ConfigChanged,
    DesiredChanged,
    Event,
    ExecutionStarted,
    GrantsChanged,
    Removed,
    StateChanged,
)
from moorage.models.config import ConfigOrder
from moorage.models.execution import ExecutionRequest, ExecutionState
from moorage.models.secret import SHARED
from moorage.models.switch import SwitchState

TIMEOUT_SECONDS = 20

CODE = """
    import asyncio, os
    from moorage_sdk import Plugin

    plugin = Plugin()

    @plugin.task
    def execute() -> int:
        return os.getpid()

    @plugin.task
    async def forever() -> None:
        await asyncio.sleep(3600)
"""
EXTRA = """
    [tool.moorage.config.properties.greeting]
    type = "string"
    default = "Hello"
"""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as made:
        yield made


@dataclass
class Pair:
    one: Host
    two: Host


@pytest.fixture
def settings_of(server: PostgresServer, built: Path, tmp_path: Path) -> Iterator[Callable[[str], Settings]]:
    server.run("DROP DATABASE IF EXISTS shared WITH (FORCE)", "CREATE DATABASE shared")
    with tempfile.TemporaryDirectory(prefix="mrg-") as run:

        def made(name: str) -> Settings:
            state = tmp_path / name
            state.mkdir(mode=0o700)
            for each in ("runtimes", "sdk"):
                (state / each).symlink_to(built / each)
            return Settings.model_validate(
                {
                    "state_dir": state,
                    "run_dir": Path(run) / name,
                    "store": {"url": server.url(database="shared")},
                    "secrets": {"key_file": tmp_path / "keys"},
                    "orchestrator": OrchestratorSettings(
                        lease=timedelta(seconds=1), poll=timedelta(milliseconds=100)
                    ).model_dump(),
                }
            )

        yield made


@pytest.fixture
async def pair(settings_of: Callable[[str], Settings], tmp_path: Path) -> AsyncIterator[Pair]:
    project = write_plugin(tmp_path / "plugins", CODE, optional=["secrets.read:KEY"], extra=EXTRA)
    async with Host(settings_of("one")) as one, Host(settings_of("two")) as two:
        for host in (one, two):
            await host.install(project)
        yield Pair(one, two)


@asynccontextmanager
async def tells(host: Host, *kinds: type[Event]) -> AsyncIterator[Callable[[], asyncio.Task[Event]]]:
    """Announced there within the block."""
    async with asyncio.timeout(TIMEOUT_SECONDS), host.events.subscribe(*kinds) as events:
        yield lambda: asyncio.ensure_future(events.__anext__())


async def workers(host: Host, count: int) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS), host.events.subscribe(StateChanged) as changes:
        while sum(each.state == "ready" for each in (await host.installation("probe")).incarnations) != count:
            await changes.__anext__()


async def test_what_is_disabled_on_one_stops_on_the_other_and_comes_back(pair: Pair) -> None:
    await pair.two.start("probe")
    async with tells(pair.two, DesiredChanged) as event:
        began = asyncio.get_running_loop().time()
        await pair.one.disable("probe", by="dana")
        told = await event()
        assert isinstance(told, DesiredChanged)
        assert (told.after.enabled, told.by) == (False, "another host")
        await workers(pair.two, 0)
        assert asyncio.get_running_loop().time() - began < 5
        execution = await pair.two.run(ExecutionRequest("probe"))
        assert execution.state is ExecutionState.REJECTED

        await pair.one.enable("probe", by="dana")
        await event()
    await workers(pair.two, 1)
    assert await pair.two.call("probe") > 0


async def test_grants_settings_levels_and_secrets_count_on_both(pair: Pair) -> None:
    async with tells(pair.two, GrantsChanged) as event:
        await pair.one.grant("probe", ["secrets.read:KEY"], by="dana")
        await event()
    assert [each.capability for each in (await pair.two.installation("probe")).grants if each.granted_by] == [
        "secrets.read:KEY"
    ]

    async with tells(pair.two, ConfigChanged) as event:
        await pair.one.config.change("probe", ConfigOrder({"greeting": "Hi"}), by="dana")
        await event()
    assert (await pair.two.installation("probe")).installation.config == {"greeting": "Hi"}

    await pair.one.policies.change("probe", {"concurrency": 7}, by="dana")
    await pair.one.log_levels.set("probe", 10, by="dana")
    await pair.one.secrets.set("probe", "KEY", "value", by="dana")
    await pair.one.secrets.set(SHARED, "COMMON", "value", by="dana")
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not (await pair.two.log_levels.show("probe")) or len(await pair.two.secrets.list()) < 2:
            await asyncio.sleep(0.05)
    assert await pair.two._parts.vault.read("probe", "KEY") == "value"
    assert {value.key: value.value for value in await pair.two.policies.show("probe")}["concurrency"] == 7


async def test_triggers_and_policies_count_on_both_and_each_tick_runs_once(pair: Pair) -> None:
    registry = pair.two._parts.registry
    await pair.one.triggers.add("probe", {"event": "track.*", "name": "tracks"}, by="dana")
    await pair.one.triggers.add("probe", {"interval": "1 s", "name": "often"}, by="dana")
    await pair.one.policies.change("probe", {"retries": 3}, by="dana")
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while "probe/tracks" not in registry.listened_to:
            await asyncio.sleep(0.02)
        while not any(each.value == 3 for each in await pair.two.policies.show("probe")):
            await asyncio.sleep(0.02)
        pair.two.bus.publish("track.played", {})
        found: set[str] = set()
        while len(found) < 4:
            await asyncio.sleep(0.1)
            found = {each.trigger_id + each.key for each in await pair.two.executions() if each.trigger_id}
    ticks = [each for each in await pair.one.executions() if each.trigger_id == "probe/often"]
    assert len({each.key for each in ticks}) == len(ticks)

    await pair.one.triggers.pause("probe/tracks", by="dana")
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while registry.listened_to:
            await asyncio.sleep(0.02)
    assert (await pair.two.triggers.show("probe/tracks")).condition == "paused"


async def test_the_switch_and_a_removal_count_on_both(pair: Pair) -> None:
    now = datetime.now(UTC)
    await pair.two.start("probe")
    await pair.one._parts.supervisor.switch(SwitchState(False, "maintenance", "dana", now))
    await workers(pair.two, 0)
    await pair.one._parts.supervisor.switch(SwitchState(set_at=now))
    await workers(pair.two, 1)

    async with tells(pair.two, Removed) as event:
        await pair.one.remove("probe", by="dana")
        await event()
    assert await pair.two.installations() == ()
    assert pair.two._parts.supervisor.all_living() == ()


async def test_an_audit_of_two_hosts_is_one_chain(pair: Pair) -> None:
    for number in range(20):
        await (pair.one if number % 2 else pair.two).scale("probe", 1 + number % 3, by="dana")
    await pair.one.audit_trail.read()
    await pair.two.audit_trail.read()
    report = await pair.one.audit_trail.verify()
    assert (report.broken_at, report.entries >= 20) == (None, True)


async def test_a_host_that_stops_leaves_its_queue_to_the_other(
    settings_of: Callable[[str], Settings], tmp_path: Path
) -> None:
    extra = "[tool.moorage.limits]\nconcurrency = 1"
    project = write_plugin(tmp_path / "plugins", CODE, extra=extra)
    async with Host(settings_of("two")) as two:
        await two.install(project)
        async with Host(settings_of("one")) as one:
            await one.install(project)
            async with tells(one, ExecutionStarted) as event:
                running = await one.submit(ExecutionRequest("probe", "forever"))
                await event()
            waiting = await one.submit(ExecutionRequest("probe"))
            await one.drain(timedelta(0))
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while not (found := await two.execution(waiting.id)).state.is_outcome:
                await asyncio.sleep(0.05)
        assert found.state is ExecutionState.SUCCEEDED
        assert (await two.execution(running.id)).state is ExecutionState.CANCELLED
        assert [each.name for each in await two._parts.store.hosts.list() if each.alive]
