"""What each statement needs on a real server: refused without, done with, and nothing written when refused."""

from __future__ import annotations

import pytest
from postgres_worlds import PostgresWorld
from sql_worlds import scoped, unscoped

from moorage_proto.errors import Reason
from moorage_sdk import sql
from moorage_sdk.errors import CapabilityMissing

pytestmark = pytest.mark.system

#: (statement, everything it needs, the last of which is then left out, what the refusal names)
READS = [
    ("SELECT cents FROM salaries", ["sql.read:salaries"], "sql.read:salaries"),
    ("SELECT * FROM everything", ["sql.read:everything"], "sql.read:everything"),
    (
        "SELECT name FROM users WHERE id IN (SELECT user_id FROM salaries)",
        ["sql.read:users", "sql.read:salaries"],
        "sql.read:salaries",
    ),
    ("SELECT (SELECT max(cents) FROM salaries)", ["sql.read:users", "sql.read:salaries"], "sql.read:salaries"),
    ("SELECT EXISTS (SELECT 1 FROM salaries)", ["sql.read:users", "sql.read:salaries"], "sql.read:salaries"),
    ("WITH s AS (SELECT * FROM salaries) SELECT * FROM s", ["sql.read:salaries"], "sql.read:salaries"),
    (
        "WITH users AS (SELECT cents AS name FROM salaries) SELECT name FROM users",
        ["sql.read:users", "sql.read:salaries"],
        "sql.read:salaries",
    ),
    (
        "SELECT name FROM users JOIN salaries ON salaries.user_id = users.id",
        ["sql.read:users", "sql.read:salaries"],
        "sql.read:salaries",
    ),
    ("SELECT users.name FROM users, salaries", ["sql.read:users", "sql.read:salaries(id)"], "sql.read:salaries"),
    (
        "SELECT name FROM users UNION ALL SELECT cents::text FROM salaries",
        ["sql.read:users", "sql.read:salaries"],
        "sql.read:salaries",
    ),
    ("SELECT count(*) FROM SALARIES", ["sql.read:salaries(id)"], "sql.read:salaries"),
    ('SELECT * FROM public."salaries" s', ["sql.read:salaries"], "sql.read:salaries"),
    ("SELECT email FROM users", ["sql.read:users(id,name)", "sql.read:users"], "sql.read:users(email)"),
    ("SELECT * FROM users", ["sql.read:users(id,name)", "sql.read:users(email)"], "sql.read:users(email)"),
    (
        "SELECT 1 FROM users WHERE email LIKE 'a%'",
        ["sql.read:users(id,name)", "sql.read:users"],
        "sql.read:users(email)",
    ),
    ("SELECT row_to_json(u) FROM users u", ["sql.read:users(id,name)", "sql.read:users"], "sql.read:users(email)"),
    ("SELECT name FROM names", ["sql.read:users", "sql.read:names(name)"], "sql.read:names"),
    ("TABLE salaries", ["sql.read:salaries"], "sql.read:salaries"),
    ("SELECT s.cents FROM salaries s FOR UPDATE", ["sql.read:salaries", "sql.write:salaries"], "sql.write:salaries"),
    ("SELECT table_name FROM information_schema.tables", ["sql.read:users"], "sql.read:*"),
]

WRITES = [
    ("INSERT INTO tags (name) VALUES ('jazz')", ["sql.write:tags"], "sql.write:tags"),
    ("INSERT INTO tags (name) VALUES ('jazz') RETURNING used", ["sql.write:tags", "sql.read:tags"], "sql.read:tags"),
    (
        "INSERT INTO tags (name) SELECT cents::text FROM salaries",
        ["sql.write:tags", "sql.read:salaries"],
        "sql.read:salaries",
    ),
    (
        "INSERT INTO tags (name) VALUES ('rock') ON CONFLICT (name) DO UPDATE SET used = tags.used + 1",
        ["sql.write:tags", "sql.read:tags"],
        "sql.read:tags",
    ),
    ("INSERT INTO plays (track) VALUES ('x')", ["sql.write:plays(track)", "sql.write:plays"], "sql.write:plays"),
    ("UPDATE plays SET rating = 1", ["sql.read:plays", "sql.write:plays(rating)"], "sql.write:plays"),
    ("UPDATE plays SET track = ''", ["sql.write:plays(rating)", "sql.write:plays"], "sql.write:plays(track)"),
    ("UPDATE plays SET rating = 1 WHERE id = 1", ["sql.write:plays", "sql.read:plays(id)"], "sql.read:plays"),
    (
        "UPDATE plays SET rating = cents FROM salaries",
        ["sql.write:plays", "sql.read:salaries"],
        "sql.read:salaries",
    ),
    ("DELETE FROM plays", ["sql.read:plays", "sql.write:plays"], "sql.write:plays"),
    (
        "DELETE FROM plays WHERE user_id IN (SELECT user_id FROM salaries)",
        ["sql.write:plays", "sql.read:plays", "sql.read:salaries"],
        "sql.read:salaries",
    ),
    (
        "WITH gone AS (DELETE FROM plays RETURNING track) INSERT INTO tags (name) SELECT track FROM gone",
        ["sql.write:plays", "sql.read:plays", "sql.write:tags"],
        "sql.write:tags",
    ),
    (
        "MERGE INTO tags t USING plays p ON t.name = p.track WHEN NOT MATCHED THEN INSERT (name) VALUES (p.track)",
        ["sql.write:tags", "sql.read:tags", "sql.read:plays"],
        "sql.read:plays",
    ),
    ("INSERT INTO owned VALUES (1, 1)", ["sql.write:owned"], "sql.write:owned"),
    ("CREATE TABLE stats_a (x int)", ["sql.write:stats_a", "sql.define:stats_*"], "sql.define:stats_a"),
    (
        "CREATE TABLE stats_a (x int REFERENCES salaries (id), y serial PRIMARY KEY)",
        ["sql.define:stats_*", "sql.write:salaries"],
        "sql.write:salaries",
    ),
    (
        "CREATE TABLE stats_a AS SELECT * FROM salaries",
        ["sql.define:stats_*", "sql.read:salaries"],
        "sql.read:salaries",
    ),
    (
        "CREATE VIEW stats_v AS SELECT * FROM salaries",
        ["sql.read:salaries", "sql.define:stats_*"],
        "sql.define:stats_v",
    ),
    ("CREATE TYPE stats_size AS ENUM ('s', 'l')", ["sql.define:stats_*"], "sql.define:stats_size"),
    ("CREATE SEQUENCE stats_seq", ["sql.define:stats_*"], "sql.define:stats_seq"),
]

#: With nothing granted but the right to be there.
ALWAYS = [
    "SELECT 1",
    "VALUES (1), (2)",
    "SELECT now(), current_date, upper('x'), round(1.5, 1), coalesce(NULL, 1), current_schema(), version()",
    "WITH RECURSIVE up(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up WHERE n < 5) SELECT sum(n) FROM up",
    "SELECT * FROM json_to_recordset('[{\"a\": 1}]') AS x (a int)",
    "SELECT count(*) OVER (), row_number() OVER (ORDER BY 1), 'a' ~ 'A', 'a' ILIKE 'A'",
    "SELECT extract(year FROM now()), substring('abc' FROM 2), 'a' || 'b', '{1,2}'::int[], interval '1 day'",
    "SHOW transaction_isolation",
    "SAVEPOINT here",
    "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
]


def refused(world: PostgresWorld, statement: str, *capabilities: str) -> CapabilityMissing:
    before = world.contents()
    worker = world.worker(*capabilities)
    with pytest.raises(CapabilityMissing) as raised:
        scoped(worker).execute(statement)
    worker.end(success=True)
    assert world.contents() == before
    return raised.value


@pytest.mark.parametrize(("statement", "needed", "named"), READS)
def test_reading(world: PostgresWorld, statement, needed, named):
    if needed[:-1] or named != "sql.read:*":
        others = [] if named == "sql.read:*" else ["sql.read:tags"]
        refusal = refused(world, statement, *others, *needed[:-1])
        assert isinstance(refusal, sql.ProgrammingError)
        assert refusal.capability == named
        assert str(refusal).endswith(refusal.remedy)
    assert scoped(world.worker(*needed)).execute(statement).fetchall()


@pytest.mark.parametrize(("statement", "needed", "named"), WRITES)
def test_writing(world: PostgresWorld, statement, needed, named):
    refusal = refused(world, statement, "sql.read:names", *needed[:-1])

    assert refusal.capability == named
    worker = world.worker(*needed)
    before = world.contents()
    scoped(worker).execute(statement)
    worker.end(success=True)
    if not statement.startswith(("CREATE TYPE", "CREATE SEQUENCE")):
        assert world.contents() != before


@pytest.mark.parametrize("statement", ALWAYS)
def test_always(world: PostgresWorld, statement):
    scoped(world.worker("sql.write:nothing")).execute(statement)
    with pytest.raises(CapabilityMissing):
        scoped(world.worker("sql.write:other/nothing", "kafka.produce:main")).execute(statement)


def test_denies_beat_allows_in_the_role_too(world: PostgresWorld):
    connection = scoped(world.worker("sql.read:**", deny=("sql.read:salaries", "sql.read:users(email)")))

    assert connection.execute("SELECT id, name FROM users ORDER BY 1").fetchall() == [(1, "Ada"), (2, "Grace")]
    for statement in ("SELECT * FROM users", "SELECT * FROM SALARIES", "SELECT count(*) FROM salaries"):
        with pytest.raises(CapabilityMissing):
            connection.execute(statement)
    assert world.rows(
        "SELECT column_name FROM information_schema.column_privileges WHERE table_name = 'users' AND grantee ~ 'churn' "
        "ORDER BY 1"
    ) == [("id",), ("name",)]


def test_a_views_maker_gives_nothing_away_through_it(world: PostgresWorld):
    worker = world.worker("sql.define:stats_*", "sql.read:stats_*", "sql.read:salaries(id)")
    with pytest.raises(CapabilityMissing) as refusal:
        scoped(worker).execute("CREATE VIEW stats_v AS SELECT * FROM salaries")
    assert refusal.value.capability == "sql.read:salaries(cents,user_id)"

    scoped(worker).execute("CREATE VIEW stats_v AS SELECT id FROM salaries")
    assert scoped(worker).execute("SELECT * FROM stats_v").fetchall() == [(1,), (2,)]


def test_a_view_of_ones_own_ends_with_the_right_below_it(world: PostgresWorld):
    worker = world.worker("sql.define:stats_*", "sql.read:**")
    connection = unscoped(worker)
    connection.execute("CREATE VIEW stats_v AS SELECT cents FROM salaries")
    connection.commit()
    assert connection.execute("SELECT cents FROM stats_v ORDER BY 1").fetchall() == [(100,), (200,)]
    connection.close()

    worker.set_grants("sql.define:stats_*", "sql.read:stats_*")

    with pytest.raises(sql.ProgrammingError, match="permission denied"):
        unscoped(worker).execute("SELECT cents FROM stats_v").fetchall()


def test_grants_that_come_are_there_at_once_and_those_that_go_too(world: PostgresWorld):
    worker = world.worker("sql.read:users(id)")
    connection = unscoped(worker)
    assert connection.execute("SELECT id FROM users ORDER BY 1").fetchall() == [(1,), (2,)]

    worker.set_grants("sql.read:users(id,name)", "sql.write:tags")
    assert connection.execute("SELECT name FROM users ORDER BY 1").fetchall() == [("Ada",), ("Grace",)]
    connection.execute("INSERT INTO tags (name) VALUES ('jazz')")
    connection.commit()
    worker.set_grants("sql.read:tags")

    with pytest.raises(CapabilityMissing):
        unscoped(worker).execute("SELECT id FROM users")
    assert unscoped(worker).execute("SELECT count(*) FROM tags").fetchone() == (2,)
    assert world.rows(
        "SELECT table_name, privilege_type FROM information_schema.table_privileges WHERE grantee ~ 'churn'"
    ) == [("tags", "SELECT")]


def test_a_table_that_is_made_later_is_covered_by_a_glob(world: PostgresWorld):
    connection = unscoped(world.worker("sql.read:late_*"))
    with pytest.raises(sql.ProgrammingError, match="does not exist"):
        connection.execute("SELECT a FROM late_one")

    world.rows("CREATE TABLE late_one AS SELECT 7 AS a")
    try:
        with pytest.raises(sql.ProgrammingError, match="the operator has to look"):
            connection.execute("SELECT a FROM late_one")
        world.rows("ALTER TABLE late_one OWNER TO operator")
        connection = unscoped(world.worker("sql.read:late_*", "sql.read:tags"))
        assert connection.execute("SELECT a FROM late_one").fetchone() == (7,)
        connection.close()
    finally:
        world.rows("DROP TABLE late_one")


def test_other_schemas_are_named_with_their_schema(world: PostgresWorld):
    world.rows("CREATE SCHEMA sales AUTHORIZATION operator")
    world.rows("CREATE TABLE sales.orders (total int)")
    world.rows("ALTER TABLE sales.orders OWNER TO operator")
    try:
        refusal = refused(world, "SELECT total FROM sales.orders", "sql.read:orders", "sql.read:*")
        assert refusal.capability == "sql.read:sales.orders"
        worker = world.worker("sql.read:sales.*")
        assert scoped(worker).execute("SELECT total FROM sales.orders").fetchall() == []
        worker.end(success=True)
    finally:
        world.rows("DROP SCHEMA sales CASCADE")


def test_installations_do_not_see_each_others_schemas(world: PostgresWorld):
    first = world.worker("sql.define:**", "sql.read:**", "sql.write:**", installation="first")
    scoped(first).execute("CREATE TABLE secrets (a int)")
    first.end(success=True)
    second = world.worker("sql.define:**", "sql.read:**", "sql.write:**", installation="second")

    with pytest.raises(sql.NotSupportedError, match="another installation's"):
        scoped(second).execute("SELECT * FROM moorage_first.secrets")
    with pytest.raises(sql.ProgrammingError, match="does not exist"):
        scoped(second).execute("SELECT * FROM secrets")


def test_what_is_no_column_is_never_sent(world: PostgresWorld):
    """PostgreSQL would call pg_sleep on the row."""
    connection = scoped(world.worker("sql.read:**"))

    with pytest.raises(sql.ProgrammingError) as unknown:
        connection.execute("SELECT g.pg_sleep FROM generate_series(100, 100) g")
    assert unknown.value.sql.sqlstate == "42703"


def test_nothing_of_the_hosts_side_is_told(world: PostgresWorld):
    worker = world.worker("sql.read:**", "sql.write:**", "sql.define:**")
    connection = unscoped(worker)
    texts = [str(connection.execute("SELECT version(), current_schema()").fetchall())]
    for statement in ("SELECT * FROM nowhere", "SELECT 1/0", "INSERT INTO owned VALUES (1, 99)", "SELECT 'x'::int"):
        with pytest.raises(sql.Error) as failed:
            connection.execute(statement)
        texts.append(str(failed.value))
    told = " ".join(texts)
    for secret in ("127.0.0.1", str(world.server.port), "operator", world.names["main"], "/tmp", "moorage_churn_"):
        assert secret not in told


def test_denials_are_audited(world: PostgresWorld):
    worker = world.worker("sql.read:users(id,name)")
    connection = scoped(worker)
    connection.execute("SELECT id, name FROM users")
    for statement in ("SELECT * FROM salaries", "SELECT * FROM users", "COPY users TO STDOUT"):
        with pytest.raises(sql.Error):
            connection.execute(statement)

    assert {entry.capability for entry in world.audit.refused} == {"sql.read:salaries", "sql.read:users(email)", ""}
    assert ("Execute", "sql.read:users(id,name)") in world.audit.passed


def test_no_right_at_all(world: PostgresWorld):
    with pytest.raises(CapabilityMissing) as missing:
        scoped(world.worker()).execute("SELECT 1")
    assert missing.value.reason == Reason.CAPABILITY_MISSING


def test_inspection_shows_nothing_of_the_schemas_of_other_installations(world: PostgresWorld):
    owner = unscoped(world.worker("sql.define:**", "sql.read:**"))
    owner.execute("CREATE TABLE kept (token text DEFAULT 'secret')")
    owner.commit()
    other = unscoped(world.worker("sql.read:**", "sql.define:**", installation="other"))

    for schema in ("moorage_churn", "pg_catalog"):
        assert not other.inspect(schema).relations
    assert not {"moorage_churn", "pg_catalog"} & set(other.inspect().schemas)
    assert [each.name for each in owner.inspect("moorage_churn").relations] == ["kept"]
    owner.close()
    other.close()


def test_a_sequence_is_not_set_by_who_may_write_a_column(world: PostgresWorld):
    connection = unscoped(world.worker("sql.write:plays(rating)"))
    for call in ("setval('plays_id_seq', 1)", "nextval('plays_id_seq')"):
        with pytest.raises(CapabilityMissing) as refused:
            connection.execute(f"SELECT {call}")
        assert refused.value.capability == "sql.write:plays"
    connection.close()

    connection = unscoped(world.worker("sql.write:plays"))
    assert connection.execute("SELECT setval('plays_id_seq', 7)").fetchall() == [(7,)]
    connection.close()


def test_what_a_look_into_the_catalogue_leaves_behind_is_of_no_use(world: PostgresWorld):
    connection = unscoped(world.worker("sql.read:users(id)"))
    for statement in ("SELECT 'x'::regclass FROM pg_catalog.pg_class", "SELECT 'salaries'::pg_catalog.regclass::oid"):
        with pytest.raises(sql.NotSupportedError):
            connection.execute(statement)
    connection.close()


def test_the_information_schema_does_not_make_the_role_anew(world: PostgresWorld, monkeypatch: pytest.MonkeyPatch):
    connection = unscoped(world.worker("sql.read:users"))
    connection.execute("SELECT id FROM users")
    roles = world.databases["main"]._fence._roles
    monkeypatch.setattr(roles, "_prepare", None)

    assert ("users",) in connection.execute("SELECT table_name FROM information_schema.tables").fetchall()
    connection.close()
