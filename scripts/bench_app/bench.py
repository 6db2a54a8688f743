"""Speed and memory of Moorage, as ratios to bare gRPC measured in the same run, round by round."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import cost
import executions
import kill
import schedules
import services
import uvloop

from moorage.app import Host
from moorage.config.settings import Settings
from moorage_sandbox.plan import GRPC_ENV

HERE = Path(__file__).parent
PROBE = "bench-probe"
PAYLOAD = "x" * 64


@dataclass(frozen=True)
class Scale:
    rounds: int
    calls: int
    throughput_calls: int
    starts: int
    alive: tuple[int, ...]


QUICK = Scale(rounds=5, calls=1500, throughput_calls=20_000, starts=10, alive=(20,))
FULL = Scale(rounds=15, calls=5000, throughput_calls=100_000, starts=40, alive=(20, 100))

#: What is aimed at here; lower is better but for calls a second.
AIMS = {
    "call from async plugin code": 1.5,
    "call from sync plugin code": 2.0,
    "call to the plugin": 2.0,
    "small call beside a bulk stream": 3.0,
    "calls a second, 256 in flight": 8.0,
}


# -- baselines -------------------------------------------------------------------------------------------------------


class Baseline:
    """Bare gRPC between two other processes."""

    def __init__(self, dialler: asyncio.subprocess.Process) -> None:
        self._dialler = dialler

    async def ping_pong(self, calls: int) -> float:
        """Median seconds of one message there and back on a bidirectional stream."""
        return await self._ask(f"ping {calls}")

    async def unary_rate(self, calls: int, in_flight: int = 32) -> float:
        """Unary calls a second."""
        return await self._ask(f"unary {calls} {in_flight}")

    async def _ask(self, question: str) -> float:
        stdin, stdout = self._dialler.stdin, self._dialler.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(f"{question}\n".encode())
        return float(await stdout.readline())


@asynccontextmanager
async def baseline(folder: Path, settings: Mapping[str, str]) -> AsyncIterator[Baseline]:
    """``settings``: variables of gRPC; none are its defaults, whatever the host's own."""
    socket = folder / f"baseline-{len(settings)}.sock"
    async with end_of_baseline("serve", socket, settings) as server:
        assert server.stdout is not None
        async with asyncio.timeout(30):
            await server.stdout.readline()
        async with end_of_baseline("dial", socket, settings) as dialler:
            yield Baseline(dialler)


@asynccontextmanager
async def end_of_baseline(
    role: str, socket: Path, settings: Mapping[str, str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("GRPC_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(HERE / "baseline.py"),
        role,
        str(socket),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**env, **settings},
    )
    try:
        yield process
    finally:
        process.terminate()
        await process.wait()


# -- Moorage ---------------------------------------------------------------------------------------------------------


async def measure_calls(host: Host, bare: Baseline, tuned: Baseline, scale: Scale) -> dict[str, float]:
    """One round: each figure beside its own baseline, moments apart."""
    tuned_ping = await tuned.ping_pong(scale.calls)
    ping = await bare.ping_pong(scale.calls)
    count = {"calls": scale.calls}
    from_async = await host.call(PROBE, "lone_async", count)
    from_sync = await host.call(PROBE, "lone_sync", count)
    to_plugin = await host_to_plugin(host, scale.calls)
    beside = await host.call(PROBE, "beside_bulk", {"calls": scale.calls // 3})
    ping = statistics.mean((ping, await bare.ping_pong(scale.calls)))
    unary = await bare.unary_rate(scale.throughput_calls // 4)
    rate = await host.call(PROBE, "in_flight", {"calls": scale.throughput_calls})
    return {
        "bare ping-pong, us": ping * 1e6,
        "the same with the host's settings, us": tuned_ping * 1e6,
        "bare unary calls a second": unary,
        "bulk beside it, MB/s": beside["bytes_per_second"] / 1e6,
        "call from async plugin code": from_async / ping,
        "call from sync plugin code": from_sync / ping,
        "call to the plugin": to_plugin / ping,
        "small call beside a bulk stream": beside["median_seconds"] / ping,
        "calls a second, 256 in flight": rate / unary,
    }


async def host_to_plugin(host: Host, calls: int) -> float:
    samples = []
    for _ in range(calls):
        began = time.perf_counter()
        await host.health(PROBE)
        samples.append(time.perf_counter() - began)
    return statistics.median(samples)


def make_database(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE blobs (content BLOB)")
        connection.executemany("INSERT INTO blobs VALUES (?)", [(os.urandom(65_000),) for _ in range(512)])
    connection.close()


async def bench(scale: Scale, folder: Path) -> dict[str, float]:
    make_database(folder / "bench.db")
    settings = Settings.model_validate(
        {
            "state_dir": folder / "state",
            "run_dir": folder / "run",
            "sql": {"main": {"url": f"sqlite:///{folder / 'bench.db'}"}},
            "installations": {PROBE: {"config": {"payload": PAYLOAD}}},
        }
    )
    async with Host(settings) as host, baseline(folder, {}) as bare, baseline(folder, GRPC_ENV) as tuned:
        await host.install(HERE / "plugin", name=PROBE, grant_required=True)
        await host.start(PROBE)
        await measure_calls(host, bare, tuned, QUICK)
        rounds = []
        for number in range(scale.rounds):
            print(f"bench: round {number + 1} of {scale.rounds}", file=sys.stderr)
            rounds.append(await measure_calls(host, bare, tuned, scale))
    return {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}


def show(figures: dict[str, float]) -> None:
    print(f"\n{'figure':<40}{'measured':>12}{'aim':>8}")
    for name, value in figures.items():
        aim = AIMS.get(name)
        ratio = aim is not None
        print(f"{name:<40}{value:>11.2f}{'x' if ratio else ' '}{'' if aim is None else f'{aim:g}':>8}")
    print("\nx: times the bare figure of the same run. More is better for calls a second, less for the others.")


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds: about a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON")
    parser.add_argument("--relative-to", type=Path, default=Path(), help=argparse.SUPPRESS)
    parser.add_argument("--kill", action="store_true", help="only how long a kill of a tree of processes takes")
    parser.add_argument(
        "--cost", action="store_true", help="only what a sandboxed worker's start, calls and memory cost"
    )
    parser.add_argument("--services", action="store_true", help="only what the broker adds to a call of each service")
    parser.add_argument("--orchestration", action="store_true", help="only schedules, executions, and triggers")
    parser.add_argument("--python", default="", metavar="3.12", help="of the workers whose cost is measured")
    arguments = parser.parse_args()
    # That a stream of a worker was refused, say, which was killed while it dialled.
    logging.disable(logging.WARNING)
    scale = QUICK if arguments.quick else FULL
    with (
        tempfile.TemporaryDirectory(prefix="mrg-bench-") as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        if arguments.kill:
            kill.show(runner.run(kill.measure(Path(folder), 10 if arguments.quick else 30)))
            return
        if arguments.services:
            measured = runner.run(services.measure(Path(folder), *((3, 200) if arguments.quick else (7, 1000))))
            services.show(measured)
            return
        if arguments.orchestration:
            rounds, messages = (3, 1_000) if arguments.quick else (7, 5_000)
            schedules.show(runner.run(schedules.measure(Path(folder) / "schedules", rounds=rounds)))
            executions.show(runner.run(executions.measure(Path(folder), rounds=rounds, messages=messages)))
            return
        figures = {} if arguments.cost else runner.run(bench(scale, Path(folder)))
        spent = runner.run(cost.measure(Path(folder), scale.starts, scale.alive, QUICK.calls, arguments.python))
    if figures:
        show(figures)
    cost.show(spent)
    if arguments.json:
        report = {"figures": figures | cost.figures(spent), "aims": AIMS | cost.AIMS}
        (arguments.relative_to / arguments.json).write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
