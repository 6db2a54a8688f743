"""A worker is ended without its host: by the run record, the control group, and nothing that the host must answer."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from plugin_projects import write_plugin

from moorage.app import Host
from moorage.config.settings import Settings
from moorage.models.incarnation import IncarnationState, VerdictKind
from moorage.supervisor.cgroups import Cgroups, tree_name
from moorage.supervisor.direct import NoRecord, NotYours, RecordStale, end_directly
from moorage.supervisor.records import Records, record_of
from moorage_sandbox import cgroup

TIMEOUT_SECONDS = 30

PLUGIN = """
    from moorage_sdk import Plugin

    plugin = Plugin()

    @plugin.task
    def execute() -> str:
        return "done"
"""

HOST = """
import asyncio, json, sys
from pathlib import Path
from moorage.app import Host
from moorage.config.settings import Settings
from moorage.events.events import Unloaded, Crashed

async def main() -> None:
    settings = Settings.model_validate_json(sys.argv[1])
    async with Host(settings) as host:
        await host.install(Path(sys.argv[2]), grant_required=True)
        async with host.events.subscribe(Unloaded, Crashed) as ends:
            view = await host.start("victim")
            print(view.incarnations[0].pid, flush=True)
            async for event in ends:
                verdict = event.incarnation.verdict
                print(json.dumps({"kind": verdict.kind, "sentence": verdict.sentence}), flush=True)
                break

asyncio.run(main())
"""


@asynccontextmanager
async def running_host(settings: Settings, project: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """A host process, and its worker's pid."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOST, settings.model_dump_json(), str(project)), stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(60):
            line = await process.stdout.readline()
        assert line, "the host ended early; its standard error says why"
        yield process, int(line)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        groups = Cgroups(settings.state_dir)
        groups.open()
        groups.close()


async def run(*arguments: object) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "moorage", *map(str, arguments)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "SUDO_USER": "grace"},
    )
    async with asyncio.timeout(TIMEOUT_SECONDS):
        output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


def settings_file(settings: Settings, folder: Path) -> Path:
    file = folder / "moorage.toml"
    file.write_text(f'state_dir = "{settings.state_dir}"\nrun_dir = "{settings.run_dir}"\n')
    return file


async def test_a_stopped_host_without_a_database_is_not_needed(settings: Settings, tmp_path: Path) -> None:
    project = write_plugin(tmp_path, PLUGIN, name="victim")
    config = settings_file(settings, tmp_path)
    async with running_host(settings, project) as (host, pid):
        (record,) = Records(settings.state_dir).of("victim")
        assert record.pid == pid
        host.send_signal(signal.SIGSTOP)
        moved = [path.rename(tmp_path / path.name) for path in settings.state_dir.glob("moorage.db*")]
        assert moved

        code, output = await run("--config", config, "kill", "victim", "--direct")

        assert code == 0, output
        assert re.search(r"victim #1: killed directly by (cgroup.kill|freezer|signals|pidfd); 1 process gone", output)
        assert not record.alive
        if record.group is not None:
            assert not cgroup.populated(record.group)
        code, output = await run("--config", config, "kill", "victim", "--direct")
        assert (code, "is gone already" in output, "Nothing was killed" in output) == (1, True, True), output

        # The host goes on, and finds why.
        for path in moved:
            path.rename(settings.state_dir / path.name)
        host.send_signal(signal.SIGCONT)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            told = json.loads(await host.stdout.readline())
            await host.wait()
        assert told == {"kind": "killed_by_operator", "sentence": "Killed directly by grace."}
    assert Records(settings.state_dir).installations() == ()
    assert stored_verdict(settings) == "killed_by_operator"


def stored_verdict(settings: Settings) -> str:
    connection = sqlite3.connect(settings.store_path)
    try:
        (row,) = connection.execute("SELECT * FROM incarnations").fetchall()
        return next(kind for kind in VerdictKind if kind.value in map(str, row) or f'"{kind.value}"' in str(row))
    finally:
        connection.close()


async def test_names_that_have_no_worker_are_told(settings: Settings, host: Host, tmp_path: Path) -> None:
    config = settings_file(settings, tmp_path)
    code, output = await run("--config", config, "kill", "victim", "--direct")
    assert (code, "No worker of victim runs" in output, "none of any installation" in output) == (66, True, True), (
        output
    )
    await host.install(write_plugin(tmp_path, PLUGIN, name="present"))
    await host.start("present")
    for name in ("absent", "../present", "present/..", "", ".present"):
        with pytest.raises(NoRecord, match="There is one of: present"):
            end_directly(settings.state_dir, name, "grace")
    assert await host.call("present") == "done"


async def test_a_reused_pid_is_left_alone(settings: Settings, tmp_path: Path) -> None:
    """The record names this very process, with the start time of another."""
    records = Records(settings.state_dir)
    mine = record_of("victim", 3, "victim-3", os.getpid(), None)
    for stale in (replace(mine, started=mine.started - 1), replace(mine, boot_id="another boot")):
        records.write(stale)
        with pytest.raises(RecordStale, match=f"names process {os.getpid()}"):
            end_directly(settings.state_dir, "victim", "grace")
    assert mine.alive


async def test_a_record_is_no_key_to_other_groups(settings: Settings, tmp_path: Path) -> None:
    """A record's group counts in the state folder's own tree alone: here the process alone is ended."""
    bystander = await asyncio.create_subprocess_exec("sleep", "60")
    victim = await asyncio.create_subprocess_exec("sleep", "60")
    groups = Cgroups(tmp_path / "other")
    groups.open()
    try:
        member = groups.enter("victim", 3, "", cgroup.Bounds(1 << 28, 64))
        if member is not None:
            cgroup.join(member.group, bystander.pid)
        record = record_of("victim", 3, "victim-3", victim.pid, member.group if member else None)
        Records(settings.state_dir).write(record)
        (ended,) = end_directly(settings.state_dir, "victim", "grace")
        assert (ended.method, ended.processes) == ("pidfd", 1)
        assert await victim.wait() == -signal.SIGKILL
        assert bystander.returncode is None
        os.kill(bystander.pid, 0)
    finally:
        bystander.kill()
        await bystander.wait()
        groups.close()


OTHER_UID = 62_002


@pytest.fixture
def others(tmp_path: Path) -> Path:
    """A state folder of another user, for whom root is about to end a worker."""
    if os.geteuid() != 0:
        pytest.skip("only root acts for other users")
    folder = tmp_path / "others"
    (folder / "run" / "victim").mkdir(parents=True)
    return folder


def forge(folder: Path, pid: int, **claims: object) -> None:
    """What its owner may write there."""
    record = {**asdict(record_of("victim", 3, "victim-3", pid, None)), **claims}
    (folder / "run" / "victim" / "3.json").write_text(json.dumps(record))
    for path in (folder, *folder.rglob("*")):
        os.chown(path, OTHER_UID, OTHER_UID, follow_symlinks=False)


async def test_another_users_record_ends_his_own_processes_alone(others: Path, tmp_path: Path) -> None:
    roots = await asyncio.create_subprocess_exec("sleep", "60")
    his = await asyncio.create_subprocess_exec("sleep", "60", user=OTHER_UID)
    Records(tmp_path / "roots").write(record_of("q", 3, "q-3", roots.pid, None))
    try:
        forge(others, roots.pid)
        with pytest.raises(NotYours, match=f"belongs to user {OTHER_UID}"):
            end_directly(others, "victim", "root")
        # It names the place of a record that is root's.
        forge(others, roots.pid, installation="../../../roots/run/q")
        with pytest.raises(NoRecord):
            end_directly(others, "victim", "root")
        assert sorted(path.name for path in (tmp_path / "roots" / "run" / "q").iterdir()) == ["3.json"]
        forge(others, his.pid)
        (ended,) = end_directly(others, "victim", "root")
        assert ended.method == "pidfd"
        assert await his.wait() == -signal.SIGKILL
        note = others / "run" / "victim" / "3.killed"
        assert (note.stat().st_uid, Records(others).killed_by("victim", 3)) == (OTHER_UID, "root")
        assert roots.returncode is None
    finally:
        for process in (roots, his):
            if process.returncode is None:
                process.kill()
                await process.wait()


async def test_a_process_does_not_choose_its_user_by_its_name(others: Path) -> None:
    """Of all that some take for the end of a line, the kernel escapes only one in names."""
    name = f"b'\\xff\\x0bUid:\\t{OTHER_UID}'"
    code = f"import ctypes; ctypes.CDLL(None).prctl(15, {name}, 0, 0, 0); print(flush=True); input()"
    roots = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert roots.stdout is not None
        await roots.stdout.readline()
        forge(others, roots.pid)
        with pytest.raises(NotYours):
            end_directly(others, "victim", "root")
        assert roots.returncode is None
    finally:
        roots.kill()
        await roots.communicate()


async def test_a_folder_of_ordinary_files_is_no_control_group(others: Path, tmp_path: Path) -> None:
    """Else root would write into whatever its files lead to, and signal whom they name."""
    roots_file = tmp_path / "roots_file"
    roots_file.write_text("untouched")
    his = await asyncio.create_subprocess_exec("sleep", "60", user=OTHER_UID)
    group = others / tree_name(others) / "i-victim" / "3"
    group.mkdir(parents=True)
    (group / "cgroup.kill").symlink_to(roots_file)
    (group / "cgroup.events").write_text("populated 0\n")
    (group / "cgroup.procs").write_text("")
    try:
        forge(others, his.pid, cgroup={"unified": str(group)})
        (ended,) = end_directly(others, "victim", "root")
        assert (ended.method, roots_file.read_text()) == ("pidfd", "untouched")
    finally:
        await his.wait()


@pytest.mark.parametrize("kind", ["pipe", "link", "huge", "types", "outer link", "inner link"])
async def test_what_is_no_record_is_left_alone(others: Path, tmp_path: Path, kind: str) -> None:
    path = others / "run" / "victim" / "3.json"
    genuine = json.dumps(asdict(record_of("victim", 3, "victim-3", os.getpid(), None)))
    (tmp_path / "3.json").write_text(genuine)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to(tmp_path / "3.json")
    elif kind == "huge":
        path.write_text(genuine + " " * 70_000)
    elif kind == "types":
        path.write_text(json.dumps({**json.loads(genuine), "pid": "1/../1"}))
    else:
        folder = path.parent if kind == "inner link" else path.parent.parent
        folder.rename(tmp_path / "moved")
        folder.symlink_to(tmp_path / "moved")
        (tmp_path / "moved" / ("3.json" if kind == "inner link" else "victim/3.json")).write_text(genuine)
    assert Records(others).of("victim") == ()
    with pytest.raises(NoRecord):
        end_directly(others, "victim", "root")


async def test_a_killed_worker_is_started_again_when_it_is_needed(
    settings: Settings, host: Host, tmp_path: Path
) -> None:
    await host.install(write_plugin(tmp_path, PLUGIN, name="victim"))
    await host.start("victim")
    (ended,) = await asyncio.to_thread(end_directly, settings.state_dir, "victim", "grace")
    assert ended.record.number == 1
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while (await host.installation("victim")).incarnations[-1].state is not IncarnationState.STOPPED:
            await asyncio.sleep(0.01)
        assert await host.call("victim") == "done"
    first = (await host.installation("victim")).incarnations[-1]
    assert first.verdict.kind is VerdictKind.KILLED_BY_OPERATOR
    assert first.verdict.sentence == "Killed directly by grace."
