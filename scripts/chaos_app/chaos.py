"""Random SIGKILLs under load: what is left behind, and what is lost. Prints the figures; none may be above 0."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from http.client import HTTPException
from pathlib import Path
from typing import Any

import inventory
import ledger
from inventory import Process
from world import INSTALLATIONS, PLUGIN, Refused, World, is_root

TARGETS = ("worker",) * 6 + ("zygote",) * 2 + ("host",) * 2
CLIENTS = 4
#: Within that time a kill must have ended all that depends on its victim.
GONE_SECONDS = 10.0
SETTLED_SECONDS = 120.0
#: A worker is there again, under load, within this time; else the round takes another victim.
VICTIM_SECONDS = 10.0
WARM_UP_SECONDS = 2.0
UIDS_OF_A_HOST = 1000
EACH = 50


class Chaos:
    """The rounds, and what they showed."""

    def __init__(self, world: World, dice: random.Random) -> None:
        self._world = world
        self._dice = dice
        self.killed: Counter[str] = Counter()
        self.orphans: set[Process] = set()
        self.gone_seconds: list[float] = []
        self.restart_seconds: list[float] = []
        self.seen: set[Process] = set()

    def round(self) -> None:
        """One victim, at a random moment, and all that must go with it."""
        target = self._dice.choice(TARGETS)
        time.sleep(self._dice.uniform(0, 0.2))
        workers, zygotes = self._living()
        self.seen |= workers | zygotes
        if target == "host":
            self._world.kill_host()
            self._expect_gone(workers | zygotes)
            self.restart_seconds.append(self._world.start_host())
        elif target == "zygote":
            victim = self._dice.choice(sorted(zygotes))
            _kill(victim)
            self._expect_gone({victim} | {one for one in workers if _parent_was(one, victim, workers, zygotes)})
        else:
            victim = self._dice.choice(sorted(workers))
            _kill(victim)
            self._expect_gone({victim})
        self.killed[target] += 1

    def _living(self) -> tuple[set[Process], set[Process]]:
        """Workers and zygotes of the host, at least one of each."""
        began = time.monotonic()
        while True:
            workers, zygotes = inventory.workers_and_zygotes(self._pids(), self._world.pid)
            if workers and zygotes:
                return workers, zygotes
            if time.monotonic() - began > VICTIM_SECONDS:
                raise SystemExit(f"chaos: no worker came up again under load:\n{self._world.last_words()}")
            time.sleep(0.01)

    def _pids(self) -> list[int]:
        try:
            found = self._world.ask("GET", "/installations")["items"]
        except (OSError, HTTPException, Refused):
            return []
        return [worker["pid"] for one in found for worker in one["incarnations"] if worker["state"] != "stopped"]

    def _expect_gone(self, processes: set[Process]) -> None:
        left, seconds = inventory.wait_until_gone(processes, GONE_SECONDS)
        self.orphans |= left
        self.gone_seconds.append(seconds)


def _kill(victim: Process) -> None:
    if victim.alive:
        os.kill(victim.pid, signal.SIGKILL)


def _parent_was(worker: Process, zygote: Process, workers: set[Process], zygotes: set[Process]) -> bool:
    """With one zygote every worker is its child; with several the kernel's word at the time of the kill is gone."""
    return len(zygotes) == 1 and worker in workers and zygote in zygotes


def install(world: World) -> None:
    for name in INSTALLATIONS:
        body = {"path": str(PLUGIN), "name": name, "grant_required": True}
        world.ask("POST", "/installations", body, timeout_seconds=300)
        world.ask("POST", f"/installations/{name}/start", {})


def quiet_descriptors(world: World) -> Counter[str]:
    """Of a host that has nothing to do and no worker: the least that was seen for a while."""
    world.ask("POST", "/unload-all", {}, timeout_seconds=120)
    lowest = world.descriptors()
    for _ in range(50):
        time.sleep(0.02)
        lowest = min(lowest, world.descriptors(), key=Counter.total)
    return lowest


def run(world: World, count: int, seed: int) -> dict[str, Any]:
    dice = random.Random(seed)
    mounts = inventory.mounts()
    world.start_host()
    install(world)
    with ledger.Load(world, CLIENTS, seed):
        # What a host keeps open for later, such as its store's connections, is there after some work.
        time.sleep(WARM_UP_SECONDS)
    ledger.wait_until_settled(world.settings.store_path, SETTLED_SECONDS)
    descriptors = quiet_descriptors(world)
    chaos = Chaos(world, dice)
    with ledger.Load(world, CLIENTS, seed) as load:
        for number in range(1, count + 1):
            chaos.round()
            if number % EACH == 0 or number == count:
                print(f"chaos: {number} of {count} kills, {len(load.accepted)} executions accepted", flush=True)
    unsettled = ledger.wait_until_settled(world.settings.store_path, SETTLED_SECONDS)
    descriptors_left = ledger.leaked(descriptors, quiet_descriptors(world))
    sockets = inventory.sockets(world.settings)
    exit_code = world.stop_host()
    orphans = {one for one in chaos.orphans | chaos.seen if one.alive}
    if is_root():
        orphans |= inventory.owned_by(world.settings.first_uid, UIDS_OF_A_HOST)
    states = ledger.outcomes(world.settings.store_path)
    found = ledger.problems(load.accepted, states, ledger.effects(world.database))
    return {
        "kills": dict(chaos.killed),
        "accepted": len(load.accepted),
        "refused": dict(load.refused),
        "outcomes": dict(Counter(states.values())),
        "gone_ms": _milliseconds(chaos.gone_seconds),
        "restart_ms": _milliseconds(chaos.restart_seconds),
        "orphans": len(orphans | chaos.orphans),
        "leaked sockets": len(sockets),
        "leaked descriptors": descriptors_left.total(),
        "of these": dict(descriptors_left),
        "leaked mounts": max(0, inventory.mounts() - mounts),
        "leaked cgroups": len(inventory.cgroups(world.settings)),
        "leaked transactions": 0 if ledger.writer_lock_is_free(world.database) else 1,
        # The plugin's tasks raise nothing, and a start that a kill ended is waited out.
        "executions that failed": sum(state == "failed" for state in states.values()),
        "of these errors": ledger.errors(world.settings.store_path),
        "executions without one outcome": len(found) + unsettled,
        "stops that did not end well": int(exit_code != 0),
        "problems": found[:20],
    }


def _milliseconds(seconds: list[float]) -> str:
    if not seconds:
        return "none"
    return f"median {statistics.median(seconds) * 1000:.0f}, longest {max(seconds) * 1000:.0f}"


#: What has to be 0.
ZEROES = (
    "orphans",
    "leaked sockets",
    "leaked descriptors",
    "leaked mounts",
    "leaked cgroups",
    "leaked transactions",
    "executions that failed",
    "executions without one outcome",
    "stops that did not end well",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/chaos", description=__doc__)
    parser.add_argument("--count", type=int, default=100, metavar="N", help="kills (100)")
    parser.add_argument("--seed", type=int, default=None, metavar="S", help="repeats the choices of another run")
    asked = parser.parse_args()
    seed = asked.seed if asked.seed is not None else random.SystemRandom().randrange(10**6)
    print(f"chaos: {asked.count} kills, seed {seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    folder.chmod(0o755)
    run_folder = Path(tempfile.mkdtemp(prefix="chr-"))
    world = World(folder, run_folder)
    try:
        report = run(world, asked.count, seed)
    finally:
        world.end()
        shutil.rmtree(run_folder, ignore_errors=True)
    for name, value in report.items():
        print(f"  {name:<32} {value}")
    good = not any(report[name] for name in ZEROES)
    print(f"chaos: {'nothing lost, nothing left behind' if good else f'NOT well; its folder: {folder}'}")
    if good:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
