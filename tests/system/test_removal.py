"""What becomes of all that belongs to an installation when it is removed, and what the next one of its name finds."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from pathlib import Path

import pytest
from plugin_projects import write_plugin

from moorage.app import Host
from moorage.app.removal import DataUndecided
from moorage.events.events import ExecutionAccepted
from moorage.models.execution import ExecutionRequest, ExecutionState
from moorage.store.errors import InstallationUnknown

TIMEOUT_SECONDS = 30

CODE = """
    import pathlib
    from moorage_sdk import Context, Plugin
    from moorage_sdk.events import Events

    plugin = Plugin()

    @plugin.task
    def execute() -> list:
        return sorted(path.name for path in pathlib.Path("/data").iterdir())

    @plugin.task
    def write() -> None:
        pathlib.Path("/data/kept").write_text("kept")

    @plugin.task
    def wait(ctx: Context, events: Events) -> str:
        events.publish("probe.began", {})
        ctx.wait_cancelled(0.3)
        return "done"
"""
TRIGGERS = """
private_data = true

[[tool.moorage.triggers]]
interval = "1 h"
"""


def project(folder: Path) -> Path:
    return write_plugin(folder, CODE, required=["events.publish:probe.*"], extra=TRIGGERS)


async def install(host: Host, folder: Path) -> None:
    await host.install(project(folder), grant_required=True)


async def test_what_runs_finishes_and_what_waits_is_rejected_with_a_sentence(host: Host, tmp_path: Path) -> None:
    await install(host, tmp_path)
    async with asyncio.timeout(TIMEOUT_SECONDS), contextlib.aclosing(host.bus.subscribe("probe.began")) as began:
        running = asyncio.ensure_future(host.run(ExecutionRequest("probe", "wait")))
        await began.__anext__()
        waiting = [await host.submit(ExecutionRequest("probe")) for _ in range(3)]
        patient = await host.submit(ExecutionRequest("probe", patient=True, trigger="interval"))
        await host.remove("probe", data="delete", by="dana")
        ended = [await host.wait(each.id) for each in (*waiting, patient)]
        assert ((await running).state, (await running).result) == (ExecutionState.SUCCEEDED, "done")
    assert [each.state for each in ended] == [ExecutionState.REJECTED] * 4
    for each in ended:
        assert each.error is not None
        assert "probe" in each.error.message
        assert each.ended_at is not None
    with pytest.raises(InstallationUnknown):
        await host.submit(ExecutionRequest("probe"))


async def test_its_triggers_and_policies_are_gone(host: Host, tmp_path: Path) -> None:
    await install(host, tmp_path)
    store = host._parts.store
    await host.remove("probe", data="delete", by="dana")
    assert [each.id for each in await store.triggers.list()] == []
    assert await store.grants.list("probe") == ()
    assert "probe" not in {each.installation.id for each in await host.installations()}


async def test_the_next_of_its_name_starts_anew(host: Host, tmp_path: Path) -> None:
    await install(host, tmp_path)
    await host.call("probe", "write")
    await host.disable("probe", by="dana")
    await host.log_levels.set("probe", 10, duration=timedelta(hours=1), by="dana")
    with pytest.raises(DataUndecided, match="moorage remove probe --data keep, or --data delete"):
        await host.remove("probe", by="dana")
    assert (await host.installation("probe")).state == "disabled"
    await host.remove("probe", data="delete", by="dana")

    await host.install(project(tmp_path))
    view = await host.installation("probe")
    assert view.installation.desired.enabled
    assert view.state == "not granted"
    assert [grant.capability for grant in view.grants if grant.granted] == []
    assert view.log_levels == ()
    assert view.contributions is None
    await host.grant("probe", [])
    assert await host.call("probe") == []


async def test_data_that_was_kept_is_there_for_the_next_of_its_name(host: Host, tmp_path: Path) -> None:
    await install(host, tmp_path)
    await host.call("probe", "write")
    await host.remove("probe", data="keep", by="dana")
    await install(host, tmp_path)
    assert await host.call("probe") == ["kept"]


async def test_nothing_that_was_queued_before_runs_in_the_next(open_host, tmp_path: Path) -> None:
    """Neither in the same host nor after a restart."""
    async with open_host() as host:
        await install(host, tmp_path)
        async with asyncio.timeout(TIMEOUT_SECONDS), host.events.subscribe(ExecutionAccepted) as accepted:
            await host.switch.off(by="dana")
            await host.switch.on(by="dana")
            queued = asyncio.ensure_future(host.run(ExecutionRequest("probe", "write")))
            await accepted.__anext__()
            await host.remove("probe", data="delete", by="dana")
            first = await queued
    async with open_host() as host:
        await install(host, tmp_path)
        assert (await host.execution(first.id)).state.is_outcome
        assert await host.call("probe") == []
