"""What each statement needs: refused without, done with, and nothing written when refused."""

from __future__ import annotations

import sqlite3

import pytest
from sql_worlds import HostWorld, World, scoped, unscoped

from moorage_proto.errors import Reason
from moorage_sdk import sql
from moorage_sdk.errors import CapabilityMissing

#: (statement, everything it needs, the last of which is then left out, what the refusal names)
READS = [
    ("SELECT cents FROM salaries", ["sql.read:salaries"], "sql.read:salaries"),
    ("SELECT * FROM everything", ["sql.read:users", "sql.read:salaries"], "sql.read:salaries"),
    ("SELECT * FROM nested", ["sql.read:users", "sql.read:salaries"], "sql.read:salaries"),
    ("SELECT count(*) FROM everything", ["sql.read:users", "sql.read:salaries"], "sql.read:salaries"),
    (
        "SELECT name FROM users WHERE id IN (SELECT user_id FROM salaries)",
        ["sql.read:users", "sql.read:salaries"],
        "sql.read:salaries",
    ),
    ("SELECT (SELECT max(cents) FROM salaries)", ["sql.read:users", "sql.read:salaries"], "sql.read:salaries"),
    ("SELECT EXISTS (SELECT 1 FROM salaries)", ["sql.read:users", "sql.read:salaries"], "sql.read:salaries"),
    (
        "WITH s AS (SELECT * FROM salaries) SELECT * FROM s",
        ["sql.read:users", "sql.read:salaries"],
        "sql.read:salaries",
    ),
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
    ("SELECT users.name FROM users, salaries", ["sql.read:users", "sql.read:salaries"], "sql.read:salaries"),
    (
        "SELECT name FROM users UNION ALL SELECT cents FROM salaries",
        ["sql.read:users", "sql.read:salaries"],
        "sql.read:salaries",
    ),
    (
        "SELECT name FROM users EXCEPT SELECT cents FROM salaries",
        ["sql.read:users", "sql.read:salaries"],
        "sql.read:salaries",
    ),
    (
        "SELECT name FROM users ORDER BY (SELECT cents FROM salaries)",
        ["sql.read:users", "sql.read:salaries"],
        "sql.read:salaries",
    ),
    ("SELECT count(*) FROM SALARIES", ["sql.read:salaries"], "sql.read:salaries"),
    ("SELECT count(*) FROM MAIN.SALARIES s", ["sql.read:salaries"], "sql.read:salaries"),
    (
        "WITH s AS MATERIALIZED (SELECT * FROM salaries) SELECT count(*) FROM s",
        ["sql.read:salaries"],
        "sql.read:salaries",
    ),
    ('SELECT * FROM main."Salaries"', ["sql.read:salaries"], "sql.read:salaries"),
    ("SELECT * FROM [salaries]", ["sql.read:salaries"], "sql.read:salaries"),
    ("/* users */ SELECT 1 FROM `salaries` -- users", ["sql.read:salaries"], "sql.read:salaries"),
    ("SELECT email FROM users", ["sql.read:users(id,name)", "sql.read:users"], "sql.read:users(email)"),
    ("SELECT * FROM users", ["sql.read:users(id,name)", "sql.read:users(email)"], "sql.read:users(email)"),
    (
        "SELECT 1 FROM users WHERE email LIKE 'a%'",
        ["sql.read:users(id,name)", "sql.read:users"],
        "sql.read:users(email)",
    ),
    ("SELECT u.rowid, u.* FROM users u", ["sql.read:users(id,name)", "sql.read:users"], "sql.read:users(email)"),
    ("SELECT name FROM names", ["sql.read:users(id)", "sql.read:users(name)"], "sql.read:users(name)"),
    ("SELECT group_concat(json_quote(cents)) FROM salaries", ["sql.read:salaries"], "sql.read:salaries"),
    ("SELECT j.value FROM salaries, json_each('[1]') j", ["sql.read:salaries"], "sql.read:salaries"),
    ("PRAGMA table_info(salaries)", ["sql.read:salaries"], "sql.read:salaries"),
    ('PRAGMA main.table_xinfo("SALARIES")', ["sql.write:salaries"], "sql.read:salaries"),
    ("PRAGMA index_list(salaries)", ["sql.define:salaries"], "sql.read:salaries"),
    ("PRAGMA index_info(salaries_by_user)", ["sql.read:salaries(id)"], "sql.read:salaries"),
]

WRITES = [
    ("INSERT INTO tags (name) VALUES ('jazz')", ["sql.write:tags"], "sql.write:tags"),
    ("INSERT INTO tags (name) VALUES ('jazz') RETURNING used", ["sql.write:tags", "sql.read:tags"], "sql.read:tags"),
    (
        "INSERT INTO tags (name) SELECT cents FROM salaries",
        ["sql.write:tags", "sql.read:salaries"],
        "sql.read:salaries",
    ),
    (
        "INSERT INTO tags (name) VALUES ('rock') ON CONFLICT (name) DO UPDATE SET used = used + 1",
        ["sql.write:tags", "sql.read:tags"],
        "sql.read:tags",
    ),
    ("REPLACE INTO tags (name) VALUES ('rock')", ["sql.read:tags", "sql.write:tags"], "sql.write:tags"),
    ("INSERT OR REPLACE INTO tags VALUES ('rock', 9)", ["sql.write:tags(name)", "sql.write:tags"], "sql.write:tags"),
    ("UPDATE plays SET rating = 1", ["sql.read:plays", "sql.write:plays(rating)"], "sql.write:plays"),
    ("UPDATE plays SET track = ''", ["sql.write:plays(rating)", "sql.write:plays"], "sql.write:plays(track)"),
    ("UPDATE plays SET rating = 1 WHERE id = 1", ["sql.write:plays", "sql.read:plays(id)"], "sql.read:plays"),
    (
        "UPDATE plays SET rating = cents FROM salaries",
        ["sql.write:plays", "sql.read:plays", "sql.read:salaries"],
        "sql.read:salaries",
    ),
    (
        "UPDATE plays SET rating = (SELECT cents FROM salaries)",
        ["sql.write:plays", "sql.read:salaries"],
        "sql.read:salaries",
    ),
    ("DELETE FROM plays", ["sql.read:plays", "sql.write:plays"], "sql.write:plays"),
    ("DELETE FROM plays", ["sql.write:plays(rating)", "sql.write:plays"], "sql.write:plays"),
    ("WITH x AS (SELECT 1) DELETE FROM plays", ["sql.read:plays", "sql.write:plays"], "sql.write:plays"),
    (
        "DELETE FROM plays WHERE user_id IN (SELECT user_id FROM salaries)",
        ["sql.write:plays", "sql.read:plays", "sql.read:salaries"],
        "sql.read:salaries",
    ),
    (
        "INSERT INTO audited (note) VALUES ('x')",
        ["sql.write:audited", "sql.read:audited", "sql.write:audit_log"],
        "sql.write:audit_log",
    ),
    ("INSERT INTO owned VALUES (1, 1)", ["sql.write:owned", "sql.read:salaries(id)"], "sql.read:salaries"),
    ("CREATE TABLE stats_a (x)", ["sql.write:stats_a", "sql.define:stats_*"], "sql.define:stats_a"),
    (
        "CREATE TABLE stats_a (x INTEGER PRIMARY KEY AUTOINCREMENT, y UNIQUE)",
        ["sql.define:stats_*"],
        "sql.define:stats_a",
    ),
    (
        "CREATE TABLE stats_a (x REFERENCES SALARIES (id), y REFERENCES stats_a (x))",
        ["sql.define:stats_*", "sql.write:salaries"],
        "sql.write:salaries",
    ),
    (
        "ALTER TABLE tags ADD COLUMN salary REFERENCES salaries (id)",
        ["sql.define:tags", "sql.define:salaries"],
        "sql.write:salaries",
    ),
    ("CREATE TABLE IF NOT EXISTS tags (x)", ["sql.define:stats_*", "sql.define:tags"], "sql.define:tags"),
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
    ("CREATE INDEX stats_i ON tags (used)", ["sql.define:stats_*", "sql.define:tags"], "sql.define:tags"),
    ("CREATE UNIQUE INDEX i ON tags (used) WHERE used > 0", ["sql.define:i", "sql.define:tags"], "sql.define:tags"),
    ("DROP INDEX salaries_by_user", ["sql.define:salaries_*", "sql.define:salaries"], "sql.define:salaries"),
    ("DROP TABLE audited", ["sql.write:audited", "sql.define:audited"], "sql.define:audited"),
    ("DROP VIEW everything", ["sql.write:**", "sql.define:everything"], "sql.define:everything"),
    ("ALTER TABLE tags ADD COLUMN more TEXT DEFAULT ''", ["sql.write:tags", "sql.define:tags"], "sql.define:tags"),
    ("ALTER TABLE tags RENAME COLUMN used TO uses", ["sql.write:tags", "sql.define:tags"], "sql.define:tags"),
    ("ALTER TABLE tags DROP COLUMN used", ["sql.write:tags", "sql.define:tags"], "sql.define:tags"),
]

#: Whatever was granted.
NEVER = [
    "ATTACH ':memory:' AS x",
    "ATTACH ? AS x",
    "DETACH main",
    "VACUUM",
    "VACUUM INTO '/tmp/stolen.db'",
    "VACUUM main INTO '/tmp/stolen.db'",
    "PRAGMA table_info",
    "PRAGMA writable_schema = 1",
    "PRAGMA journal_mode = DELETE",
    "PRAGMA user_version = 7",
    "PRAGMA foreign_keys = OFF",
    "PRAGMA busy_timeout = 1",
    "PRAGMA database_list",
    "PRAGMA table_list",
    "SELECT * FROM pragma_table_info('salaries')",
    "SELECT * FROM pragma_database_list",
    "SELECT * FROM sqlite_master",
    "SELECT * FROM main.SQLITE_SCHEMA",
    "SELECT sql FROM (SELECT * FROM sqlite_master UNION ALL SELECT * FROM sqlite_temp_master)",
    "WITH moorage_schema AS (SELECT * FROM sqlite_master) SELECT name FROM moorage_schema",
    "CREATE TABLE stats_a AS SELECT * FROM sqlite_master",
    "UPDATE sqlite_master SET sql = ''",
    "INSERT INTO sqlite_master (sql) VALUES ('')",
    "SELECT * FROM dbstat",
    "SELECT count(*) FROM dbstat",
    "SELECT count(*) FROM sqlite_master",
    "SELECT count(*) FROM pragma_database_list",
    "SELECT load_extension('/tmp/evil.so')",
    "SELECT fts3_tokenizer('simple')",
    "SELECT readfile('/etc/passwd')",
    "SELECT writefile('/tmp/x', 'x')",
    "SELECT edit('x')",
    "SELECT sqlite_compileoption_get(1)",
    "SELECT sqlite_rename_table('main', 'a', 'b', 'c', 'd', 'e', 0)",
    "ALTER TABLE tags RENAME TO users2",
    "CREATE TEMP TABLE t (x)",
    "CREATE TABLE temp.t (x)",
    "CREATE TEMP VIEW v AS SELECT 1",
    "CREATE TRIGGER t AFTER INSERT ON tags BEGIN DELETE FROM users; END",
    "DROP TRIGGER audited_insert",
    "CREATE VIRTUAL TABLE t USING fts5 (x)",
    "CREATE TABLE moorage_commit (execution TEXT)",
    "ANALYZE",
    "REINDEX",
    "REINDEX salaries",
    "BEGIN IMMEDIATE",
    "COMMIT",
    "END",
    "ROLLBACK",
    "SELECT 1; DELETE FROM users",
    "DELETE FROM users; SELECT 1",
    "EXPLAIN DELETE FROM users",
]

#: With nothing granted but the right to be there.
ALWAYS = [
    "SELECT 1",
    "VALUES (1), (2)",
    "SELECT value FROM json_each('[1, 2]')",
    "SELECT count(*) FROM json_tree('{\"a\": [1]}')",
    "WITH RECURSIVE up(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up LIMIT 5) SELECT sum(n) FROM up",
    "SELECT json_extract('{\"a\": 1}', '$.a'), upper('x'), datetime('now'), round(1.5), iif(1, 2, 3)",
    "SELECT count(*) OVER (), row_number() OVER (ORDER BY 1), 'a' LIKE 'A', 'a' GLOB '*'",
    "SELECT current_timestamp, strftime('%Y', 'now'), printf('%d', 1), hex(randomblob(4)), coalesce(NULL, 1)",
    "SELECT last_insert_rowid(), changes(), sqlite_version()",
    "SAVEPOINT here",
]


def refused(world: World, statement: str, *capabilities: str) -> CapabilityMissing:
    before = world.contents()
    worker = world.worker(*capabilities)
    with pytest.raises(CapabilityMissing) as raised:
        scoped(worker).execute(statement)
    worker.end(success=True)
    assert world.contents() == before
    return raised.value


@pytest.mark.parametrize(("statement", "needed", "named"), READS)
def test_reading(world: World, statement, needed, named):
    refusal = refused(world, statement, "sql.read:tags", *needed[:-1])

    assert isinstance(refusal, sql.ProgrammingError)
    assert refusal.capability == named
    assert refusal.remedy == f"moorage grant churn '{named}'"
    assert str(refusal).endswith(refusal.remedy)
    assert scoped(world.worker(*needed)).execute(statement).fetchall()


@pytest.mark.parametrize(("statement", "needed", "named"), WRITES)
def test_writing(world: World, statement, needed, named):
    refusal = refused(world, statement, "sql.read:names", *needed[:-1])

    assert refusal.capability == named
    assert named in refusal.remedy
    worker = world.worker(*needed)
    before = world.contents()
    scoped(worker).execute(statement)
    worker.end(success=True)
    if "IF NOT EXISTS" not in statement:
        assert world.contents() != before


@pytest.mark.parametrize("statement", NEVER)
def test_never(world: World, statement):
    before = world.contents()
    worker = world.worker("sql.read:**", "sql.write:**", "sql.define:**")

    with pytest.raises(sql.DatabaseError) as refused:
        scoped(worker).execute(statement, ("/tmp/x",) if "?" in statement else ())
    assert not isinstance(refused.value, sql.NotSupportedError) or "No capability allows it." in str(refused.value)

    worker.end(success=True)
    assert world.contents() == before


@pytest.mark.parametrize("statement", ALWAYS)
def test_always(world: World, statement):
    scoped(world.worker("sql.write:nothing")).execute(statement)
    with pytest.raises(CapabilityMissing):
        scoped(world.worker("sql.write:other/nothing", "kafka.produce:main")).execute(statement)


def test_counting_needs_any_column(world: World):
    connection = scoped(world.worker("sql.read:users(name)", deny=("sql.read:users(email)",)))

    assert connection.execute("SELECT count(*) FROM users").fetchone() == (2,)
    assert connection.execute("SELECT count(name) FROM users").fetchone() == (2,)
    with pytest.raises(CapabilityMissing):
        connection.execute("SELECT count(id) FROM users")


def test_a_deny_beats_every_allow(world: World):
    connection = scoped(world.worker("sql.read:**", deny=("sql.read:salaries", "sql.read:users(email)")))

    assert connection.execute("SELECT id, name FROM users").fetchall()
    for statement in (
        "SELECT * FROM users",
        "SELECT * FROM SALARIES",
        "SELECT count(*) FROM SALARIES",
        "PRAGMA table_info(SALARIES)",
    ):
        with pytest.raises(CapabilityMissing):
            connection.execute(statement)


def test_a_view_made_by_a_plugin_opens_nothing(world: World):
    worker = world.worker("sql.define:stats_*", "sql.read:stats_*")
    connection = scoped(worker)
    connection.execute("CREATE VIEW stats_v AS SELECT * FROM salaries")

    with pytest.raises(CapabilityMissing) as refusal:
        connection.execute("SELECT * FROM stats_v")
    assert refusal.value.capability == "sql.read:salaries"


def test_a_statement_that_another_prepared_is_decided_anew(world: World):
    allowed, curious = world.worker("sql.read:salaries"), world.worker("sql.read:users", installation="curious")
    statement = "SELECT cents FROM salaries"

    for _ in range(3):
        assert scoped(allowed).execute(statement).fetchall()
        for connection in (scoped(curious), unscoped(curious)):
            with pytest.raises(CapabilityMissing):
                connection.execute(statement)


def test_a_statement_is_decided_anew_each_time(world: World):
    worker = world.worker("sql.read:salaries", "sql.write:tags")
    connection = scoped(worker)
    assert connection.execute("SELECT cents FROM salaries").fetchall()

    worker.set_grants("sql.write:tags")

    for connection in (unscoped(worker), scoped(worker)):
        with pytest.raises(CapabilityMissing):
            connection.execute("SELECT cents FROM salaries")


def test_a_refused_statement_stays_refused_when_its_plan_is_forgotten(world: World):
    connection = scoped(world.worker("sql.read:users"))
    for number in range(300):
        connection.execute(f"SELECT {number}")
        if number % 100 == 0:
            with pytest.raises(CapabilityMissing):
                connection.execute("SELECT cents FROM salaries")


def test_a_view_that_changes_is_decided_as_it_is_now(world: World):
    worker = world.worker("sql.read:users")
    connection = scoped(worker)
    assert connection.execute("SELECT name FROM names ORDER BY 1").fetchone() == ("Ada",)
    connection.commit()

    world.rows("DROP VIEW names")
    world.rows("CREATE VIEW names AS SELECT cents AS name FROM salaries")

    with pytest.raises(CapabilityMissing) as refusal:
        connection.execute("SELECT name FROM names ORDER BY 1")
    assert refusal.value.capability == "sql.read:salaries"
    world.rows("DROP VIEW names")
    world.rows("CREATE TABLE names (name)")
    with pytest.raises(CapabilityMissing) as refusal:
        connection.execute("SELECT name FROM names ORDER BY 1")
    assert refusal.value.capability == "sql.read:names"


def test_rolling_back_a_view_brings_the_old_decision_back(world: World):
    worker = world.worker("sql.read:users", "sql.define:names", "sql.define:stats_x")
    connection = scoped(worker)
    connection.execute("SAVEPOINT before")
    connection.execute("DROP VIEW names")
    connection.execute("CREATE TABLE names (id, name)")
    with pytest.raises(CapabilityMissing):
        connection.execute("SELECT name FROM names")
    connection.execute("ROLLBACK TO before")
    assert connection.execute("SELECT name FROM names").fetchall()
    connection.execute("DROP VIEW names")
    connection.execute("CREATE TABLE names (id, name)")
    connection.rollback()
    assert connection.execute("SELECT name FROM names").fetchall()


def test_full_text_search_of_the_applications(world: World):
    with_fts = sqlite3.connect(":memory:").execute("SELECT 1 FROM pragma_module_list WHERE name = 'fts5'").fetchone()
    if not with_fts:
        pytest.skip("this SQLite has no full-text search")
    world.rows("CREATE VIRTUAL TABLE docs USING fts5 (body)")
    world.rows("INSERT INTO docs VALUES ('the quick brown fox')")
    statement = "SELECT highlight(docs, 0, '<', '>') FROM docs WHERE docs MATCH 'quick'"

    assert scoped(world.worker("sql.read:docs", "sql.read:docs_*")).execute(statement).fetchall() == [
        ("the <quick> brown fox",)
    ]
    with pytest.raises(CapabilityMissing) as refusal:
        scoped(world.worker("sql.read:docs")).execute(statement).fetchall()
    assert refusal.value.capability.startswith("sql.read:docs_")


def test_the_schema_lists_what_was_granted(world: World):
    statement = "SELECT json_extract(value, '$.name') FROM json_each(moorage_schema()) ORDER BY 1"
    connection = scoped(world.worker("sql.read:users(id)", "sql.write:tags", "sql.define:stats_*"))
    connection.execute("CREATE TABLE stats_a (x)")
    connection.execute("CREATE INDEX stats_i ON stats_a (x)")

    assert connection.execute(statement).fetchall() == [("stats_a",), ("stats_i",), ("tags",), ("users",)]


def test_denials_are_audited_once_and_allowed_rights_by_name(host: HostWorld):
    worker = host.worker("sql.read:users(id,name)")
    connection = scoped(worker)
    connection.execute("SELECT id, name FROM users")
    with pytest.raises(CapabilityMissing):
        connection.execute("SELECT * FROM salaries")
    with pytest.raises(CapabilityMissing):
        connection.execute("SELECT * FROM users")
    connection.execute("SELECT json_array_length(moorage_schema())")
    worker.end(success=True)

    assert {entry.capability for entry in host.audit.refused} == {"sql.read:salaries", "sql.read:users(email)"}
    assert all(entry.execution == "e-1" for entry in host.audit.refused)
    assert ("Execute", "sql.read:users(id,name)") in host.audit.passed


def test_an_unknown_backend(host: HostWorld):
    with pytest.raises(sql.InterfaceError, match="no database named 'nowhere'") as unknown:
        unscoped(host.worker("sql.read:nowhere/users"), backend="nowhere").execute("SELECT 1")
    assert unknown.value.reason == Reason.BACKEND_UNKNOWN


def test_a_connection_alone_needs_no_right_and_shows_nothing(host: HostWorld):
    connection = scoped(host.worker())
    with pytest.raises(CapabilityMissing) as missing:
        connection.execute("SELECT name FROM users")
    assert missing.value.capability == "sql.read:users"


def test_no_path_of_the_host_is_told(host: HostWorld, tmp_path):
    for path in host.paths.values():
        path.unlink()
        path.mkdir()
    with pytest.raises(sql.OperationalError, match="'main' cannot be opened") as unavailable:
        scoped(host.worker("sql.read:**")).execute("SELECT 1")
    assert str(tmp_path) not in str(unavailable.value)
