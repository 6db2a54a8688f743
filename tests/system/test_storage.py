"""Private folders of real workers: bounded by grants, copied, brought back, taken away, deleted; and removal."""

from __future__ import annotations

import asyncio
import io
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
from plugin_projects import write_plugin

from moorage.app import Host
from moorage.app.removal import DataUndecided
from moorage.app.storage import SnapshotUnknown
from moorage.errors import NotFound
from moorage.events.events import ExecutionProgressed
from moorage.models.config import ConfigOrder
from moorage.models.execution import ExecutionRequest, ExecutionState
from moorage.models.incarnation import VerdictKind
from moorage.supervisor.tree import TreeRefused

TIMEOUT_SECONDS = 30
MIB = 2**20

CODE = """
    import os
    import time
    from pathlib import Path
    from typing import List, Optional
    from moorage_sdk import Context, Plugin
    from moorage_sdk.storage import Storage

    plugin = Plugin()

    @plugin.task
    def execute(input: str, storage: Storage) -> List[str]:
        (storage / "notes").mkdir(exist_ok=True)
        (storage / "notes" / input).write_text(input)
        return sorted(os.listdir(storage / "notes"))

    @plugin.task
    def look(storage: Storage) -> List[int]:
        usage = storage.usage()
        return [usage.used_bytes, usage.limit_bytes, usage.files, usage.limit_files]

    @plugin.task
    def fill(input: int) -> str:
        with open("/data/much", "wb") as file:
            for _ in range(input):
                file.write(os.urandom(2**20))
        time.sleep(3)
        return "full"

    @plugin.task
    def hollow() -> None:
        with open("/data/sparse", "wb") as file:
            file.truncate(2**27)

    @plugin.task
    def slow(ctx: Context, storage: Storage) -> str:
        ctx.progress(0.5, "writing")
        (storage / "half").write_text("half")
        time.sleep(1)
        (storage / "half").rename(storage / "whole")
        return "whole"
"""


@pytest.fixture
async def probe(host: Host, tmp_path: Path) -> Host:
    await host.install(write_plugin(tmp_path, CODE, required=["storage.use:64MiB"]), grant_required=True)
    return host


async def notes(host: Host, text: str) -> list[str]:
    found: list[str] = await host.call("probe", "execute", text)
    return found


async def test_usage_is_what_was_granted_and_is_there(probe: Host) -> None:
    assert await notes(probe, "a") == ["a"]
    used, limit, files, limit_files = await probe.call("probe", "look")
    assert (limit, files, limit_files) == (64 * MIB, 2, 10_000)
    assert 0 < used < MIB
    seen = await probe.storage.usage("probe")
    assert (seen.limit_bytes, seen.files) == (64 * MIB, 2)
    assert (await probe.installation("probe")).installation.manifest.private_data


async def test_a_larger_grant_counts_at_once_and_without_one_there_is_little_room(host: Host, tmp_path: Path) -> None:
    await host.install(write_plugin(tmp_path, CODE, optional=["storage.use:64MiB"]))
    crashed = await host.run(ExecutionRequest("probe", "fill", 3))
    assert crashed.error is not None
    assert crashed.error.type == VerdictKind.DISK_FULL
    assert "may hold 1 MiB" in crashed.error.message
    assert "storage.use" in crashed.error.message

    await host.grant("probe", ["storage.use:16MiB"], by="ada")
    assert (await host.storage.usage("probe")).limit_bytes == 16 * MIB
    assert await host.call("probe", "fill", 3) == "full"


async def test_a_grant_that_grows_while_a_worker_runs_spares_it(host: Host, tmp_path: Path) -> None:
    await host.install(write_plugin(tmp_path, CODE, optional=["storage.use:64MiB"]))
    await host.start("probe")
    await host.grant("probe", ["storage.use:64MiB"], by="ada")
    assert await host.call("probe", "fill", 3) == "full"


async def test_a_snapshot_is_brought_back(probe: Host) -> None:
    await notes(probe, "a")
    taken = await probe.storage.snapshot("probe", by="dana")
    assert await notes(probe, "b") == ["a", "b"]
    later = await probe.storage.snapshot("probe", by="dana")
    assert [each.id for each in await probe.storage.snapshots("probe")] == [later.id, taken.id]

    assert (await probe.storage.restore("probe", taken.id, by="dana")).id == taken.id
    assert await notes(probe, "c") == ["a", "c"]
    await probe.storage.restore("probe")
    assert await notes(probe, "d") == ["a", "b", "d"]
    with pytest.raises(SnapshotUnknown, match="moorage storage probe snapshots"):
        await probe.storage.restore("probe", "../other")
    actions = [entry.action for entry in await probe.audit(installation="probe")]
    assert actions.count("snapshot") == 2
    assert actions.count("restore") == 2


async def test_what_runs_finishes_before_a_copy_and_what_comes_waits_for_it(probe: Host) -> None:
    async with probe.events.subscribe(ExecutionProgressed) as events:
        running = asyncio.create_task(probe.run(ExecutionRequest("probe", "slow")))
        await asyncio.wait_for(events.__anext__(), TIMEOUT_SECONDS)
        copying = asyncio.create_task(probe.storage.snapshot("probe"))
        await asyncio.sleep(0)
        waiting = asyncio.create_task(notes(probe, "after"))
        taken = await copying
    assert (await running).state is ExecutionState.SUCCEEDED
    assert await waiting == ["after"]
    folder = probe.settings.state_dir / "snapshots" / "probe" / taken.id / "data"
    assert [path.name for path in folder.iterdir()] == ["whole"]


async def exported(host: Host) -> list[str]:
    chunks = [chunk async for chunk in await host.storage.export("probe", by="dana")]
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
        return sorted(tar.getnames())


async def test_an_export_holds_the_files_alone_whatever_lies_there(probe: Host) -> None:
    """At the level `full` a plugin can make neither links nor pipes; at others it can."""
    await notes(probe, "a")
    await probe.call("probe", "hollow")
    data = probe.settings.state_dir / "data" / "probe"
    (data / "etc").symlink_to("/etc")
    (data / "loop").symlink_to(data)
    os.mkfifo(data / "pipe")
    async with asyncio.timeout(TIMEOUT_SECONDS):
        assert await exported(probe) == ["probe", "probe/notes", "probe/notes/a", "probe/sparse"]
        taken = await probe.storage.snapshot("probe")
        await probe.storage.restore("probe", taken.id)
        assert await notes(probe, "b") == ["a", "b"]
        await probe.storage.delete("probe")
    assert (await probe.storage.usage("probe")).files == 0


async def test_an_export_that_would_never_end_is_refused(open_host, tmp_path: Path, settings) -> None:
    supervision = settings.supervision.model_copy(update={"snapshot_bytes": 100 * MIB})
    async with open_host(supervision=supervision) as host:
        await host.install(write_plugin(tmp_path, CODE, required=["storage.use:64MiB"]), grant_required=True)
        await host.call("probe", "hollow")
        with pytest.raises(TreeRefused, match="holes included"):
            await host.storage.export("probe")


async def test_of_one_without_data_an_export_is_empty(probe: Host) -> None:
    assert await exported(probe) == ["probe"]


async def test_deleting_takes_the_data_and_its_copies(probe: Host) -> None:
    await notes(probe, "a")
    await probe.storage.snapshot("probe")
    await probe.storage.delete("probe", by="dana")
    assert (await probe.storage.usage("probe")).files == 0
    assert await probe.storage.snapshots("probe") == ()
    assert await notes(probe, "b") == ["b"]


async def test_removal_asks_about_data_and_keeps_it_when_told_so(probe: Host, tmp_path: Path) -> None:
    await notes(probe, "a")
    await probe.secrets.set("probe", "KEY", "value")
    await probe.log_levels.set("probe", 10)
    with pytest.raises(DataUndecided, match="--data keep, or --data delete"):
        await probe.remove("probe")
    assert await notes(probe, "b") == ["a", "b"]

    report = await probe.remove("probe", data="keep", by="dana")
    assert report.data == "keep"
    with pytest.raises(NotFound):
        await probe.installation("probe")
    with pytest.raises(NotFound):
        await probe.run(ExecutionRequest("probe", "look"))
    assert await probe.secrets.list() == ()
    assert "remove" in [entry.action for entry in await probe.audit(installation="probe")]

    await probe.install(tmp_path / "probe", grant_required=True)
    assert await notes(probe, "c") == ["a", "b", "c"]
    assert await probe.secrets.list("probe") == ()
    assert await probe.log_levels.show("probe") == ()
    assert all(entry.origin != "run time" for entry in (await probe.config.show("probe")).entries)


async def test_removal_deletes_data_and_forgets_all_it_was_given(probe: Host, tmp_path: Path) -> None:
    await notes(probe, "a")
    await probe.storage.snapshot("probe")
    await probe.config.change("probe", ConfigOrder({"greeting": "ahoy"}))
    assert (await probe.remove("probe", data="delete", by="dana")).data == "delete"
    state = probe.settings.state_dir
    assert not (state / "data" / "probe").exists()
    assert not (state / "snapshots" / "probe").exists()
    with pytest.raises(NotFound):
        await probe.remove("probe")

    await probe.install(tmp_path / "probe", grant_required=True)
    assert await notes(probe, "b") == ["b"]
    assert (await probe.config.show("probe")).entries == ()


async def test_one_without_data_is_removed_without_a_question(host: Host, tmp_path: Path) -> None:
    await host.install(write_plugin(tmp_path, CODE))
    assert (await host.remove("probe")).data is None
    assert await host.installations() == ()


@pytest.mark.parametrize("fails", ["the data", "the store"])
async def test_a_removal_that_was_broken_off_is_repeated(
    probe: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    """Never is there data that belongs to nobody, for the next one of that name to find."""
    await notes(probe, "a")
    data = probe.settings.state_dir / "data" / "probe"
    broken = {"the data": probe._parts.snapshots, "the store": probe._parts.store.installations}[fails]
    name = {"the data": "forget", "the store": "remove"}[fails]

    def refuse(*_args: object, **_options: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(broken, name, refuse)
        with pytest.raises(OSError, match="Input/output"):
            await probe.remove("probe", data="delete")
    assert data.exists() == (fails == "the data")
    assert not (await probe.installation("probe")).installation.desired.enabled

    await probe.remove("probe", data="delete")
    assert not data.exists()
    await probe.install(tmp_path / "probe", grant_required=True)
    assert await notes(probe, "b") == ["b"]


async def test_data_that_nobody_was_asked_about_is_kept(probe: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was written after the question whether there is any, and before the worker was gone."""
    data = probe.settings.state_dir / "data" / "probe"
    forbid = probe._parts.supervisor.forbid

    async def late(*args: Any, **options: Any) -> Any:
        data.mkdir(parents=True, exist_ok=True)
        (data / "late").write_text("late")
        return await forbid(*args, **options)

    monkeypatch.setattr(probe._parts.supervisor, "forbid", late)
    assert (await probe.remove("probe")).data == "keep"
    assert (data / "late").read_text() == "late"
