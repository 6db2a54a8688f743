"""What was accepted, and what the store says became of it."""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections import Counter
from http.client import HTTPException
from pathlib import Path

from world import INSTALLATIONS, Refused, World

OUTCOMES = {"succeeded", "failed", "timed_out", "cancelled", "crashed", "rejected", "abandoned"}
#: Effects are allowed without success only where the host died between the commit and its record.
MAY_HAVE_EFFECT = {"succeeded", "abandoned"}

#: Files of a database, and how many connections to one are kept for later at most.
DATABASE_FILES = (".db", ".db-wal", ".db-shm")
POOLED = 8

#: Between two requests of one client.
PAUSE_SECONDS = (0.02, 0.08)
LONGEST_TASK_SECONDS = 0.05


class Load:
    """Clients that go on asking until they are stopped, and remember what was accepted."""

    def __init__(self, world: World, clients: int, seed: int) -> None:
        self.accepted: list[str] = []
        #: By the sentence of the refusal.
        self.refused: Counter[str] = Counter()
        self._world = world
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(random.Random(f"{seed}/{number}"),), name=f"client {number}")
            for number in range(clients)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, dice: random.Random) -> None:
        while not self._stop.wait(dice.uniform(*PAUSE_SECONDS)):
            order = {"task": dice.choice(("execute", "execute", "read")), "wait": False}
            order["input"] = dice.uniform(0, LONGEST_TASK_SECONDS)
            try:
                answer = self._world.ask("POST", f"/installations/{dice.choice(INSTALLATIONS)}/executions", order)
            except (OSError, HTTPException):
                continue  # the host is dead at the moment
            except Refused as refusal:
                self.refused[str(refusal)] += 1
                continue
            self.accepted.append(answer["id"])


def wait_until_settled(store: Path, timeout_seconds: float) -> int:
    """Until no execution is open any more; how many still are after the timeout."""
    began = time.monotonic()
    while (count := _open_ones(store)) and time.monotonic() - began < timeout_seconds:
        time.sleep(0.1)
    return count


def _open_ones(store: Path) -> int:
    with _read(store) as rows:
        (count,) = rows.execute("SELECT count(*) FROM executions WHERE state IN ('queued', 'running')").fetchone()
    rows.close()
    return int(count)


def outcomes(store: Path) -> dict[str, str]:
    """State of each execution in the store, by id."""
    with _read(store) as rows:
        found = dict(rows.execute("SELECT id, state FROM executions"))
    rows.close()
    return found


def errors(store: Path) -> dict[str, int]:
    """How many executions failed, by the type of their error."""
    query = "SELECT error_type, count(*) FROM executions WHERE state = 'failed' GROUP BY error_type"
    with _read(store) as rows:
        found = dict(rows.execute(query))
    rows.close()
    return found


def effects(database: Path) -> Counter[str]:
    """How many rows each execution has committed."""
    with _read(database) as rows:
        found = Counter(execution for (execution,) in rows.execute("SELECT execution FROM effects"))
    rows.close()
    return found


def writer_lock_is_free(database: Path) -> bool:
    """Whether a transaction that nobody owns any more still holds the one writer's lock."""
    connection = sqlite3.connect(database, timeout=1, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    except sqlite3.OperationalError:
        return False
    finally:
        connection.close()
    return True


def problems(accepted: list[str], states: dict[str, str], written: Counter[str]) -> list[str]:
    """What does not agree, in sentences. Pure."""
    found = [f"{one} was accepted and is not in the store" for one in accepted if one not in states]
    found += [f"{one} has no outcome: it is {state}" for one, state in states.items() if state not in OUTCOMES]
    found += [
        f"{one} is {states.get(one, 'unknown')} and has {count} effects"
        for one, count in written.items()
        if count > 1 or states.get(one) not in MAY_HAVE_EFFECT
    ]
    return found


def leaked(before: Counter[str], after: Counter[str]) -> Counter[str]:
    """What is open that was not, but for the connections that a pool of the store or the database may keep. Pure."""
    kept = {name: POOLED for name in after if name.endswith(DATABASE_FILES)}
    return Counter({name: count for name, count in (after - before).items() if after[name] > kept.get(name, 0)})


def _read(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
