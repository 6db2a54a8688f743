"""Restarts a host again and again under load, and counts what was lost, and what was done twice."""

from __future__ import annotations

import argparse
import json
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from load import Load

from moorage.models.execution import ExecutionState

HERE = Path(__file__).parent
READY_SECONDS = 60
SETTLED_SECONDS = 120


class Stage:
    """One state folder, and the hosts that use it one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "state" / "moorage.db"
        self.ledger = folder / "ledger.db"
        self.socket = folder / "run" / "api.sock"
        with closing(sqlite3.connect(self.ledger)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("CREATE TABLE entries (text TEXT NOT NULL)")
        (folder / "moorage.toml").write_text(
            f"""
            state_dir = "state"
            run_dir = "run"
            kafka = {{}}
            plugins.folders = ["{HERE / "plugin"}"]
            sql.main.url = "sqlite:///ledger.db"
            installations.ledger.grant = ["sql.write:entries"]
            """.replace("            ", "")
        )

    @contextmanager
    def host(self) -> Iterator[subprocess.Popen[bytes]]:
        process = subprocess.Popen(
            [sys.executable, "-m", "moorage", "--config", "moorage.toml", "serve", "--json"],
            cwd=self.folder,
            stdout=subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            if not json.loads(process.stdout.readline() or b"{}").get("ready"):
                raise SystemExit("rolling: the host did not become ready; its own words stand above")
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(READY_SECONDS)
            process.stdout.close()

    def states(self) -> Counter[str]:
        with closing(sqlite3.connect(f"file:{self.store}?mode=ro", uri=True)) as connection:
            return Counter(dict(connection.execute("SELECT state, count(*) FROM executions GROUP BY state")))

    def outcomes(self) -> dict[str, tuple[str, str]]:
        """State and entry of each execution."""
        with closing(sqlite3.connect(f"file:{self.store}?mode=ro", uri=True)) as connection:
            rows = connection.execute("SELECT id, state, input FROM executions").fetchall()
        return {identity: (state, json.loads(given)["text"]) for identity, state, given in rows}

    def entries(self) -> Counter[str]:
        with closing(sqlite3.connect(self.ledger)) as connection:
            return Counter(text for (text,) in connection.execute("SELECT text FROM entries"))


def roll(stage: Stage, count: int, seed: int) -> dict[str, Any]:
    chance = random.Random(seed)
    load, taken_up, stops, absences = None, 0, [], []
    for number in range(count + 1):
        went = time.monotonic()
        with stage.host() as host:
            absences.append(time.monotonic() - went)
            load = load or Load(stage.socket, seed)
            if number == count:
                break_off(stage, load)
            else:
                time.sleep(chance.uniform(0.5, 1.5))
            asked = time.monotonic()
            host.send_signal(signal.SIGTERM)
            if host.wait(SETTLED_SECONDS) != 0:
                raise SystemExit(f"rolling: a host that was asked to stop ended with {host.returncode}")
            stops.append(time.monotonic() - asked)
        open_ones = stage.states()
        taken_up += open_ones[ExecutionState.QUEUED]
        if open_ones[ExecutionState.RUNNING]:
            raise SystemExit("rolling: a host that stopped in order left executions running")
        print(f"rolling: stop {number + 1} of {count + 1}", file=sys.stderr)
    assert load is not None
    return figures(stage, load, count) | {
        "left to the next host": taken_up,
        "longest stop, s": round(max(stops), 2),
        "longest start, s": round(max(absences[1:]), 2),
    }


def break_off(stage: Stage, load: Load) -> None:
    """The last host runs what is left."""
    load.stop()
    until = time.monotonic() + SETTLED_SECONDS
    while any(stage.states()[state] for state in ExecutionState if not state.is_outcome):
        if time.monotonic() > until:
            raise SystemExit(f"rolling: executions are still open after {SETTLED_SECONDS} s: {stage.states()}")
        time.sleep(0.05)


def figures(stage: Stage, load: Load, count: int) -> dict[str, Any]:
    outcomes, entries = stage.outcomes(), stage.entries()
    done = {text for state, text in outcomes.values() if state == ExecutionState.SUCCEEDED}
    states = Counter(state for state, _ in outcomes.values() if state != ExecutionState.REJECTED)
    return {
        "restarts": count,
        "accepted": sum(states.values()),
        "succeeded": states[ExecutionState.SUCCEEDED],
        "lost": len(load.accepted - outcomes.keys()),
        "not succeeded": sum(states.values()) - states[ExecutionState.SUCCEEDED],
        "done twice": sum(times > 1 for times in entries.values()),
        "succeeded and not done": len(done - entries.keys()),
        "done and not succeeded": len(entries.keys() - done),
        "answers": dict(sorted(load.answers.items())),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/rolling", description=__doc__)
    parser.add_argument("--count", type=int, default=20, help="how many restarts (20)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON")
    parser.add_argument("--relative-to", type=Path, default=Path(), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mrg-roll-") as folder:
        found = roll(Stage(Path(folder)), arguments.count, arguments.seed)
    for name, value in found.items():
        print(f"{name:<28}{value}")
    if arguments.json:
        (arguments.relative_to / arguments.json).write_text(json.dumps(found, indent=2) + "\n")
    broken = ("lost", "not succeeded", "done twice", "succeeded and not done", "done and not succeeded")
    raise SystemExit(any(found[name] for name in broken))


if __name__ == "__main__":
    main()
