"""Outages at random moments while messages come in. Prints the figures; what was lost must be 0."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from http.client import HTTPException
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "chaos_app"), str(HERE.parents[1] / "tests" / "support")]

import psycopg  # noqa: E402 - its neighbours are found by the lines above
from outage_servers import Servers, servers  # noqa: E402
from outage_tally import verdict  # noqa: E402
from senders import Senders  # noqa: E402
from world import Refused, World  # noqa: E402

PLUGIN = HERE / "plugin"
INSTALLATION = "ledgers"

TARGETS = (
    *("worker", "worker", "host", "host", "redis", "postgres"),
    *("stall kafka", "cut off kafka", "stall servicebus", "cut off servicebus"),
)
#: How long something is away, and how long all is well between two outages.
OUTAGE_SECONDS = (0.1, 2.0)
PAUSE_SECONDS = (0.2, 1.0)
SETTLED_SECONDS = 300.0
EACH = 10

SETTINGS = """
state_dir = "state"
run_dir = "{{run}}"

[store]
url = "{store}"

[sql.main]
url = "{database}"
commit_table = true

[redis.main]
url = "{redis}"

[kafka.main]
bootstrap_servers = "{kafka}"
# What a dead host listened to is listened to again after this.
options = {{{{ "session.timeout.ms" = 6000 }}}}

[servicebus.main]
connection_string = "{servicebus}"

# Every kill counts as a crash: nothing may end in quarantine here, nor wait for longer and longer.
[supervision]
restarts = 1000000
backoff_most = 0.2
"""


def prepare(found: Servers) -> str:
    """The databases of the host's store and of the application; returns the settings of the host."""
    found.postgres.run("CREATE DATABASE store", "CREATE DATABASE app")
    found.postgres.run(
        "CREATE TABLE entries (id bigserial PRIMARY KEY, name text NOT NULL, execution text NOT NULL,"
        " attempt int NOT NULL)",
        database="app",
    )
    return SETTINGS.format(
        store=found.postgres.url(database="store"),
        database=found.postgres.url(database="app"),
        redis=found.redis.url,
        kafka=found.kafka.address,
        servicebus=found.bus_connection_string,
    )


class Outages:
    """The rounds, one outage each."""

    def __init__(self, world: World, found: Servers, dice: random.Random) -> None:
        self._world = world
        self._servers = found
        self._dice = dice
        self.done: Counter[str] = Counter()

    def round(self) -> None:
        target = self._dice.choice(TARGETS)
        time.sleep(self._dice.uniform(*PAUSE_SECONDS))
        away = self._dice.uniform(*OUTAGE_SECONDS)
        what, _, name = target.rpartition(" ")
        if target == "worker":
            self._kill_worker()
        elif target == "host":
            self._world.kill_host()
            self._world.start_host()
        elif target in ("redis", "postgres"):
            server = self._servers.redis if target == "redis" else self._servers.postgres
            server.kill()
            time.sleep(away)
            server.start()
        else:
            (self._servers.stall if what == "stall" else self._servers.cut_off)(name)
            time.sleep(away)
            self._servers.heal(name)
        self.done[target] += 1

    def _kill_worker(self) -> None:
        try:
            found = self._world.ask("GET", f"/installations/{INSTALLATION}")
        except (OSError, HTTPException, Refused):
            return
        for worker in found["incarnations"]:
            if worker["state"] != "stopped" and worker["pid"]:
                os.kill(worker["pid"], signal.SIGKILL)


class Books:
    """What the databases say."""

    def __init__(self, found: Servers) -> None:
        self._servers = found

    def executions(self) -> list[tuple[str, str, str, int]]:
        """Id, state, key and attempt of each."""
        with psycopg.connect(self._servers.postgres.url(database="store")) as connection:
            return connection.execute("SELECT id, state, coalesce(key, ''), attempt FROM executions").fetchall()

    def entries(self) -> list[tuple[str, str, int]]:
        """Name of the message, execution and attempt of each thing done."""
        with psycopg.connect(self._servers.postgres.url(database="app")) as connection:
            return connection.execute("SELECT name, execution, attempt FROM entries").fetchall()

    def wait_until_settled(self, names: set[str]) -> bool:
        """Until each message was seen to, and nothing is open."""
        until = time.monotonic() + SETTLED_SECONDS
        while time.monotonic() < until:
            open_ones = sum(state in ("queued", "running") for _, state, _, _ in self.executions())
            missing = names - {name for name, _, _ in self.entries()}
            if not open_ones and not missing:
                return True
            time.sleep(0.5)
        return False


def run(found: Servers, world: World, count: int, seed: int) -> dict[str, Any]:
    books, outages = Books(found), Outages(world, found, random.Random(seed))
    world.start_host()
    world.ask("POST", "/installations", {"path": str(PLUGIN), "grant_required": True}, timeout_seconds=300)
    with Senders(found, seed) as senders:
        for number in range(1, count + 1):
            outages.round()
            if number % EACH == 0 or number == count:
                taken = sum(map(len, senders.sent.values()))
                print(f"outages: {number} of {count}, {taken} messages sent", flush=True)
    sent = set().union(*senders.sent.values())
    settled = books.wait_until_settled(sent)
    exit_code = world.stop_host()
    executions, entries = books.executions(), books.entries()
    return {
        "outages": dict(outages.done),
        "messages": {source: len(names) for source, names in senders.sent.items()},
        "executions": dict(Counter(state for _, state, _, _ in executions)),
        "with more than one attempt": sum(attempt > 1 for _, _, _, attempt in executions),
        **verdict(sent, entries, executions),
        "not settled in time": int(not settled),
        "stops that did not end well": int(exit_code != 0),
        "lost ones": sorted(sent - {name for name, _, _ in entries})[:10],
    }


#: What has to be 0.
ZEROES = (
    "messages lost",
    "messages done twice",
    "messages with two executions",
    "executions without one outcome",
    "done and not succeeded",
    "succeeded and not done",
    "attempts not marked",
    "not settled in time",
    "stops that did not end well",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/outages", description=__doc__)
    parser.add_argument("--count", type=int, default=200, metavar="N", help="outages (200)")
    parser.add_argument("--seed", type=int, default=None, metavar="S", help="repeats the choices of another run")
    asked = parser.parse_args()
    seed = asked.seed if asked.seed is not None else random.SystemRandom().randrange(10**6)
    print(f"outages: {asked.count}, seed {seed}", flush=True)
    folder, run_folder = Path(tempfile.mkdtemp(prefix="outages-")), Path(tempfile.mkdtemp(prefix="otr-"))
    folder.chmod(0o755)
    with servers() as found:
        world = World(folder, run_folder, prepare(found))
        try:
            report = run(found, world, asked.count, seed)
        finally:
            world.end()
            shutil.rmtree(run_folder, ignore_errors=True)
    for name, value in report.items():
        print(f"  {name:<32} {value}")
    good = not any(report[name] for name in ZEROES)
    print(f"outages: {'nothing lost, nothing done twice' if good else f'NOT well; its folder: {folder}'}")
    if good:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
