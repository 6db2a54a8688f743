"""What it costs to run a plugin in a sandbox: its start, its calls, its memory.

Everything is measured in turn with what it is compared to, after a pause: the kernel takes the network namespace of the
worker before apart in the background, and that would be timed otherwise.
"""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from lone import LoneWorkers

from moorage.app import Host
from moorage.app.wiring import Wiring
from moorage.config.settings import Settings

PLUGIN = Path(__file__).parent / "plugin"
ZYGOTE, FRESH = "bench-zygote", "bench-fresh"
PAUSE_SECONDS = 0.12

IMPORT = "python -c 'import grpc.aio'"
ALONE = {ZYGOTE: "a worker to its first answer, zygote", FRESH: "a worker to its first answer, fresh"}
WHOLE = {ZYGOTE: "Supervisor.start to ready, zygote", FRESH: "Supervisor.start to ready, fresh"}
SANDBOXED, UNSANDBOXED = "call to the host, sandboxed", "call to the host, unsandboxed"

#: Times the import, times the unsandboxed call, and MiB: what issue and design ask for.
AIMS = {ALONE[ZYGOTE]: 0.25, ALONE[FRESH]: 1.1}
MEMORY_AIM = 4.5


@dataclass(frozen=True)
class Cost:
    #: Seconds, for each round.
    starts: Mapping[str, Sequence[float]]
    #: Seconds: medians of many calls, for each round.
    calls: Mapping[str, Sequence[float]]
    #: Workers alive to MiB of proportional memory of one, its part of the zygote included.
    memory: Mapping[int, float]
    #: Of the workers.
    python: str
    load: tuple[float, float, float] = field(default_factory=os.getloadavg)


async def measure(folder: Path, rounds: int, alive: Sequence[int], calls: int, python: str = "") -> Cost:
    """``alive``: how many workers live when memory is measured, ascending.

    ``python``: of the workers, such as "3.12"; empty: the host's choice.
    """
    config = {"payload": "x" * 64}
    settings = Settings.model_validate(
        {
            "state_dir": folder / "cost",
            "run_dir": folder / "run-cost",
            "installations": {ZYGOTE: {"config": config}, FRESH: {"config": config, "start": "fresh"}},
        }
    )
    plugin = _plugin(folder / "plugin", python)
    names = [f"bench-idle-{number}" for number in range(alive[-1])]
    async with Host(settings) as host:
        for name in (ZYGOTE, FRESH, *names):
            await host.install(plugin, name=name, grant_required=True)
    async with Wiring(settings, ()) as wiring:
        lone = LoneWorkers(wiring, settings)
        try:
            starts = await _starts(wiring, lone, rounds)
            spent = await _calls(lone, max(rounds // 3, 3), calls)
        finally:
            await lone.close()
        memory, found = await _memory(wiring, names, alive)
    return Cost(starts, spent, memory, found)


def _plugin(folder: Path, python: str) -> Path:
    shutil.copytree(PLUGIN, folder)
    manifest = folder / "pyproject.toml"
    preference = f'prefer_python = ["{python}"]\n' if python else ""
    manifest.write_text(manifest.read_text().replace("[tool.moorage]\n", f"[tool.moorage]\n{preference}", 1))
    return folder


# -- start -----------------------------------------------------------------------------------------------------------


async def _starts(wiring: Wiring, lone: LoneWorkers, rounds: int) -> Mapping[str, Sequence[float]]:
    seconds: dict[str, list[float]] = defaultdict(list)
    for number in range(rounds + 1):
        for name in (ZYGOTE, FRESH):
            await asyncio.sleep(PAUSE_SECONDS)
            async with lone.start(name) as worker:
                seconds[ALONE[name]].append(worker.seconds)
            await asyncio.sleep(PAUSE_SECONDS)
            seconds[WHOLE[name]].append(await _whole(wiring, name))
            seconds[IMPORT].append(await _import())
        if number == 0:
            # The first start of all makes the zygote.
            seconds.clear()
    return seconds


async def _whole(wiring: Wiring, name: str) -> float:
    began = time.perf_counter()
    await wiring.supervisor.start(name)
    taken = time.perf_counter() - began
    await wiring.supervisor.stop(name, "measured")
    return taken


async def _import() -> float:
    """Of a bare interpreter: what a worker of its own would take at least."""
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "import grpc.aio")
    await process.wait()
    return time.perf_counter() - began


# -- call ------------------------------------------------------------------------------------------------------------


async def _calls(lone: LoneWorkers, rounds: int, calls: int) -> Mapping[str, Sequence[float]]:
    seconds: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for label, plain in ((SANDBOXED, False), (UNSANDBOXED, True)):
            await asyncio.sleep(PAUSE_SECONDS)
            async with lone.start(ZYGOTE, plain=plain) as worker:
                seconds[label].append(await worker.run("lone_async", {"calls": calls}))
    return seconds


# -- memory ----------------------------------------------------------------------------------------------------------


async def _memory(wiring: Wiring, names: Sequence[str], alive: Sequence[int]) -> tuple[Mapping[int, float], str]:
    """Of workers that are idle after a first execution."""
    found, pids, python = {}, [], ""
    for number, name in enumerate(names, 1):
        incarnation = await wiring.supervisor.start(name)
        await incarnation.export_state()
        pids.append(incarnation.status.pid)
        python = incarnation.status.python
        if number in alive:
            family = {*pids, *(psutil.Process(pid).ppid() for pid in pids)}
            found[number] = sum(map(proportional_bytes, family)) / number / 2**20
    for name in names:
        await wiring.supervisor.stop(name, "measured")
    return found, python


def proportional_bytes(pid: int) -> int:
    """As an ordinary user the kernel does not tell of a worker's proportional memory; its resident size is more."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except PermissionError:
        return int(psutil.Process(pid).memory_info().rss)
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


# -- shown -----------------------------------------------------------------------------------------------------------


def figures(cost: Cost) -> dict[str, float]:
    """Starts as times the import, calls as times the unsandboxed one, memory in MiB."""
    bare, unsandboxed = statistics.median(cost.starts[IMPORT]), statistics.median(cost.calls[UNSANDBOXED])
    return {
        **{name: statistics.median(cost.starts[name]) / bare for name in (*ALONE.values(), *WHOLE.values())},
        SANDBOXED: statistics.median(cost.calls[SANDBOXED]) / unsandboxed,
        **{memory_name(alive): mib for alive, mib in cost.memory.items()},
    }


def memory_name(alive: int) -> str:
    return f"MiB of an idle worker, {alive} alive"


def show(cost: Cost) -> None:
    one, five, _ = cost.load
    print(
        f"\ncost of the sandbox: Python {platform.python_version()} here, {cost.python} in the workers;"
        f" {os.cpu_count()} cores, load {one:.1f} (1 min), {five:.1f} (5 min)"
    )
    ratios = figures(cost)
    print(f"{'start':<42}{'median':>10}{'p90':>10}{'x import':>10}{'aim':>7}")
    for name in (IMPORT, *ALONE.values(), *WHOLE.values()):
        ordered = sorted(cost.starts[name])
        middle, late = statistics.median(ordered) * 1e3, ordered[int(len(ordered) * 0.9)] * 1e3
        print(f"{name:<42}{middle:>7.1f} ms{late:>7.1f} ms{ratios.get(name, 1.0):>9.2f}x{AIMS.get(name, ''):>7}")
    for name in (SANDBOXED, UNSANDBOXED):
        micros = statistics.median(cost.calls[name]) * 1e6
        print(f"{name:<42}{micros:>7.1f} us{'':>10}{ratios.get(name, 1.0):>9.2f}x")
    for alive, mib in cost.memory.items():
        print(f"{memory_name(alive):<42}{mib:>7.2f} MiB{'':>19}{MEMORY_AIM if alive >= 100 else '':>6}")
