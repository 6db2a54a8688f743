"""What starts executions by itself, in a real host with real workers: it fires, is changed, and outlives the host."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from plugin_projects import write_plugin

from moorage.app import Host
from moorage.app.triggers import TriggerRemoved, TriggerWithoutTarget
from moorage.config.settings import Settings, SettingsInvalid
from moorage.models.execution import Execution, ExecutionRequest, ExecutionState
from moorage.models.policy import Origin
from moorage.packages.triggers import TriggerInvalid
from moorage.store.errors import TriggerExists, TriggerUnknown

DEADLINE_SECONDS = 30

CODE = """
    from typing import Any
    from moorage_sdk import Context, Plugin

    plugin = Plugin()

    @plugin.task
    def execute(ctx: Context) -> str:
        return ctx.trigger

    @plugin.task
    def report(input: Any) -> Any:
        return input

    @plugin.task
    def fails(ctx: Context) -> int:
        if ctx.attempt < 3:
            raise LookupError("not yet")
        return ctx.attempt
"""

TRIGGERS = """
tags = ["AutoRun", "etl"]

[[tool.moorage.triggers]]
name = "often"
interval = "1 s"
paused = true

[[tool.moorage.triggers]]
name = "nightly"
cron = "0 6 * * *"
timezone = "Europe/Berlin"
task = "report"
input = { full = true }

[[tool.moorage.triggers]]
event = "track.*"
task = "report"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write_plugin(tmp_path, CODE, required=["events.subscribe:track.*"], extra=TRIGGERS)


async def ended(host: Host, trigger: str, count: int = 1) -> list[Execution]:
    """Waits until so many executions of a trigger have ended."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            found = [each for each in await host.executions(limit=200) if each.trigger_id == trigger]
            done = [await host.execution(each.id) for each in found if each.state.is_outcome]
            if len(done) >= count:
                return done
            await asyncio.sleep(0.05)


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not await condition():
            await asyncio.sleep(0.02)


async def test_each_kind_fires_and_is_shown(host: Host, project: Path) -> None:
    await host.install(project, grant_required=True)
    (started,) = await ended(host, "probe/autorun")
    assert (started.state, started.result, started.trigger) == (ExecutionState.SUCCEEDED, "startup", "startup")

    shown = {view.state.id: view for view in await host.triggers.list()}
    assert {name: view.condition for name, view in shown.items()} == {
        "probe/autorun": "active",
        "probe/event": "active",
        "probe/nightly": "active",
        "probe/often": "paused",
    }
    (run,) = shown["probe/nightly"].next_runs
    assert run > datetime.now(UTC)
    assert len((await host.triggers.show("probe/nightly")).next_runs) == 5

    await host.triggers.resume("probe/often", by="dana")
    assert (await ended(host, "probe/often", 2))[0].result == "interval"
    await host.triggers.pause("probe/often", reason="enough", by="dana")
    paused = (await host.triggers.show("probe/often")).state
    assert (paused.paused_by, paused.paused_reason) == ("dana", "enough")
    assert paused.fired >= 2

    host.bus.publish("track.played", {"title": "Blue"})
    (played,) = await ended(host, "probe/event")
    assert played.result["title"] == "Blue"

    (fired,) = await host.triggers.fire("probe/nightly", by="dana")
    assert (await host.wait(fired.id)).result == {"full": True}
    assert fired.by == "dana"
    actions = {entry.action for entry in await host.audit(installation="probe")}
    assert {"trigger resume", "trigger pause", "trigger fire"} <= actions


async def test_a_tick_is_one_execution_also_after_a_restart(settings: Settings, project: Path) -> None:
    async with Host(settings) as host:
        await host.install(project, grant_required=True)
        await ended(host, "probe/autorun")
        state = (await host.triggers.show("probe/nightly")).state
        due = datetime.now(UTC).replace(microsecond=0)
        # As if its time had come.
        await host._parts.store.triggers.schedule({state.id: (state.next_at, due)})
        await host.triggers.resume("probe/nightly")
        (tick,) = await ended(host, "probe/nightly")
        assert tick.key == f"probe/nightly@{due.isoformat().replace('+00:00', 'Z')}"
        await until(lambda: _moved_on(host, due))
        await host.triggers.change("probe/nightly", {"cron": "0 7 * * *", "attempts": 2}, by="dana")
        await host.triggers.pause("probe/event", reason="noise", by="dana")

    async with Host(settings) as host:
        view = await host.triggers.show("probe/nightly")
        assert (view.state.trigger.source, view.state.trigger.options["attempts"]) == ("0 7 * * *", 2)
        assert view.origins["source"] is Origin.PERSON
        assert view.origins["timezone"] is Origin.MANIFEST
        assert view.state.fired == 1
        assert (await host.triggers.show("probe/event")).condition == "paused"
        # Another start of the host is another start-up.
        assert len(await ended(host, "probe/autorun", 2)) == 2
        assert len(await ended(host, "probe/nightly")) == 1
        await host.triggers.reset("probe/nightly", by="dana")
        assert (await host.triggers.show("probe/nightly")).state.trigger.source == "0 6 * * *"


async def _moved_on(host: Host, due: datetime) -> bool:
    next_at = (await host.triggers.show("probe/nightly")).state.next_at
    return next_at is not None and next_at > due


async def test_settings_and_people_override_what_the_plugin_says(settings: Settings, project: Path) -> None:
    own = {"nightly": {"timezone": "UTC", "paused": True}, "more": {"interval": "1 h"}}
    everywhere = {"all": {"interval": "1 s", "select": {"tags": ["etl"]}, "paused": True}}
    changed = settings.model_dump(exclude_unset=True) | {
        "installations": {"probe": {"triggers": own, "policy": {"retries": 2, "backoff_first": 0}}},
        "triggers": everywhere,
    }
    async with Host(Settings.model_validate(changed)) as host:
        await host.install(project, grant_required=True)
        view = await host.triggers.show("probe/nightly")
        assert (view.condition, view.state.trigger.options["timezone"]) == ("paused", "UTC")
        assert view.origins["timezone"] is Origin.SETTINGS
        assert (await host.triggers.show("probe/more")).state.origin is Origin.SETTINGS
        assert (await host.triggers.show("all")).selected == ("probe",)
        await host.triggers.resume("all")
        assert (await ended(host, "all"))[0].installation == "probe"
        await host.triggers.remove("all", by="dana")
        assert (await host.triggers.show("all")).condition == "removed"
        with pytest.raises(TriggerRemoved, match="moorage trigger reset all"):
            await host.triggers.fire("all")

        added = await host.triggers.add("probe", {"cron": "0 8 * * *"}, by="dana")
        assert added.state.id == "probe/cron"
        with pytest.raises(TriggerExists):
            await host.triggers.add("probe", {"interval": "5 s", "name": "cron"})
        with pytest.raises(TriggerInvalid, match="For another kind, add another trigger"):
            await host.triggers.change("probe/cron", {"interval": "5 s"})
        with pytest.raises(TriggerInvalid, match="did you mean 'timezone'"):
            await host.triggers.change("probe/cron", {"timezon": "UTC"})
        await host.triggers.remove("probe/cron")
        with pytest.raises(TriggerUnknown):
            await host.triggers.show("probe/cron")

        run = await host.run(ExecutionRequest("probe", "fails"))
        assert (run.state, run.attempt, run.result) == (ExecutionState.SUCCEEDED, 3, 3)
        values = {each.key: each for each in await host.policies.change("probe", {"retries": "1"}, by="dana")}
        assert values["retries"].origin is Origin.PERSON
        assert (await host.run(ExecutionRequest("probe", "fails"))).state is ExecutionState.FAILED
        await host.policies.change("probe", {}, reset=["retries"], by="dana")
        assert (await host.run(ExecutionRequest("probe", "fails"))).state is ExecutionState.SUCCEEDED


async def test_what_people_add_change_and_fire_by_hand(host: Host, project: Path) -> None:
    await host.install(project, grant_required=True)
    await host.triggers.add("probe", {"interval": "1 h", "name": "hourly", "task": "report"})
    (fired,) = await host.triggers.fire("probe/hourly")
    told = (await ended(host, "probe/hourly"))[0]
    assert (told.id, told.state) == (fired.id, ExecutionState.SUCCEEDED)
    assert set(told.input) == {"trigger", "scheduled_at", "fired_at", "missed"}

    assert (await host.triggers.change("probe/nightly", {"cron": "0 7 * * *"})).state.trigger.source == "0 7 * * *"
    assert (await host.triggers.change("probe/nightly", {}, unset=["cron"])).state.trigger.source == "0 6 * * *"
    with pytest.raises(TriggerInvalid, match="jitter: nobody has changed it"):
        await host.triggers.change("probe/nightly", {}, unset=["jitter"])

    await host.triggers.add("probe", {"webhook": "orders", "name": "one"})
    await host.triggers.add("probe", {"webhook": "others", "name": "two"})
    with pytest.raises(TriggerInvalid, match="'orders' is the address of probe/one already"):
        await host.triggers.add("probe", {"webhook": "orders"})
    with pytest.raises(TriggerInvalid, match="'orders' is the address of probe/one already"):
        await host.triggers.change("probe/two", {"webhook": "orders"})


async def test_a_disabled_installation_is_started_by_nothing(host: Host, project: Path) -> None:
    await host.install(project, grant_required=True)
    await ended(host, "probe/autorun")
    await host.triggers.resume("probe/often")
    await ended(host, "probe/often")
    await host.disable("probe", by="dana")
    await until(lambda: _is_idle(host))
    count = len(await host.executions(limit=200))
    with pytest.raises(TriggerWithoutTarget, match=r"it is disabled\. Enable it: moorage enable probe"):
        await host.triggers.fire("probe/often")
    host.bus.publish("track.played", {})
    await asyncio.sleep(1.5)  # more than one tick would have come by now
    assert len(await host.executions(limit=200)) == count
    await host.enable("probe", by="dana")
    await until(lambda: _ticked(host, count))
    # Disabled and enabled, it is still the same start of the host.
    assert len([each for each in await host.executions(limit=200) if each.trigger_id == "probe/autorun"]) == 1


async def _is_idle(host: Host) -> bool:
    return {view.condition for view in await host.triggers.list("probe")} == {"idle"}


async def _ticked(host: Host, count: int) -> bool:
    return len(await host.executions(limit=200)) > count


async def test_a_trigger_of_the_application_and_a_wrong_setting(settings: Settings, project: Path) -> None:
    host = Host(settings)
    assert await host.add_trigger("probe", {"interval": "1 s", "name": "own", "task": "report"}) == "probe/own"
    async with host:
        await host.install(project, grant_required=True)
        (own, *_) = await ended(host, "probe/own")
        assert (own.state, own.input["trigger"]) == (ExecutionState.SUCCEEDED, "probe/own")
        assert await host.remove_trigger("probe/own")
        with pytest.raises(TriggerUnknown):
            await host.triggers.show("probe/own")
    wrong = settings.model_dump(exclude_unset=True) | {"triggers": {"all": {"corn": "0 6 * * *", "select": {}}}}
    with pytest.raises(SettingsInvalid, match="did you mean 'cron'"):
        async with Host(Settings.model_validate(wrong)):
            pass


async def test_the_author_is_told_of_a_right_that_is_missing(host: Host, tmp_path: Path) -> None:
    told: list[str] = []
    extra = '[[tool.moorage.triggers]]\nkafka = "orders"'
    await host.install(write_plugin(tmp_path, CODE, extra=extra), progress=told.append)
    (warning,) = [each for each in told if "trigger" in each]
    assert 'required = [{ allow = "kafka.consume:orders", because = "..." }]' in warning
    assert (await host.triggers.show("probe/kafka")).condition == "not granted"
