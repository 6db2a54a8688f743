"""What can be set of a connection: autocommit, isolation, time limits; and cancelling what runs on it."""

from __future__ import annotations

import asyncio
import threading

import pytest
from sql_worlds import HostWorld, World, scoped, scoped_async, unscoped

from moorage_sdk import sql
from moorage_sdk.errors import Cancelled, DeadlineExceeded

ALL = ("sql.read:**", "sql.write:**", "sql.define:**")

FOR_EVER = "WITH RECURSIVE up(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up) SELECT count(*) FROM up"
COUNT_UP = "WITH RECURSIVE up(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up LIMIT 2000) SELECT n FROM up"


def test_named_parameters(world: World):
    connection = scoped(world.worker(*ALL))

    assert connection.execute("SELECT :b, ':a', :a, :b", {"a": 1, "b": "x"}).fetchall() == [("x", ":a", 1, "x")]
    connection.executemany("INSERT INTO tags (name) VALUES (:name)", ({"name": str(n)} for n in range(300)))
    assert connection.execute("SELECT count(*) FROM tags").fetchone() == (301,)


def test_autocommit(world: World):
    worker = world.worker(*ALL)
    connection = unscoped(worker)
    connection.autocommit = True

    connection.execute("INSERT INTO tags (name) VALUES ('jazz')")
    assert not connection.in_transaction
    connection.executemany("INSERT INTO tags (name) VALUES (?)", [("soul",), ("funk",)])
    with pytest.raises(sql.IntegrityError):
        connection.execute("INSERT INTO tags (name) VALUES ('jazz')")
    assert not connection.in_transaction
    rows = connection.execute(COUNT_UP)
    assert not connection.in_transaction
    assert len(rows.fetchall()) == 2000
    with connection.cursor(server_side=True) as streaming:
        streaming.execute(COUNT_UP)
        assert streaming.fetchone() == (1,)
        assert connection.in_transaction
    assert not connection.in_transaction
    assert len(connection.cursor(server_side=True).execute(COUNT_UP).fetchall()) == 2000
    assert not connection.in_transaction
    worker.end(success=False)

    assert world.rows("SELECT count(*) FROM tags") == [(4,)]


def test_without_autocommit_the_scope_decides(world: World):
    worker = world.worker(*ALL)
    unscoped(worker).execute("INSERT INTO tags (name) VALUES ('jazz')")
    worker.end(success=False)

    assert world.rows("SELECT count(*) FROM tags") == [(1,)]


async def test_autocommit_awaited(world: World):
    connection = scoped_async(world.worker(*ALL))
    connection.autocommit = True

    await connection.execute("INSERT INTO tags (name) VALUES ('jazz')")
    with pytest.raises(sql.IntegrityError):
        await connection.execute("INSERT INTO tags (name) VALUES ('jazz')")
    rows = await connection.execute(COUNT_UP)
    assert not connection.in_transaction
    assert len(await rows.fetchall()) == 2000
    async with connection.cursor(server_side=True) as streaming:
        await streaming.execute(COUNT_UP)
        assert connection.in_transaction
    assert not connection.in_transaction
    assert world.rows("SELECT count(*) FROM tags") == [(2,)]


async def test_rows_are_there_after_a_commit_awaited(world: World):
    connection = scoped_async(world.worker(*ALL))
    rows = await connection.execute(COUNT_UP)
    lost = await connection.cursor(server_side=True).execute(COUNT_UP)

    await connection.commit()

    assert len(await rows.fetchall()) == 2000
    with pytest.raises(sql.ProgrammingError):
        await lost.fetchall()


def test_isolation_levels(world: World):
    connection = scoped(world.worker(*ALL))

    connection.isolation_level = "serializable"
    assert connection.isolation_level == "SERIALIZABLE"
    with pytest.raises(sql.NotSupportedError, match="SERIALIZABLE"):
        connection.isolation_level = "READ COMMITTED"
    connection.execute("SELECT count(*) FROM tags")
    for name, value in [("autocommit", True), ("isolation_level", "SERIALIZABLE"), ("read_only", True)]:
        with pytest.raises(sql.ProgrammingError, match="within a transaction"):
            setattr(connection, name, value)
    connection.rollback()
    connection.autocommit = True


def test_what_a_connection_tells_of_itself(world: World):
    connection = scoped(world.worker(*ALL))

    assert (connection.dialect, connection.paramstyle, connection.is_scoped) == ("sqlite", "qmark", True)


def test_cursors_that_nobody_has_any_more_are_closed(world: World):
    connection = scoped(world.worker(*ALL))

    for _ in range(70):
        connection.execute(COUNT_UP).fetchone()
    streamed = connection.execute(COUNT_UP)
    assert len(streamed.fetchmany(600)) == 600
    del streamed

    assert connection.execute("SELECT 1").fetchone() == (1,)


async def test_cursors_that_nobody_has_any_more_are_closed_awaited(world: World):
    connection = scoped_async(world.worker(*ALL))

    for _ in range(70):
        await (await connection.execute(COUNT_UP)).fetchone()

    assert await (await connection.execute("SELECT 1")).fetchone() == (1,)


def test_a_statement_is_cancelled_from_another_thread(patient_host: HostWorld):
    connection = scoped(patient_host.worker(*ALL))
    connection.execute("INSERT INTO tags (name) VALUES ('jazz')")
    failures = []

    def run() -> None:
        try:
            connection.execute(FOR_EVER)
        except sql.Error as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while thread.is_alive():
        connection.cancel()
        thread.join(0.01)

    (failure,) = failures
    assert isinstance(failure, (sql.OperationalError, Cancelled))
    assert failure.sqlstate == "57014"
    connection.cancel()
    assert connection.execute("SELECT count(*) FROM tags").fetchone() == (2,)


def test_nothing_to_cancel(world: World):
    connection = scoped(world.worker(*ALL))

    connection.cancel()
    connection.execute("SELECT 1")
    connection.cancel()

    assert connection.execute("SELECT 2").fetchone() == (2,)


async def test_a_statement_is_cancelled_from_another_task(patient_host: HostWorld):
    connection = scoped_async(patient_host.worker(*ALL))
    await connection.execute("SELECT 1")
    running = asyncio.create_task(connection.execute(FOR_EVER))
    while not running.done():
        await connection.cancel()
        await asyncio.wait([running], timeout=0.01)

    with pytest.raises(sql.OperationalError, match="cancelled"):
        await running


def test_who_waits_for_the_writer_is_cancelled(patient_host: HostWorld):
    writer = unscoped(patient_host.worker(*ALL, installation="other"))
    writer.execute("INSERT INTO tags (name) VALUES ('jazz')")
    connection = scoped(patient_host.worker(*ALL))
    failures = []

    def run() -> None:
        try:
            connection.execute("INSERT INTO tags (name) VALUES ('soul')")
        except sql.Error as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while thread.is_alive():
        connection.cancel()
        thread.join(0.01)
    writer.rollback()
    assert isinstance(failures[0], Cancelled)

    assert connection.execute("INSERT INTO tags (name) VALUES ('soul')").rowcount == 1


def test_a_time_limit_for_each_statement(patient_host: HostWorld):
    connection = scoped(patient_host.worker(*ALL))
    connection.timeout = 0.05

    with pytest.raises(DeadlineExceeded):
        connection.execute(FOR_EVER)
    with pytest.raises(DeadlineExceeded):
        connection.executemany(f"INSERT INTO tags (name) SELECT ({FOR_EVER}) WHERE ?", [(1,)])
    connection.rollback()
    connection.timeout = None
    cursor = connection.cursor()
    cursor.timeout = 5.0
    assert cursor.execute("SELECT 1").fetchone() == (1,)
    assert (cursor.timeout, connection.timeout) == (5.0, None)
