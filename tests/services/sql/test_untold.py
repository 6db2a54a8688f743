"""What SQLite's authorizer is not told of: joins by the names of columns, and tables that are copied page by page."""

from __future__ import annotations

import pytest
from sql_worlds import World, unscoped

from moorage_proto.sqlite_words import joins_by_name
from moorage_sdk import sql
from moorage_sdk.errors import CapabilityMissing

BY_NAME = [
    "SELECT cents FROM (SELECT NULL AS cents) FULL JOIN salaries USING (cents)",
    "SELECT * FROM (SELECT NULL AS user_id, NULL AS cents) NATURAL FULL JOIN salaries",
    "SELECT 1 FROM (SELECT 100 AS cents) JOIN salaries/**/uSing(cents)",
    "SELECT cents FROM (SELECT NULL AS cents) FULL JOIN salaries \ufeffUSING (cents)",
    "SELECT cents, :a(') FROM (SELECT NULL AS cents) FULL JOIN salaries USING (cents) --'",
    "SELECT cents, $a::b(\xa0') FROM (SELECT NULL AS cents) FULL JOIN salaries USING (cents) --'",
    "SELECT cents /*/ ' */ FROM (SELECT NULL AS cents) FULL JOIN salaries USING (cents) --'",
    "CREATE VIEW churn_view AS SELECT 1 FROM (SELECT 100 AS cents) NATURAL JOIN salaries",
]


@pytest.mark.parametrize("statement", BY_NAME)
def test_joins_by_name_are_refused(world: World, statement: str) -> None:
    connection = unscoped(world.worker("sql.read:users", "sql.define:churn_*"))

    with pytest.raises(sql.NotSupportedError, match=r"USING and NATURAL .* Write ON"):
        connection.execute(statement)
    assert connection.execute("SELECT a.name FROM users a JOIN users b ON a.id = b.id").fetchall()


def test_a_table_is_not_copied_unread(world: World) -> None:
    rights = ("sql.define:churn_copy", "sql.write:churn_copy", "sql.read:churn_copy")
    copy = "INSERT INTO churn_copy SELECT * FROM salaries"
    schema = world.rows("SELECT sql FROM sqlite_master WHERE name = 'salaries'")[0][0]
    worker = world.worker(*rights)
    connection = unscoped(worker)
    connection.execute(schema.replace("salaries", "churn_copy"))

    with pytest.raises(CapabilityMissing) as refused:
        connection.execute(copy)
    assert refused.value.capability == "sql.read:salaries"
    assert connection.execute("SELECT * FROM churn_copy").fetchall() == []

    worker.set_grants(*rights, "sql.read:salaries")
    connection.execute(copy)
    assert connection.execute("SELECT * FROM churn_copy").fetchall() == world.rows("SELECT * FROM salaries")


@pytest.mark.parametrize(
    "body",
    [
        "SELECT cents, salaries.id FROM (SELECT NULL AS cents) FULL JOIN salaries USING (cents)",
        "SELECT salaries.id AS cents FROM plays NATURAL JOIN salaries",
    ],
)
def test_a_view_of_the_applications_that_joins_by_name_needs_whole_tables(world: World, body: str) -> None:
    world.rows(f"CREATE VIEW joined AS {body}")
    world.rows("CREATE VIEW above AS SELECT cents FROM joined")
    some = ("sql.read:salaries(id)", "sql.read:plays")

    for view in ("joined", "above"):
        with pytest.raises(CapabilityMissing) as refused:
            unscoped(world.worker(*some)).execute(f"SELECT cents FROM {view}")
        assert refused.value.capability.startswith("sql.read:salaries")
        whole = unscoped(world.worker("sql.read:salaries", "sql.read:plays"))
        assert whole.execute(f"SELECT cents FROM {view}").fetchall()


def test_granted_tables_are_copied(world: World) -> None:
    connection = unscoped(
        world.worker("sql.read:salaries", "sql.define:churn_*", "sql.write:churn_*", "sql.read:churn_*")
    )
    connection.execute("CREATE TABLE churn_a AS SELECT * FROM salaries")
    connection.execute("CREATE TABLE churn_b AS SELECT * FROM churn_a WHERE 0")
    connection.execute("INSERT INTO churn_b SELECT * FROM churn_a")
    assert connection.execute("SELECT * FROM churn_b").fetchall() == world.rows("SELECT * FROM salaries")


@pytest.mark.parametrize("statement", [*BY_NAME, "x NATURAL", "'it''s' using", '"a""b" using', "`a` [b] using"])
def test_the_words_are_found(statement: str) -> None:
    assert joins_by_name(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 'using', \"natural\", `using`, [natural]",
        "SELECT 1 -- using",
        "SELECT 1 /* natural join */",
        "SELECT 1 /* using",
        "SELECT :using, @natural, $using",
        "SELECT using_it, natural$, näturalusing FROM t",
        "SELECT 'it''s using'",
    ],
)
def test_the_words_count_as_words_only(statement: str) -> None:
    assert not joins_by_name(statement)


@pytest.mark.parametrize("character", ["[", "'", '"', "`", "/*", "--", ":a(", "\ufeff", "x"])
def test_long_statements_are_read_in_no_time(character: str) -> None:
    assert not joins_by_name(character * (1_000_000 // len(character)))
