"""How long it takes to kill a worker with many descendants: from the request until the kernel says none is left."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from moorage.app import Host
from moorage.config.settings import Settings
from moorage.supervisor.cgroups import Cgroups
from moorage.supervisor.records import Records
from moorage_sandbox import cgroup

NAME = "bench-forker"
DESCENDANTS = 64
AIM_MS = 15
_DEADLINE_SECONDS = 10


@dataclass(frozen=True)
class Kills:
    """Milliseconds, for each round."""

    #: From the request until the group is empty.
    empty: list[float] = field(default_factory=list)
    #: Until the host has released everything as well.
    done: list[float] = field(default_factory=list)
    #: The kernel's part alone, of as many small programs: from the write to cgroup.kill until the group is empty.
    bare: list[float] = field(default_factory=list)


async def measure(folder: Path, rounds: int) -> Kills:
    settings = Settings.model_validate({"state_dir": folder / "state", "run_dir": folder / "run"})
    kills = Kills()
    async with Host(settings) as host:
        await host.install(Path(__file__).parent / "forker", name=NAME, grant_required=True)
        for _ in range(rounds):
            empty, done = await kill_once(host, settings)
            kills.empty.append(empty)
            kills.done.append(done)
            await asyncio.sleep(0.12)  # not synchronisation: the teardown of the last namespaces is not ours to time
            kills.bare.append(await asyncio.to_thread(kill_bare, folder))
    return kills


async def kill_once(host: Host, settings: Settings) -> tuple[float, float]:
    await host.call(NAME, input=DESCENDANTS)
    (record,) = Records(settings.state_dir).of(NAME)
    group = record.group
    if group is None:
        raise SystemExit("There is no control group here in which to see the end: moorage doctor says why.")
    living = len(cgroup.processes(group))
    if living <= DESCENDANTS:
        raise SystemExit(f"Only {living} processes live; {DESCENDANTS} descendants were asked for.")
    watch = asyncio.create_task(asyncio.to_thread(emptied_at, group))
    await asyncio.sleep(0.05)  # not synchronisation: the watching thread is to be asleep
    began = time.perf_counter()
    await host.kill(NAME)
    done = time.perf_counter()
    return (await watch - began) * 1e3, (done - began) * 1e3


def kill_bare(folder: Path) -> float:
    groups = Cgroups(folder / "bare")
    groups.open()
    try:
        member = groups.enter("bare", 1, "", cgroup.Bounds())
        assert member is not None, "kill_once has found groups"
        programs = [subprocess.Popen(["sleep", "60"], start_new_session=True) for _ in range(DESCENDANTS)]
        for program in programs:
            cgroup.join(member.group, program.pid)
        began = time.perf_counter()
        cgroup.kill(member.group)
        taken = (emptied_at(member.group) - began) * 1e3
        for program in programs:
            program.wait()
        return taken
    finally:
        groups.close()


def emptied_at(group: cgroup.Group) -> float:
    if not cgroup.wait_until_empty(group, _DEADLINE_SECONDS):
        raise SystemExit("Processes survived.")
    return time.perf_counter()


def show(kills: Kills) -> None:
    rounds = len(kills.empty)
    print(
        f"\nkill of a worker with {DESCENDANTS} descendants, half of them daemons, all deaf to SIGTERM; {rounds} times"
    )
    rows = {
        "request to populated 0": kills.empty,
        "request to everything released": kills.done,
        "the kernel alone, with `sleep`s": kills.bare,
    }
    for name, values in rows.items():
        ordered = sorted(values)
        aim = f"   aim {AIM_MS}" if values is kills.empty else ""
        median, p90 = statistics.median(values), ordered[int(len(ordered) * 0.9)]
        print(f"{name:<34}median {median:6.1f} ms   p90 {p90:6.1f} ms{aim}")
