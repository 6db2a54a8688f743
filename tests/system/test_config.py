"""Settings changed while real workers run."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from plugin_projects import write_plugin

from moorage.app import Host
from moorage.app.config import NotSetAtRunTime
from moorage.config.settings import Settings
from moorage.events.events import ConfigChanged, ExecutionProgressed
from moorage.models.config import ConfigOrder, ConfigOrigin, ConfigView, Hearing
from moorage.models.execution import ExecutionRequest, ExecutionState
from moorage.packages.config_schema import ConfigInvalid
from moorage.supervisor.errors import NotRunnable

TIMEOUT_SECONDS = 30

CODE = """
    import threading
    import time
    from dataclasses import dataclass
    from typing import List
    from moorage_sdk import Context, Plugin
    from moorage_sdk.config import Config, ConfigChange

    @dataclass
    class Mine:
        greeting: str = "hello"
        retries: int = 3

    plugin = Plugin(settings=Mine)
    changes = []
    go = threading.Event()

    @plugin.on_config_changed
    def changed(mine: Mine, change: ConfigChange):
        changes.append(f"{','.join(change.keys)}: {change.before['greeting']} -> {mine.greeting}")
        go.set()
        if mine.greeting == "no":
            raise ValueError("never that")

    @plugin.task
    def execute(mine: Mine, config: Config) -> List[str]:
        return [mine.greeting, str(config["greeting"]), *changes]

    @plugin.task
    def slow(mine: Mine, config: Config, ctx: Context) -> List[str]:
        ctx.progress(0.5, "waiting")
        go.wait(20)
        return [mine.greeting, config["greeting"]]
"""

SCHEMA = """
    [tool.moorage.config]
    type = "object"
    additionalProperties = false
    properties.greeting = { type = "string", default = "hello" }
    properties.retries = { type = "integer", default = 3 }
"""


def project(folder: Path, extra: str = SCHEMA) -> Path:
    return write_plugin(folder, CODE, required=["config.read:**"], extra=extra)


@pytest.fixture
async def probe(host: Host, tmp_path: Path) -> Host:
    await host.install(project(tmp_path), grant_required=True)
    return host


async def change(host: Host, **values: object) -> ConfigView:
    return await host.config.change("probe", ConfigOrder(values), by="dana")


async def test_new_executions_have_the_new_settings_and_running_ones_what_they_were_given(probe: Host) -> None:
    async with probe.events.subscribe(ExecutionProgressed, ConfigChanged) as events:
        running = asyncio.create_task(probe.run(ExecutionRequest("probe", "slow")))
        await asyncio.wait_for(events.__anext__(), TIMEOUT_SECONDS)
        view = await change(probe, greeting="ahoy")
        told = await asyncio.wait_for(events.__anext__(), TIMEOUT_SECONDS)
    assert isinstance(told, ConfigChanged)
    assert (told.keys, told.by) == (("greeting",), "dana")
    assert [heard.hearing for heard in view.heard] == [Hearing.TAKEN]
    assert (await running).result == ["hello", "ahoy"]
    assert await probe.call("probe") == ["ahoy", "ahoy", "greeting: hello -> ahoy"]
    assert "set greeting" in [entry.message for entry in await probe.audit(installation="probe")]
    assert (await probe.installation("probe")).installation.config["greeting"] == "ahoy"


async def test_what_does_not_fit_is_refused_and_nobody_is_told(probe: Host) -> None:
    await probe.start("probe")
    for values in ({"retries": "many"}, {"greting": "x"}):
        with pytest.raises(ConfigInvalid, match=r"retries|greeting"):
            await change(probe, **values)
    with pytest.raises(NotSetAtRunTime, match="greeting of probe was not set at run time"):
        await probe.config.change("probe", ConfigOrder(unset=("greeting",)))
    assert await probe.call("probe") == ["hello", "hello"]


async def test_a_hook_that_says_no_is_shown_and_the_settings_count(probe: Host) -> None:
    await probe.start("probe")
    view = await change(probe, greeting="no")
    (heard,) = view.heard
    assert heard.hearing is Hearing.REFUSED
    assert "never that" in heard.sentence
    assert (await probe.call("probe"))[:2] == ["no", "no"]


async def test_nothing_is_called_where_no_value_changes(probe: Host) -> None:
    await probe.start("probe")
    view = await change(probe, greeting="hello")
    assert (view.changed, view.heard) == ((), ())
    assert {entry.key: entry.origin for entry in view.entries} == {
        "greeting": ConfigOrigin.RUN_TIME,
        "retries": ConfigOrigin.DEFAULT,
    }
    assert await probe.call("probe") == ["hello", "hello"]


async def test_what_install_was_given_and_what_was_set_outlive_reloads_and_the_host(open_host, tmp_path: Path) -> None:
    plugin = project(tmp_path)
    settings = Settings.model_validate({"installations": {"probe": {"config": {"greeting": "of the file"}}}})
    changes = {"installations": settings.installations}
    async with open_host(**changes) as host:
        await host.install(plugin, grant_required=True, config={"greeting": "of install"})
        assert (await host.call("probe"))[0] == "of install"
        await host.reload("probe")
        assert (await host.call("probe"))[0] == "of install"
        await change(host, retries=7)
        await host.install(plugin)
    async with open_host(**changes) as host:
        assert (await host.call("probe"))[0] == "of install"
        shown = {entry.key: entry for entry in (await host.config.show("probe")).entries}
        assert (shown["retries"].value, shown["retries"].set_by) == (7, "dana")
        view = await host.config.change("probe", ConfigOrder(unset=("greeting",)), by="dana")
        assert view.changed == ("greeting",)
        assert (await host.call("probe"))[0] == "of the file"


async def test_a_worker_is_not_started_on_settings_that_do_not_fit(open_host, tmp_path: Path) -> None:
    async with open_host() as host:
        await host.install(project(tmp_path), grant_required=True)
        assert (await host.call("probe"))[0] == "hello"
    wrong = Settings.model_validate({"installations": {"probe": {"config": {"retries": "many"}}}})
    async with open_host(installations=wrong.installations) as host:
        with pytest.raises(NotRunnable, match="retries"):
            await host.start("probe")
        assert "retries" in (await host.config.show("probe")).problem
        await change(host, retries=5)
        assert (await host.run(ExecutionRequest("probe"))).state is ExecutionState.SUCCEEDED


async def test_one_that_starts_while_settings_change_is_told_when_it_is_ready(host: Host, tmp_path: Path) -> None:
    waiting = (
        CODE
        + """
    @plugin.on_load
    def load():
        time.sleep(1)
"""
    )
    await host.install(write_plugin(tmp_path, waiting, required=["config.read:**"], extra=SCHEMA), grant_required=True)
    starting = asyncio.create_task(host.start("probe"))
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not any(each.status.pid for each in host._parts.supervisor.living("probe")):
            await asyncio.sleep(0.01)
        assert (await change(host, greeting="ahoy")).heard == ()
        await starting
        while (await host.call("probe"))[0] != "ahoy":
            await asyncio.sleep(0.01)
    assert await host.call("probe") == ["ahoy", "ahoy", "greeting: hello -> ahoy"]


async def test_a_settings_class_that_does_not_take_them_keeps_the_old_ones(host: Host, tmp_path: Path) -> None:
    loose = '[tool.moorage.config]\ntype = "object"\nproperties.greeting = { default = "hello" }'
    await host.install(project(tmp_path, loose), grant_required=True)
    await host.start("probe")
    (heard,) = (await change(host, greeting=5)).heard
    assert heard.hearing is Hearing.REFUSED
    assert "greeting" in heard.sentence
    assert (await host.call("probe"))[:2] == ["hello", "5"]
