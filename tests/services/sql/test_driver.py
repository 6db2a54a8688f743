"""PEP 249, over the host's service and over the testing kit's fake."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

import pytest
from sql_worlds import World, scoped, scoped_async, unscoped

from moorage_sdk import sql
from moorage_sdk.errors import CapabilityMissing, MoorageError, ScopeClosed
from moorage_sdk.scope import Scope

ALL = ("sql.read:**", "sql.write:**", "sql.define:**")


def test_the_module_is_what_pep_249_asks_for():
    assert (sql.apilevel, sql.threadsafety, sql.paramstyle) == ("2.0", 1, "qmark")
    assert issubclass(sql.IntegrityError, sql.DatabaseError)
    assert issubclass(sql.InterfaceError, sql.Error)
    assert issubclass(sql.Error, MoorageError)
    assert sql.Connection.ProgrammingError is sql.ProgrammingError


def test_a_cursor_describes_and_gives_rows(world: World):
    cursor = scoped(world.worker(*ALL)).cursor()

    assert cursor.execute("SELECT id, name FROM users ORDER BY id") is cursor

    assert [column[0] for column in cursor.description] == ["id", "name"]
    assert all(len(column) == 7 for column in cursor.description)
    assert cursor.fetchone() == (1, "Ada")
    assert cursor.fetchall() == [(2, "Grace")]
    assert cursor.fetchone() is None
    assert cursor.fetchall() == []


def test_rows_come_one_by_one_in_portions_or_by_iteration(world: World):
    connection = scoped(world.worker(*ALL))
    statement = "SELECT value FROM json_each('[1, 2, 3, 4, 5]')"

    cursor = connection.execute(statement)
    assert cursor.fetchmany() == [(1,)]
    cursor.arraysize = 2
    assert cursor.fetchmany() == [(2,), (3,)]
    assert cursor.fetchmany(5) == [(4,), (5,)]
    assert [value for (value,) in connection.execute(statement)] == [1, 2, 3, 4, 5]


COUNT_UP = "WITH RECURSIVE up(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up LIMIT 2000) SELECT n FROM up"


def test_many_rows_are_streamed(world: World):
    connection = scoped(world.worker(*ALL))

    assert [n for (n,) in connection.execute(COUNT_UP)] == list(range(1, 2001))


def test_unread_rows_are_given_up(world: World):
    connection = scoped(world.worker(*ALL))

    for _ in range(70):
        with connection.cursor() as cursor:
            cursor.execute(COUNT_UP)
            assert cursor.fetchone() == (1,)
    streaming = connection.execute(COUNT_UP)
    assert len(streaming.fetchmany(600)) == 600
    streaming.close()
    assert connection.execute("SELECT 1").fetchone() == (1,)


def test_large_values_pass(world: World):
    connection = scoped(world.worker(*ALL))
    blob = bytes(range(256)) * 2000

    rows = connection.execute("SELECT ?, length(?)", (blob, blob)).fetchall()

    assert rows == [(blob, len(blob))]


@pytest.mark.parametrize("value", [None, 0, -(2**63), 2**63 - 1, 1.5, "", "Björk", b"", b"\x00\xff", True])
def test_values_come_back_as_sqlite_has_them(world: World, value):
    assert scoped(world.worker(*ALL)).execute("SELECT ?", (value,)).fetchone() == (value,)


def test_dates_are_stored_as_the_sqlite3_module_does(world: World):
    rows = scoped(world.worker(*ALL)).execute("SELECT ?, ?", (date(2026, 11, 20), datetime(2026, 11, 20, 6, 0)))

    assert rows.fetchone() == ("2026-11-20", "2026-11-20 06:00:00")


@pytest.mark.parametrize(
    ("parameters", "kind"),
    [
        ((Decimal("1.5"),), sql.InterfaceError),
        ((object(),), sql.InterfaceError),
        ((2**70,), sql.DataError),
        ((), sql.ProgrammingError),
        ((1, 2), sql.ProgrammingError),
        ("x", sql.ProgrammingError),
        ({"a": 1}, sql.ProgrammingError),
        (1, sql.ProgrammingError),
    ],
)
def test_parameters_that_do_not_fit(world: World, parameters, kind):
    with pytest.raises(kind):
        scoped(world.worker(*ALL)).execute("SELECT ?", parameters)


def test_row_counts_and_row_ids(world: World):
    connection = scoped(world.worker(*ALL))

    inserted = connection.execute("INSERT INTO plays (track) VALUES ('Vitamin C')")
    assert (inserted.rowcount, inserted.lastrowid, inserted.description) == (1, 3, None)
    assert connection.execute("UPDATE plays SET rating = 1").rowcount == 3
    assert connection.execute("SELECT * FROM plays").rowcount == -1
    many = connection.executemany("INSERT INTO plays (track) VALUES (?)", ([str(n)] for n in range(1000)))
    assert many.rowcount == 1000
    assert connection.executemany("INSERT INTO plays (track) VALUES (?)", []).rowcount == 0
    assert connection.execute("SELECT count(*) FROM plays").fetchone() == (1003,)
    returned = connection.execute("INSERT INTO tags (name) VALUES ('jazz'), ('soul') RETURNING name")
    assert sorted(returned.fetchall()) == [("jazz",), ("soul",)]


@pytest.mark.parametrize(
    ("statement", "kind", "message"),
    [
        ("SELECT nonsense FROM users", sql.OperationalError, "no such column"),
        ("SELECT * FROM nowhere", sql.OperationalError, "no such table"),
        ("SELEC 1", sql.OperationalError, "syntax error"),
        ("SELECT 1; SELECT 2", sql.ProgrammingError, "one statement"),
        ("INSERT INTO users VALUES (1, 'Ada', '')", sql.IntegrityError, "UNIQUE constraint failed: users.id"),
        ("INSERT INTO users (name) VALUES (NULL)", sql.IntegrityError, "NOT NULL"),
        ("INSERT INTO owned VALUES (1, 99)", sql.IntegrityError, "FOREIGN KEY"),
        ("BEGIN", sql.NotSupportedError, "commit"),
        ("EXPLAIN SELECT 1", sql.NotSupportedError, "EXPLAIN"),
        ("SELECT 1 \x00", sql.ProgrammingError, "null character"),
    ],
)
def test_errors_have_pep_249s_classes(world: World, statement, kind, message):
    connection = scoped(world.worker(*ALL))

    with pytest.raises(kind, match=message):
        connection.execute(statement)
    assert connection.execute("SELECT 1").fetchone() == (1,)


def test_what_the_task_did_is_committed_when_it_ends(world: World):
    worker = world.worker(*ALL)
    scoped(worker).execute("INSERT INTO tags (name) VALUES ('jazz')")
    assert world.rows("SELECT count(*) FROM tags") == [(1,)]

    worker.end(success=True)

    assert world.rows("SELECT count(*) FROM tags") == [(2,)]


def test_what_a_failed_task_did_is_rolled_back(world: World):
    worker = world.worker(*ALL)
    scoped(worker).execute("INSERT INTO tags (name) VALUES ('jazz')")

    worker.end(success=False)

    assert world.rows("SELECT count(*) FROM tags") == [(1,)]


def test_scoped_connections_of_one_scope_share_a_transaction(world: World):
    worker = world.worker(*ALL)
    first, second = scoped(worker), scoped(worker)

    first.execute("INSERT INTO tags (name) VALUES ('jazz')")

    assert second.execute("SELECT count(*) FROM tags").fetchone() == (2,)
    first.close()
    worker.end(success=True)
    assert world.rows("SELECT count(*) FROM tags") == [(2,)]


def test_committing_early_and_rolling_back(world: World):
    worker = world.worker(*ALL)
    connection = scoped(worker)

    connection.execute("INSERT INTO tags (name) VALUES ('jazz')")
    connection.commit()
    connection.execute("INSERT INTO tags (name) VALUES ('soul')")
    connection.rollback()
    connection.execute("INSERT INTO tags (name) VALUES ('folk')")
    worker.end(success=True)

    assert world.rows("SELECT name FROM tags ORDER BY name") == [("folk",), ("jazz",), ("rock",)]


def test_a_connection_of_ones_own_is_rolled_back_unless_committed(world: World):
    worker = world.worker(*ALL)
    with unscoped(worker) as connection:
        connection.execute("INSERT INTO tags (name) VALUES ('jazz')")
    with pytest.raises(sql.OperationalError), connection:
        connection.execute("INSERT INTO tags (name) SELECT 'soul'").execute("SELECT * FROM nowhere")
    connection.execute("INSERT INTO tags (name) VALUES ('folk')")
    connection.close()
    unscoped(worker).execute("INSERT INTO tags (name) VALUES ('punk')")

    worker.end(success=True)

    assert world.rows("SELECT name FROM tags ORDER BY name") == [("jazz",), ("rock",)]
    with pytest.raises(sql.InterfaceError, match="closed"):
        connection.execute("SELECT 1")


def test_savepoints(world: World):
    worker = world.worker(*ALL)
    connection = scoped(worker)

    connection.execute("SAVEPOINT one")
    connection.execute("INSERT INTO tags (name) VALUES ('jazz')")
    connection.execute("SAVEPOINT two")
    connection.execute("INSERT INTO tags (name) VALUES ('soul')")
    connection.execute("ROLLBACK TO two")
    connection.execute("RELEASE one")
    worker.end(success=True)

    assert world.rows("SELECT name FROM tags ORDER BY name") == [("jazz",), ("rock",)]


def test_a_transaction_reads_one_state(world: World):
    connection = scoped(world.worker(*ALL))
    assert connection.execute("SELECT count(*) FROM tags").fetchone() == (1,)

    world.rows("INSERT INTO tags (name) VALUES ('jazz')")

    assert connection.execute("SELECT count(*) FROM tags").fetchone() == (1,)
    connection.commit()
    assert connection.execute("SELECT count(*) FROM tags").fetchone() == (2,)


def test_reading_first_and_writing_after_another_did(world: World):
    connection = scoped(world.worker(*ALL))
    connection.execute("SELECT count(*) FROM tags")
    world.rows("INSERT INTO tags (name) VALUES ('jazz')")

    with pytest.raises(sql.OperationalError, match="run the transaction again") as failed:
        connection.execute("INSERT INTO tags (name) VALUES ('soul')")

    assert failed.value.retryable
    connection.rollback()
    connection.execute("INSERT INTO tags (name) VALUES ('soul')")


def test_rows_are_there_after_a_commit(world: World):
    connection = scoped(world.worker(*ALL))
    cursor = connection.execute(COUNT_UP)
    connection.execute("INSERT INTO tags (name) VALUES ('jazz')")
    assert cursor.fetchone() == (1,)

    connection.commit()

    assert len(cursor.fetchall()) == 1999


def test_a_commit_ends_server_side_cursors(world: World):
    connection = scoped(world.worker(*ALL))
    cursor = connection.cursor(server_side=True).execute(COUNT_UP)
    connection.execute("INSERT INTO tags (name) VALUES ('jazz')")
    assert cursor.fetchone() == (1,)

    connection.commit()

    with pytest.raises(sql.ProgrammingError):
        cursor.fetchall()
    assert connection.execute("SELECT 1").fetchall() == [(1,)]


def test_a_deferred_constraint_fails_the_commit(world: World):
    worker = world.worker(*ALL)
    connection = scoped(worker)
    connection.execute("CREATE TABLE late (id INTEGER REFERENCES users (id) DEFERRABLE INITIALLY DEFERRED)")
    connection.execute("INSERT INTO late VALUES (99)")

    with pytest.raises(sql.IntegrityError):
        connection.commit()
    with pytest.raises(Exception, match="FOREIGN KEY"):
        worker.end(success=True)

    assert world.rows("SELECT name FROM sqlite_master WHERE name = 'late'") == []


def test_an_insert_that_rolls_everything_back_is_not_half_committed(world: World):
    worker = world.worker(*ALL)
    connection = scoped(worker)
    connection.execute("INSERT INTO tags (name) VALUES ('jazz')")
    with pytest.raises(sql.IntegrityError):
        connection.execute("INSERT OR ROLLBACK INTO tags (name) VALUES ('rock')")

    with pytest.raises(sql.OperationalError, match=r"rolled back.*rollback\(\)"):
        connection.execute("INSERT INTO tags (name) VALUES ('soul')")
    connection.rollback()
    connection.execute("INSERT INTO tags (name) VALUES ('folk')")
    worker.end(success=True)

    assert world.rows("SELECT name FROM tags ORDER BY name") == [("folk",), ("rock",)]


def test_handles_of_others_name_nothing(world: World):
    worker, other = world.worker(*ALL), world.worker(*ALL, installation="other")
    mine = scoped(worker)
    mine.execute("SELECT 1")
    theirs = scoped(other)
    theirs._state.handle = mine._state.handle

    with pytest.raises(sql.ProgrammingError, match="names nothing"):
        theirs.execute("SELECT 1")


def test_backends_are_apart(world: World):
    worker = world.worker("sql.read:other/users", "sql.write:other/users")
    connection = unscoped(worker, backend="other")
    connection.execute("DELETE FROM users")
    assert connection.execute("SELECT count(*) FROM users").fetchone() == (0,)
    connection.commit()

    assert world.rows("SELECT count(*) FROM users") == [(2,)]
    with pytest.raises(CapabilityMissing):
        unscoped(worker).execute("SELECT 1")


def test_a_sealed_connection_says_nothing_more(world: World):
    worker = world.worker(*ALL)
    connection = scoped(worker)
    connection.execute("INSERT INTO tags (name) VALUES ('jazz')")

    connection.seal()
    connection.rollback()
    connection.close()

    with pytest.raises(ScopeClosed, match="ended"):
        connection.execute("SELECT 1")
    worker.end(success=True)
    assert world.rows("SELECT count(*) FROM tags") == [(2,)]


def test_using_a_connection_after_its_scope(world: World):
    worker = world.worker(*ALL)
    connection = scoped(worker)
    connection.execute("SELECT 1")
    worker.end(success=True)

    with pytest.raises(sql.InterfaceError) as closed:
        connection.execute("SELECT 1")
    assert isinstance(closed.value, ScopeClosed)


async def test_the_async_half(world: World):
    worker = world.worker(*ALL)
    connection = scoped_async(worker)

    async with connection:
        cursor = await connection.execute("INSERT INTO tags (name) VALUES (?)", ("jazz",))
        assert (cursor.rowcount, cursor.lastrowid) == (1, 2)
        await connection.executemany("INSERT INTO tags (name) VALUES (?)", [("soul",), ("folk",)])
    rows = await connection.execute("SELECT name FROM tags ORDER BY name")
    assert await rows.fetchone() == ("folk",)
    assert await rows.fetchmany(2) == [("jazz",), ("rock",)]
    assert await rows.fetchall() == [("soul",)]
    assert [n async for (n,) in await connection.execute(COUNT_UP)] == list(range(1, 2001))
    async with connection.cursor() as unread:
        await unread.execute(COUNT_UP)
    with pytest.raises(sql.OperationalError, match="no such table"):
        await connection.execute("SELECT * FROM nowhere")
    await connection.execute("DELETE FROM tags")
    await connection.rollback()
    await connection.close()
    assert world.rows("SELECT count(*) FROM tags") == [(4,)]


def test_the_scope_is_the_connections_own(world: World):
    worker = world.worker(*ALL)
    worker.open_scope("e-2")
    connection = sql.Connection(worker.channel, scoped=True, scope=Scope("e-2"))
    connection.execute("INSERT INTO tags (name) VALUES ('jazz')")

    worker.end(success=True, scope="e-1")
    assert world.rows("SELECT count(*) FROM tags") == [(1,)]
    worker.end(success=True, scope="e-2")
    assert world.rows("SELECT count(*) FROM tags") == [(2,)]
