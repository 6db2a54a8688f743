"""What statements may take of the host's CPU time."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing

from moorage.broker.services.sql.pace import BURST_SECONDS, LONGEST_WAIT_SECONDS, MOST_OWED_SECONDS, Pace
from moorage_proto.sqlite_session import SqliteSession, Transaction


class Machine:
    """One core on which nothing else runs: time goes by while a thread computes, and while it sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.cpu = 0.0
        self.slept = 0.0

    def compute(self, seconds: float) -> None:
        self.now += seconds
        self.cpu += seconds

    def sleep(self, seconds: float) -> None:
        assert seconds <= LONGEST_WAIT_SECONDS
        self.now += seconds
        self.slept += seconds


def pace_on(machine: Machine, cores: float) -> Pace:
    pace = Pace(cores, clock=lambda: machine.now, cpu_clock=lambda: machine.cpu, sleep=machine.sleep)
    pace.look(False)
    return pace


def test_short_work_never_waits() -> None:
    machine = Machine()
    pace = pace_on(machine, 0.5)
    for _ in range(int(BURST_SECONDS * 1000)):
        machine.compute(0.001)
        pace.look(False)
    assert machine.slept == 0.0


def test_long_work_gets_its_share_and_no_more() -> None:
    machine = Machine()
    pace = pace_on(machine, 0.25)
    for _ in range(20_000):
        machine.compute(0.001)
        pace.look(False)
    # 20 s of work: the burst at once, the rest at a quarter of the speed.
    assert 77 < machine.now - 100.0 < 80


def test_nobody_waits_and_nothing_is_owed_while_no_other_installation_calls() -> None:
    machine, crowd = Machine(), [False]
    pace = Pace(0.25, lambda: crowd[0], clock=lambda: machine.now, cpu_clock=lambda: machine.cpu, sleep=machine.sleep)
    for _ in range(10_000):
        machine.compute(0.001)
        pace.look(False)
    assert machine.slept == 0.0
    crowd[0] = True
    machine.compute(0.001)
    pace.look(False)
    assert machine.slept == 0.0
    for _ in range(10_000):
        machine.compute(0.001)
        pace.look(False)
    assert machine.slept > 20


def test_what_holds_the_interpreters_lock_counts_for_more() -> None:
    machine = Machine()
    pace = pace_on(machine, 0.5)
    for _ in range(5_000):
        machine.compute(0.001)
        pace.look(True)
    # 5 s of work that counts as 15, at half of a core.
    assert 27 < machine.now - 100.0 < 31


def test_what_a_writer_owes_is_paid_soon() -> None:
    machine = Machine()
    pace = pace_on(machine, 0.5)
    machine.compute(100)
    waits = 0
    while pace.look(True):
        waits += 1
    assert 0 < waits * LONGEST_WAIT_SECONDS <= MOST_OWED_SECONDS / 0.5


def test_as_many_cores_as_it_uses_hold_nothing_up() -> None:
    machine = Machine()
    pace = pace_on(machine, 1.0)
    for _ in range(5_000):
        machine.compute(0.001)
        pace.look(False)
    assert machine.slept == 0.0


def test_a_statement_looks_while_it_runs_and_not_while_it_writes() -> None:
    looks: list[Transaction] = []
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as raw:

        def look(_between: bool) -> bool:
            looks.append(session.transaction)
            return False

        session = SqliteSession(raw, "main", look)
        count = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300000) SELECT count(*) FROM n"
        raw.execute(count).fetchall()
        assert looks
        looks.clear()
        session.transaction = Transaction.WRITING
        raw.execute(count).fetchall()
        assert looks == []


def test_a_debt_is_paid_before_the_next_statement_and_no_longer_than_its_time() -> None:
    left = [True] * 3

    def look(_between: bool) -> bool:
        return bool(left) and left.pop()

    with closing(sqlite3.connect(":memory:", isolation_level=None)) as raw:
        session = SqliteSession(raw, "main", look)
        session.commit()
        assert len(left) == 3
        session.bound(time.monotonic() + 60)
        session.transaction = Transaction.READING
        raw.execute("BEGIN")
        session.commit()
        assert left == []
        left[:] = [True] * 1000
        session.bound(0.0)
        session.transaction = Transaction.READING
        raw.execute("BEGIN")
        session.commit()
        assert len(left) == 999
