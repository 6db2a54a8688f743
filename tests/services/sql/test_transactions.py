"""Writers, time limits and sudden ends, with the host's service."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sql_worlds import HostWorld, closing_world, scoped, scoped_async, unscoped

from moorage.broker.services.sql import threads
from moorage.broker.services.sql.connection import MAX_CURSORS, SqliteLimits
from moorage.broker.services.sql.sqlite import MAX_CONNECTIONS_EACH
from moorage_proto.errors import CallError, Reason
from moorage_sdk import sql
from moorage_sdk.errors import CapabilityMissing, DeadlineExceeded, QuotaExceeded
from moorage_sdk.scope import entered
from moorage_sdk.services.sql.state import EXECUTE

ALL = ("sql.read:**", "sql.write:**", "sql.define:**")
INSERT = "INSERT INTO tags (name) VALUES (?)"
ENDLESS = "WITH RECURSIVE up(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up) SELECT count(*) FROM up"
ENDLESS_WRITE = (
    "WITH RECURSIVE up(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up) "
    "INSERT INTO audit_log SELECT 'x' FROM up WHERE n < 0"
)
DEADLINE_SECONDS = 0.2
SOON_SECONDS = 5


@pytest.fixture
def pool():
    with ThreadPoolExecutor(8) as made:
        yield made


def tags(host: HostWorld) -> list[str]:
    return [name for (name,) in host.rows("SELECT name FROM tags ORDER BY rowid")]


def owner(host: HostWorld, backend: str = "main"):
    return host.databases[backend]._writer.owner


def until(condition) -> None:
    end = time.monotonic() + SOON_SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        threading.Event().wait(0.002)


def execute(connection: sql.Connection, statement: str, timeout: float):
    """As the driver does, with a deadline."""
    connection.execute("SELECT 1")
    with entered(connection._state.scope):
        request = connection._state.execute_request(statement, ())
        return connection._state.channel.call(EXECUTE, request, timeout=timeout)


def test_the_second_writer_waits_for_the_first(patient_host: HostWorld, pool):
    first = scoped(patient_host.worker(*ALL, installation="first"))
    worker = patient_host.worker(*ALL, installation="second")
    first.execute(INSERT, ("one",))
    waiting = pool.submit(lambda: scoped(worker).execute(INSERT, ("two",)))
    until(lambda: patient_host.databases["main"]._writer._queue)
    assert not waiting.done()

    first.commit()

    waiting.result(SOON_SECONDS)
    worker.end(success=True)
    assert tags(patient_host) == ["rock", "one", "two"]


def test_readers_do_not_wait_for_a_writer(patient_host: HostWorld):
    scoped(patient_host.worker(*ALL, installation="writer")).execute(INSERT, ("one",))

    reader = scoped(patient_host.worker(*ALL, installation="reader"))

    assert reader.execute("SELECT count(*) FROM tags").fetchone() == (1,)


def test_writers_take_turns_in_order(patient_host: HostWorld, pool):
    holder = scoped(patient_host.worker(*ALL, installation="holder"))
    holder.execute(INSERT, ("holder",))
    workers = [patient_host.worker(*ALL, installation=f"w{number}") for number in range(6)]
    waiting = []
    for number, worker in enumerate(workers):

        def write(worker=worker, number=number):
            with unscoped(worker) as connection:
                connection.execute(INSERT, (str(number),))

        waiting.append(pool.submit(write))
        until(lambda number=number: len(patient_host.databases["main"]._writer._queue) == number + 1)

    holder.commit()
    for write in waiting:
        write.result(SOON_SECONDS)

    assert tags(patient_host) == ["rock", "holder", "0", "1", "2", "3", "4", "5"]


def test_a_reader_that_becomes_a_writer_too_late_is_told_to_start_again(patient_host: HostWorld, pool):
    writer = scoped(patient_host.worker(*ALL, installation="writer"))
    late = scoped(patient_host.worker(*ALL, installation="late"))
    late.execute("SELECT * FROM tags").fetchall()
    writer.execute(INSERT, ("one",))
    waiting = pool.submit(lambda: late.execute(INSERT, ("two",)))
    until(lambda: patient_host.databases["main"]._writer._queue)

    writer.commit()

    with pytest.raises(sql.OperationalError) as failed:
        waiting.result(SOON_SECONDS)
    assert failed.value.reason == Reason.SERIALIZATION_FAILURE
    assert failed.value.sql.sqlstate == "40001"
    assert owner(patient_host) is None
    late.rollback()
    late.execute(INSERT, ("two",))
    late.commit()
    assert tags(patient_host) == ["rock", "one", "two"]


def test_a_reader_that_becomes_a_writer_in_time_goes_on(patient_host: HostWorld):
    worker = patient_host.worker(*ALL)
    connection = scoped(worker)
    connection.execute("SELECT * FROM tags").fetchall()

    connection.execute(INSERT, ("one",))

    worker.end(success=True)
    assert tags(patient_host) == ["rock", "one"]


def test_a_savepoint_before_the_first_write_takes_no_snapshot(patient_host: HostWorld):
    connection = scoped(patient_host.worker(*ALL))
    connection.execute("SAVEPOINT one")
    patient_host.rows("INSERT INTO tags (name) VALUES ('meanwhile')")

    connection.execute(INSERT, ("one",))

    assert connection.execute("SELECT count(*) FROM tags").fetchone() == (3,)


@pytest.mark.system
def test_waiting_for_another_writer_is_bounded(tmp_path: Path):
    with closing_world(HostWorld(tmp_path, SqliteLimits(writer_wait=0.1))) as host:
        worker = host.worker(*ALL)
        unscoped(worker).execute(INSERT, ("one",))

        with pytest.raises(sql.OperationalError, match="written by another connection of this installation") as own:
            unscoped(worker).execute("DELETE FROM tags")
        with pytest.raises(sql.OperationalError, match="written by another transaction"):
            unscoped(host.worker(*ALL, installation="other")).execute("DELETE FROM tags")
        assert own.value.retryable


def test_two_databases_the_wrong_way_round_do_not_lock_each_other_for_good(host: HostWorld, pool):
    there, back = host.worker(*ALL, installation="there"), host.worker(*ALL, installation="back")
    for worker in (there, back):
        worker.set_grants(*ALL, "sql.read:other/**", "sql.write:other/**")
    scoped(there, backend="main").execute(INSERT, ("there",))
    scoped(back, backend="other").execute(INSERT, ("back",))

    crossing = pool.submit(lambda: scoped(there, backend="other").execute(INSERT, ("there",)))
    other = pool.submit(lambda: scoped(back, backend="main").execute(INSERT, ("back",)))

    for waited in (crossing, other):
        with contextlib.suppress(sql.OperationalError):
            waited.result(SOON_SECONDS)
    there.end(success=False)
    back.end(success=False)
    assert owner(host, "main") is None
    assert owner(host, "other") is None
    assert tags(host) == ["rock"]


def test_a_writer_in_another_process_is_waited_for(patient_host: HostWorld, pool):
    connection = scoped(patient_host.worker(*ALL))
    with contextlib.closing(sqlite3.connect(patient_host.paths["main"], isolation_level=None)) as application:
        application.execute("BEGIN IMMEDIATE")
        waiting = pool.submit(lambda: connection.execute(INSERT, ("one",)))
        until(lambda: owner(patient_host) is not None)
        application.execute("INSERT INTO tags (name) VALUES ('application')")
        application.execute("COMMIT")

    waiting.result(SOON_SECONDS)
    connection.commit()
    assert tags(patient_host) == ["rock", "application", "one"]


def test_a_transaction_in_which_nothing_happens_is_rolled_back(host: HostWorld):
    worker = host.worker(*ALL)
    connection = scoped(worker)
    connection.execute(INSERT, ("one",))

    until(lambda: owner(host) is None)

    for _ in range(2):
        with pytest.raises(sql.OperationalError, match=r"nothing came for 0\.15 s") as idle:
            connection.execute("SELECT 1")
        assert idle.value.reason == Reason.TRANSACTION_IDLE
    with pytest.raises(sql.OperationalError):
        connection.commit()
    connection.rollback()
    connection.execute(INSERT, ("two",))
    worker.end(success=True)
    assert tags(host) == ["rock", "two"]


def test_an_execution_whose_transaction_idled_out_is_not_committed(host: HostWorld):
    worker = host.worker(*ALL)
    scoped(worker).execute(INSERT, ("one",))
    until(lambda: owner(host) is None)

    with pytest.raises(CallError) as failed:
        worker.end(success=True)

    assert failed.value.reason == Reason.TRANSACTION_IDLE
    assert tags(host) == ["rock"]


def test_what_opens_no_transaction_does_not_idle(host: HostWorld):
    worker = host.worker(*ALL)
    connection = scoped(worker)
    connection.execute("SELECT 1")
    (held,) = worker.session._link.scopes["e-1"].held.values()
    assert held.connection._idle_timer is None

    connection.execute("SELECT * FROM tags")
    assert held.connection._idle_timer is not None


@pytest.mark.system
def test_a_busy_transaction_does_not_idle_out(host: HostWorld):
    connection = scoped(host.worker(*ALL))
    end = time.monotonic() + 0.4
    while time.monotonic() < end:
        connection.execute(INSERT, (str(time.monotonic_ns()),))
    connection.commit()


@pytest.mark.system
@pytest.mark.parametrize("statement", [ENDLESS, ENDLESS_WRITE])
def test_a_deadline_stops_the_statement(patient_host: HostWorld, statement):
    connection = scoped(patient_host.worker(*ALL))

    with pytest.raises(DeadlineExceeded):
        execute(connection, statement, DEADLINE_SECONDS)

    until(lambda: owner(patient_host) is None)
    connection.rollback()
    assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.system
def test_an_interrupted_write_takes_its_transaction_with_it(patient_host: HostWorld):
    worker = patient_host.worker(*ALL)
    connection = scoped(worker)
    connection.execute(INSERT, ("one",))
    with pytest.raises(DeadlineExceeded):
        execute(connection, ENDLESS_WRITE, DEADLINE_SECONDS)

    with pytest.raises(sql.OperationalError, match="rolled back when a statement failed"):
        connection.execute("SELECT 1")

    connection.rollback()
    worker.end(success=True)
    assert tags(patient_host) == ["rock"]


async def test_cancelling_stops_the_statement(patient_host: HostWorld):
    worker = patient_host.worker(*ALL)
    connection = scoped_async(worker)
    await connection.execute("SELECT 1")
    endless = asyncio.create_task(connection.execute(ENDLESS))
    await asyncio.sleep(0.05)

    endless.cancel()
    with pytest.raises(asyncio.CancelledError):
        await endless

    async with asyncio.timeout(SOON_SECONDS):
        assert await (await connection.execute("SELECT 1")).fetchone() == (1,)


@pytest.mark.system
def test_a_statement_that_cannot_be_stopped_does_not_hold_the_lock(patient_host: HostWorld, pool, monkeypatch):
    """One instruction of SQLite may take long by itself; here it is a session that does not listen."""
    monkeypatch.setattr(threads, "GRACE_SECONDS", 0.05)
    monkeypatch.setattr("moorage_proto.sqlite_session.SqliteSession.stop", lambda self: None)
    worker = patient_host.worker(*ALL)
    connection = scoped(worker)
    connection.execute(INSERT, ("one",))
    monkeypatch.setattr("moorage_proto.sqlite_session.SqliteSession.bound", lambda self, at: None)
    session = owner(patient_host)._session
    session._stop_at = time.monotonic() + 0.3
    with pytest.raises(DeadlineExceeded):
        execute(connection, ENDLESS, 0.05)

    until(lambda: owner(patient_host) is None)

    with pytest.raises(sql.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")
    with unscoped(patient_host.worker(*ALL, installation="other")) as other:
        other.execute(INSERT, ("two",))
    assert tags(patient_host) == ["rock", "two"]


def test_a_worker_that_dies_in_a_transaction_leaves_nothing(patient_host: HostWorld, pool):
    worker = patient_host.worker(*ALL)
    scoped(worker).execute(INSERT, ("one",))
    share = patient_host.databases["main"]._threads.share("churn")
    assert share.connections == 1

    worker.die()

    assert owner(patient_host) is None
    assert share.connections == 0
    assert tags(patient_host) == ["rock"]
    with contextlib.closing(sqlite3.connect(patient_host.paths["main"], timeout=0)) as application:
        application.execute("BEGIN EXCLUSIVE")


def test_a_worker_that_dies_in_a_statement_leaves_nothing(patient_host: HostWorld, pool):
    worker = patient_host.worker(*ALL)
    connection = scoped(worker)
    connection.execute(INSERT, ("one",))
    running = pool.submit(lambda: connection.execute(ENDLESS))
    until(owner(patient_host)._one_call.locked)

    worker.die()

    with pytest.raises(sql.Error):
        running.result(SOON_SECONDS)
    assert owner(patient_host) is None
    assert tags(patient_host) == ["rock"]


def test_a_worker_that_dies_in_the_queue_is_passed_over(patient_host: HostWorld, pool):
    holder = scoped(patient_host.worker(*ALL, installation="holder"))
    holder.execute(INSERT, ("holder",))
    dying = patient_host.worker(*ALL, installation="dying")
    waiting = pool.submit(lambda: scoped(dying).execute(INSERT, ("dying",)))
    until(lambda: patient_host.databases["main"]._writer._queue)

    dying.die()
    holder.commit()

    with pytest.raises(sql.Error):
        waiting.result(SOON_SECONDS)
    assert owner(patient_host) is None
    assert tags(patient_host) == ["rock", "holder"]


def test_taking_a_grant_back_ends_what_used_it(patient_host: HostWorld):
    worker = patient_host.worker("sql.write:tags", "sql.read:users")
    connection = scoped(worker)
    connection.execute(INSERT, ("one",))

    worker.set_grants("sql.write:tags", "sql.read:plays")
    connection.execute(INSERT, ("two",))
    worker.set_grants("sql.read:users")

    with pytest.raises(CapabilityMissing) as revoked:
        connection.execute("SELECT 1")
    assert revoked.value.reason == Reason.GRANT_REVOKED
    assert owner(patient_host) is None
    fresh = scoped(worker)
    assert fresh.execute("SELECT count(*) FROM users").fetchone() == (2,)
    with pytest.raises(Exception, match="took a grant back"):
        worker.end(success=True)
    assert tags(patient_host) == ["rock"]


def test_taking_a_grant_back_ends_an_open_cursor(patient_host: HostWorld):
    worker = patient_host.worker(*ALL)
    with unscoped(worker) as connection:
        connection.executemany("INSERT INTO plays (track) VALUES (?)", ([str(n)] for n in range(2000)))
    cursor = unscoped(worker).execute("SELECT track FROM plays")

    worker.set_grants("sql.read:users")

    with pytest.raises(CapabilityMissing):
        cursor.fetchall()


def test_one_installation_has_so_many_connections(patient_host: HostWorld):
    worker, other = patient_host.worker(*ALL), patient_host.worker(*ALL, installation="other")
    held = [unscoped(worker) for _ in range(MAX_CONNECTIONS_EACH)]
    for connection in held:
        connection.execute("SELECT 1")

    with pytest.raises(QuotaExceeded, match="Close those"):
        unscoped(worker).execute("SELECT 1")

    unscoped(other).execute("SELECT 1")
    held.pop().close()
    unscoped(worker).execute("SELECT 1")


def test_one_installation_has_so_many_cursors(patient_host: HostWorld):
    worker = patient_host.worker(*ALL)
    connection, another = scoped(worker), unscoped(worker)
    many = "WITH RECURSIVE up(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up LIMIT 1000) SELECT n FROM up"
    held = [(connection, another)[number % 2].execute(many) for number in range(MAX_CURSORS)]

    for one in (connection, another, unscoped(worker)):
        with pytest.raises(QuotaExceeded, match="cursors"):
            one.execute("SELECT 1")
    others = patient_host.worker(*ALL, installation="others")
    assert unscoped(others).execute("SELECT 1").fetchone() == (1,)

    held.pop().close()
    assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.system
def test_slow_statements_of_one_installation_leave_others_alone(patient_host: HostWorld, pool):
    slow = patient_host.worker(*ALL, installation="slow")
    running = [pool.submit(lambda: execute(unscoped(slow), ENDLESS, 0.3)) for _ in range(6)]
    share = patient_host.databases["main"]._threads.share("slow")
    until(share._turns.locked)

    quick = scoped(patient_host.worker(*ALL, installation="quick"))
    assert quick.execute("SELECT 1").fetchone() == (1,)
    assert not any(call.done() for call in running)

    for call in running:
        with pytest.raises(DeadlineExceeded):
            call.result(SOON_SECONDS)


def test_a_scope_ends_while_rows_are_streamed(patient_host: HostWorld):
    worker = patient_host.worker(*ALL)
    many = "WITH RECURSIVE up(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up LIMIT 1000000) SELECT n FROM up"
    cursor = scoped(worker).execute(many)
    assert len(cursor.fetchmany(1000)) == 1000

    worker.end(success=True)

    with pytest.raises(sql.Error):
        cursor.fetchall()


def test_the_scopes_label_names_installation_and_execution(patient_host: HostWorld):
    connection = scoped(patient_host.worker(*ALL))
    connection.execute(INSERT, ("one",))

    assert owner(patient_host).opening.label == "moorage/churn/e-1"
