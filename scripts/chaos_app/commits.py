"""Kills the host just after a commit, before it has recorded the outcome: do the two agree when the next host is up?"""

from __future__ import annotations

import argparse
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import closing
from http.client import HTTPException
from pathlib import Path
from typing import Any

import ledger
from world import CONFIG, PLUGIN, Refused, World

INSTALLATION = "victim"
#: Executions that run at one time, so that there is always one about to commit.
CLIENTS = 4
SETTLED_SECONDS = 60.0
COMMIT_SECONDS = 30.0

SETTINGS = CONFIG.replace('app.db"', 'app.db"\ncommit_table = true')


class Submitting:
    """Clients that submit until they are stopped or the host is gone."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._submit) for _ in range(CLIENTS)]

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _submit(self) -> None:
        while not self._over.is_set():
            try:
                self._world.ask("POST", f"/installations/{INSTALLATION}/executions", {"input": 0.0, "wait": True})
            except (OSError, HTTPException, Refused):
                return


def committed(database: Path) -> set[str]:
    """What the database says to have been committed."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)) as connection:
        return {execution for (execution,) in connection.execute("SELECT execution FROM moorage_commit")}


def kill_after_a_commit(world: World) -> set[str]:
    """Returns what was committed and had no outcome when the host died."""
    database = f"file:{world.database}?mode=ro"
    with closing(sqlite3.connect(database, uri=True, timeout=10)) as connection, Submitting(world):
        until = time.monotonic() + COMMIT_SECONDS
        before = _newest(connection)
        while _newest(connection) == before:
            if time.monotonic() > until:
                raise SystemExit(f"commits: nothing was committed:\n{world.last_words()}")
        world.kill_host()
    states = ledger.outcomes(world.settings.store_path)
    return {one for one in committed(world.database) if states[one] not in ledger.OUTCOMES}


def _newest(connection: sqlite3.Connection) -> int:
    """What PRAGMA data_version tells: it changes with each commit of another connection (sqlite.org/pragma.html)."""
    (version,) = connection.execute("PRAGMA data_version").fetchone()
    return int(version)


def run(world: World, count: int) -> dict[str, Any]:
    world.start_host()
    world.ask(
        "POST",
        "/installations",
        {"path": str(PLUGIN), "name": INSTALLATION, "grant_required": True},
        timeout_seconds=300,
    )
    between, kills = 0, 0
    while between < count:
        world.ask("POST", f"/installations/{INSTALLATION}/start", {})
        caught = kill_after_a_commit(world)
        kills += 1
        between += bool(caught)
        world.start_host()
        if kills % 20 == 0:
            print(f"commits: {kills} kills, {between} of them between commit and outcome", flush=True)
    unsettled = ledger.wait_until_settled(world.settings.store_path, SETTLED_SECONDS)
    world.stop_host()
    states = ledger.outcomes(world.settings.store_path)
    found = disagreements(states, committed(world.database), ledger.effects(world.database))
    return {
        "kills": kills,
        "between commit and outcome": between,
        "outcomes": dict(Counter(states.values())),
        "executions without an outcome": unsettled,
        "commit and outcome disagree": len(found),
        "problems": found[:20],
    }


def disagreements(states: dict[str, str], commits: set[str], effects: Counter[str]) -> list[str]:
    """In sentences. Pure."""
    done = {one for one, state in states.items() if state == "succeeded"}
    found = [f"{one} is {states.get(one, 'unknown')}, and was committed" for one in sorted(commits - done)]
    found += [f"{one} is {states.get(one, 'unknown')}, and has its effect" for one in sorted(effects.keys() - done)]
    found += [f"{one} succeeded, and has {effects[one]} effects" for one in sorted(done) if effects[one] != 1]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/commits", description=__doc__)
    parser.add_argument("--count", type=int, default=200, metavar="N", help="kills between commit and outcome (200)")
    asked = parser.parse_args()
    folder, run_folder = Path(tempfile.mkdtemp(prefix="commits-")), Path(tempfile.mkdtemp(prefix="cmr-"))
    folder.chmod(0o755)
    world = World(folder, run_folder, SETTINGS)
    try:
        report = run(world, asked.count)
    finally:
        world.end()
        shutil.rmtree(run_folder, ignore_errors=True)
    for name, value in report.items():
        print(f"  {name:<32} {value}")
    good = not report["commit and outcome disagree"] and not report["executions without an outcome"]
    print(f"commits: {'commit and outcome agree' if good else f'NOT well; its folder: {folder}'}")
    if good:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
