"""What every database promises behind the service: the fake, SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from postgres_worlds import PostgresWorld
from sql_worlds import FakeWorld, World, closing_world, scoped, scoped_async, unscoped

from moorage_sdk import sql
from moorage_sdk.errors import CapabilityMissing, ScopeClosed
from moorage_sdk.scope import Scope

ALL = ("sql.read:**", "sql.write:**", "sql.define:**")
COUNT_UP = "WITH RECURSIVE up(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up WHERE n < 2000) SELECT n FROM up"


@pytest.fixture(params=["host", "fake", pytest.param("postgres", marks=pytest.mark.system)])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param != "fake":
        yield request.getfixturevalue("patient_host" if request.param == "host" else "postgres")
        return
    with closing_world(FakeWorld()) as made:
        yield made


def marked(world: World, statement: str) -> str:
    """With the database's own placeholders."""
    if not isinstance(world, PostgresWorld):
        return statement
    first, *rest = statement.split("?")
    return first + "".join(f"${number}{part}" for number, part in enumerate(rest, 1))


def tags(world: World) -> list[str]:
    return [name for (name,) in world.rows("SELECT name FROM tags ORDER BY name")]


def test_a_cursor_describes_and_gives_rows(world: World):
    cursor = scoped(world.worker(*ALL)).cursor()

    cursor.execute("SELECT id, name FROM users ORDER BY id")

    assert [column[0] for column in cursor.description] == ["id", "name"]
    assert cursor.fetchone() == (1, "Ada")
    assert cursor.fetchall() == [(2, "Grace")]
    assert cursor.fetchone() is None


def test_a_query_without_rows_is_described(world: World):
    cursor = scoped(world.worker(*ALL)).execute("SELECT id, name FROM users WHERE id > 99")

    assert [column[0] for column in cursor.description] == ["id", "name"]
    assert cursor.fetchall() == []


def test_rows_come_in_portions_or_by_iteration(world: World):
    connection = scoped(world.worker(*ALL))

    cursor = connection.execute(COUNT_UP)
    assert cursor.fetchmany(3) == [(1,), (2,), (3,)]
    assert cursor.fetchone() == (4,)
    assert len(cursor.fetchall()) == 1996
    assert [n for (n,) in connection.execute(COUNT_UP)] == list(range(1, 2001))


def test_rows_are_streamed_while_other_statements_run(world: World):
    connection = scoped(world.worker(*ALL))
    first, second = connection.execute(COUNT_UP), connection.execute(COUNT_UP)

    assert first.fetchmany(300)[-1] == (300,)
    assert connection.execute("SELECT count(*) FROM users").fetchone() == (2,)
    assert second.fetchone() == (1,)
    assert first.fetchone() == (301,)


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


def test_parameters_and_row_counts(world: World):
    connection = scoped(world.worker(*ALL))

    inserted = connection.execute(marked(world, "INSERT INTO tags (name, used) VALUES (?, ?)"), ("Björk", 3))
    assert (inserted.rowcount, inserted.description) == (1, None)
    assert connection.execute(marked(world, "SELECT used FROM tags WHERE name = ?"), ("Björk",)).fetchall() == [(3,)]
    many = connection.executemany(marked(world, "INSERT INTO tags (name) VALUES (?)"), ([str(n)] for n in range(500)))
    assert many.rowcount == 500
    assert connection.executemany(marked(world, "INSERT INTO tags (name) VALUES (?)"), []).rowcount == 0
    assert connection.execute("UPDATE tags SET used = 1").rowcount == 502
    returned = connection.execute("INSERT INTO tags (name) VALUES ('jazz'), ('soul') RETURNING name")
    assert sorted(returned.fetchall()) == [("jazz",), ("soul",)]


def test_too_few_parameters(world: World):
    connection = scoped(world.worker(*ALL))
    with pytest.raises(sql.ProgrammingError):
        connection.execute(marked(world, "SELECT name FROM users WHERE id = ? OR id = ?"), (1,))
    assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("value", [None, 0, -(2**63), 2**63 - 1, 1.5, "", "Björk", b"", b"\x00\xff"])
def test_values_come_back(world: World, value):
    connection = scoped(world.worker(*ALL, "sql.define:kept"))
    kind = {
        int: "bigint",
        float: "double precision",
        str: "text",
        bytes: "bytea" if isinstance(world, PostgresWorld) else "blob",
    }
    connection.execute(f"CREATE TABLE kept (a {kind.get(type(value), 'text')})")
    connection.execute(marked(world, "INSERT INTO kept VALUES (?)"), (value,))

    assert connection.execute("SELECT a FROM kept").fetchone() == (value,)


def test_large_values_pass(world: World):
    connection = scoped(world.worker(*ALL))
    text = "x" * 500_000

    connection.execute(marked(world, "UPDATE users SET email = ? WHERE id = 1"), (text,))

    assert connection.execute("SELECT email FROM users WHERE id = 1").fetchone() == (text,)


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("SELECT nonsense FROM users", sql.DatabaseError),
        ("SELECT * FROM nowhere", sql.DatabaseError),
        ("SELEC 1", sql.DatabaseError),
        ("SELECT 1; SELECT 2", sql.DatabaseError),
        ("INSERT INTO users VALUES (1, 'Ada', '')", sql.IntegrityError),
        ("INSERT INTO users (id) VALUES (9)", sql.IntegrityError),
        ("INSERT INTO owned VALUES (1, 99)", sql.IntegrityError),
        ("BEGIN", sql.NotSupportedError),
        ("COMMIT", sql.NotSupportedError),
        ("EXPLAIN SELECT 1", sql.NotSupportedError),
    ],
)
def test_errors_have_pep_249s_classes_and_leave_a_fresh_connection_usable(world: World, statement, kind):
    connection = scoped(world.worker(*ALL))

    with pytest.raises(kind):
        connection.execute(statement)
    assert connection.execute("SELECT 1").fetchone() == (1,)


def test_what_the_task_did_is_committed_when_it_ends(world: World):
    worker = world.worker(*ALL)
    scoped(worker).execute("INSERT INTO tags (name) VALUES ('jazz')")
    assert tags(world) == ["rock"]

    worker.end(success=True)

    assert tags(world) == ["jazz", "rock"]


def test_what_a_failed_task_did_is_rolled_back(world: World):
    worker = world.worker(*ALL)
    scoped(worker).execute("INSERT INTO tags (name) VALUES ('jazz')")

    worker.end(success=False)

    assert tags(world) == ["rock"]


def test_scoped_connections_of_one_scope_share_a_transaction(world: World):
    worker = world.worker(*ALL)
    first, second = scoped(worker), scoped(worker)

    first.execute("INSERT INTO tags (name) VALUES ('jazz')")

    assert second.execute("SELECT count(*) FROM tags").fetchone() == (2,)
    first.close()
    worker.end(success=True)
    assert tags(world) == ["jazz", "rock"]


def test_committing_early_and_rolling_back(world: World):
    worker = world.worker(*ALL)
    connection = scoped(worker)

    connection.execute("INSERT INTO tags (name) VALUES ('jazz')")
    connection.commit()
    connection.execute("INSERT INTO tags (name) VALUES ('soul')")
    connection.rollback()
    connection.execute("INSERT INTO tags (name) VALUES ('folk')")
    worker.end(success=True)

    assert tags(world) == ["folk", "jazz", "rock"]


def test_a_connection_of_ones_own_is_rolled_back_unless_committed(world: World):
    worker = world.worker(*ALL)
    with unscoped(worker) as connection:
        connection.execute("INSERT INTO tags (name) VALUES ('jazz')")
    connection.execute("INSERT INTO tags (name) VALUES ('folk')")
    connection.close()
    unscoped(worker).execute("INSERT INTO tags (name) VALUES ('punk')")

    worker.end(success=True)

    assert tags(world) == ["jazz", "rock"]


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

    assert tags(world) == ["jazz", "rock"]


def test_a_savepoint_keeps_a_transaction_whose_statement_fails(world: World):
    worker = world.worker(*ALL)
    connection = scoped(worker)
    connection.execute("INSERT INTO tags (name) VALUES ('jazz')")
    connection.execute("SAVEPOINT one")
    with pytest.raises(sql.IntegrityError):
        connection.execute("INSERT INTO tags (name) VALUES ('rock')")
    connection.execute("ROLLBACK TO one")

    worker.end(success=True)

    assert tags(world) == ["jazz", "rock"]


def test_rolling_back_to_a_savepoint_brings_back_what_was_defined(world: World):
    worker = world.worker(*ALL)
    connection = scoped(worker)
    connection.execute("SAVEPOINT one")
    connection.execute("CREATE TABLE kept (a int)")
    connection.execute("ROLLBACK TO one")

    with pytest.raises(sql.DatabaseError):
        connection.execute("SELECT a FROM kept")
    connection.rollback()
    connection.execute("CREATE TABLE kept (b int)")
    assert connection.execute("SELECT b FROM kept").fetchall() == []


def test_commit_ends_cursors(world: World):
    connection = scoped(world.worker(*ALL))
    cursor = connection.cursor(server_side=True)
    cursor.execute(COUNT_UP)
    connection.execute("INSERT INTO tags (name) VALUES ('jazz')")
    assert cursor.fetchone() == (1,)

    connection.commit()

    with pytest.raises(sql.ProgrammingError):
        cursor.fetchall()
    assert connection.execute("SELECT 1").fetchall() == [(1,)]


def test_a_deferred_constraint_fails_the_commit(world: World):
    worker = world.worker(*ALL)
    connection = scoped(worker)
    connection.execute(
        "CREATE TABLE late (id integer PRIMARY KEY, up integer REFERENCES late (id) DEFERRABLE INITIALLY DEFERRED)"
    )
    connection.execute("INSERT INTO late VALUES (1, 99)")

    with pytest.raises(sql.IntegrityError):
        connection.commit()
    with pytest.raises(Exception, match=r"(?i)foreign key"):
        worker.end(success=True)


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


def test_a_refusal_leaves_the_transaction_as_it_was(world: World):
    worker = world.worker("sql.write:tags")
    connection = scoped(worker)
    connection.execute("INSERT INTO tags (name) VALUES ('jazz')")
    with pytest.raises(CapabilityMissing):
        connection.execute("DELETE FROM users")
    connection.execute("INSERT INTO tags (name) VALUES ('soul')")

    worker.end(success=True)

    assert tags(world) == ["jazz", "rock", "soul"]


def test_using_a_connection_after_its_scope(world: World):
    worker = world.worker(*ALL)
    connection = scoped(worker)
    connection.execute("SELECT 1")
    worker.end(success=True)

    with pytest.raises(sql.InterfaceError) as closed:
        connection.execute("SELECT 1")
    assert isinstance(closed.value, ScopeClosed)


def test_the_scope_is_the_connections_own(world: World):
    worker = world.worker(*ALL)
    worker.open_scope("e-2")
    connection = sql.Connection(worker.channel, scoped=True, scope=Scope("e-2"))
    connection.execute("INSERT INTO tags (name) VALUES ('jazz')")

    worker.end(success=True, scope="e-1")
    assert tags(world) == ["rock"]
    worker.end(success=True, scope="e-2")
    assert tags(world) == ["jazz", "rock"]


async def test_the_async_half(world: World):
    worker = world.worker(*ALL)
    connection = scoped_async(worker)

    async with connection:
        cursor = await connection.execute(marked(world, "INSERT INTO tags (name) VALUES (?)"), ("jazz",))
        assert cursor.rowcount == 1
        await connection.executemany(marked(world, "INSERT INTO tags (name) VALUES (?)"), [("soul",), ("folk",)])
    rows = await connection.execute("SELECT name FROM tags ORDER BY name")
    assert await rows.fetchone() == ("folk",)
    assert await rows.fetchmany(2) == [("jazz",), ("rock",)]
    assert await rows.fetchall() == [("soul",)]
    assert [n async for (n,) in await connection.execute(COUNT_UP)] == list(range(1, 2001))
    await connection.execute("DELETE FROM tags")
    await connection.rollback()
    assert tags(world) == ["folk", "jazz", "rock", "soul"]
