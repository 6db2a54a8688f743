"""What a hostile plugin tries with SQL: none of it gets through.

On PostgreSQL each attempt meets both fences: the host's own check, and, with that switched off by this test, the rights
of the installation's role. That an attempt would work for whoever may is shown by a superuser, or the file's owner.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

import psycopg
import pytest
from postgres_worlds import PostgresWorld, fresh_name, postgres_world
from servers.postgres import PostgresServer
from sql_worlds import HostWorld, scoped, unscoped

from moorage.broker.services.sql.postgresql import catalog
from moorage.broker.services.sql.postgresql.statements import Parser, Plan, Statement, SyntaxWrong
from moorage_proto.errors import Reason
from moorage_proto.sqlite_access import Forbidden
from moorage_sdk import sql

#: What the plugin has.
RIGHTS = ("sql.read:users(id,name)", "sql.read:tags", "sql.write:tags", "sql.define:stats_*", "sql.read:stats_*")

#: By what it is an attempt at; several statements follow one another. Numbers are those of the catalogue of attacks.
POSTGRES = {
    "102 table": ["SELECT cents FROM salaries"],
    "102 column": ["SELECT email FROM users"],
    "102 star": ["SELECT * FROM users"],
    "102 filter": ["SELECT id FROM users WHERE email LIKE 'a%'"],
    "102 order": ["SELECT id FROM users ORDER BY email"],
    "102 cross join": ["SELECT users.id FROM users, salaries"],
    "102 with": ["WITH s AS (SELECT cents FROM salaries) SELECT cents FROM s"],
    "102 with of a granted name": ["WITH tags AS (SELECT cents AS name FROM salaries) SELECT name FROM tags"],
    "102 with that names itself": ["WITH salaries AS (SELECT cents FROM salaries) SELECT cents FROM salaries"],
    "102 view": ["SELECT cents FROM everything"],
    "102 subquery": ["SELECT id FROM users WHERE id IN (SELECT user_id FROM salaries)"],
    "102 lateral": ["SELECT x.cents FROM users u, LATERAL (SELECT cents FROM salaries) x"],
    "102 case": ["SELECT CENTS FROM SALARIES"],
    "102 quotes": ['SELECT "cents" FROM "public"."salaries"'],
    "102 unicode quotes": ['SELECT U&"\\0063ents" FROM U&"\\0073alaries"'],
    "102 schema": ["SELECT public.salaries.cents FROM public.salaries"],
    "102 comment": ["SELECT/* users */cents FROM--\nsalaries"],
    "102 union": ["SELECT name FROM users UNION ALL SELECT cents::text FROM salaries"],
    "102 table statement": ["TABLE salaries"],
    "102 whole row": ["SELECT u FROM users u"],
    "102 whole row as JSON": ["SELECT row_to_json(u) FROM users u"],
    "102 function as a column": ["SELECT u.row_to_json FROM users u"],
    "102 renamed columns": ["SELECT c FROM users AS u (a, b, c)"],
    "102 joined by name": ["SELECT 1 FROM users JOIN (SELECT 'ada@example.org' AS email) x USING (email)"],
    "102 natural join": ["SELECT 1 FROM users NATURAL JOIN (SELECT 'ada@example.org' AS email) x"],
    "102 insert from": ["INSERT INTO tags (name) SELECT cents::text FROM salaries"],
    "102 conflict": [
        "INSERT INTO tags (name) VALUES ('rock') "
        "ON CONFLICT (name) DO UPDATE SET used = (SELECT max(cents) FROM salaries)"
    ],
    "102 update from": ["UPDATE tags SET used = cents FROM salaries"],
    "102 returning": ["UPDATE tags SET used = 1 RETURNING (SELECT max(cents) FROM salaries)"],
    "102 merge": ["MERGE INTO tags USING salaries ON false WHEN NOT MATCHED THEN INSERT VALUES (cents::text, 1)"],
    "102 write": ["UPDATE users SET email = ''"],
    "102 delete": ["DELETE FROM users"],
    "102 truncate": ["TRUNCATE users CASCADE"],
    "102 rows locked": ["SELECT id FROM users FOR UPDATE"],
    "102 lock": ["LOCK TABLE salaries IN ACCESS EXCLUSIVE MODE"],
    "102 sequence": ["SELECT setval('plays_id_seq', 1)"],
    "102 view of ones own": ["CREATE VIEW stats_v AS SELECT cents FROM salaries", "SELECT cents FROM stats_v"],
    "102 copied table": ["CREATE TABLE stats_a AS SELECT cents FROM salaries"],
    "102 materialized view": ["CREATE MATERIALIZED VIEW stats_m AS SELECT cents FROM salaries"],
    "102 foreign key": ["CREATE TABLE stats_a (id int REFERENCES salaries)"],
    "102 copy": ["COPY salaries TO STDOUT"],
    "102 SQL as text": ["SELECT query_to_xml('SELECT cents FROM salaries', true, false, '')"],
    "102 table as XML": ["SELECT table_to_xml('salaries', true, false, '')"],
    "102 SQL as text of statistics": ["SELECT * FROM ts_stat('SELECT to_tsvector(email) FROM users')"],
    "102 prepared": ["PREPARE p AS SELECT cents FROM salaries", "EXECUTE p"],
    "102 cursor": ["DECLARE c CURSOR FOR SELECT cents FROM salaries", "FETCH ALL FROM c"],
    "102 block": ["DO $$ BEGIN PERFORM cents FROM salaries; END $$"],
    "102 explained": ["EXPLAIN ANALYZE DELETE FROM users"],
    "102 drop": ["DROP TABLE users CASCADE"],
    "102 alter": ["ALTER TABLE users ADD COLUMN x int"],
    "102 rename": ["ALTER TABLE users RENAME TO stats_users"],
    "102 index": ["CREATE INDEX stats_i ON users (email)"],
    "102 trigger": ["CREATE TRIGGER t BEFORE INSERT ON users EXECUTE FUNCTION audit()"],
    "102 rule": ["CREATE RULE r AS ON INSERT TO users DO ALSO DELETE FROM salaries"],
    "102 policy": ["CREATE POLICY p ON users USING (true)"],
    "102 inheritance": ["CREATE TABLE stats_a () INHERITS (users)"],
    "102 other schema": ["CREATE TABLE public.stats_a (a int)"],
    "102 temporary table": ["CREATE TEMP TABLE stats_a (a int)"],
    "103 several": ["SELECT 1; DELETE FROM tags"],
    "103 several that are not granted": ["SELECT 1; DROP TABLE users CASCADE"],
    "103 several after a comment": ["SELECT 1 --\n; DELETE FROM tags"],
    "103 several in dollars": ["SELECT $a$;$a$; DELETE FROM tags"],
    "105 program": ["COPY tags TO PROGRAM 'id > /dev/null'"],
    "105 from a program": ["COPY tags (name) FROM PROGRAM 'echo stolen'"],
    "105 copy to a file": ["COPY tags TO '/dev/null'"],
    "105 copy from a file": ["COPY tags (name) FROM '/etc/hostname'"],
    "105 read a file": ["SELECT pg_read_file('/etc/passwd')"],
    "105 read a file's bytes": ["SELECT pg_read_binary_file('/etc/passwd')"],
    "105 read a file as a column": ["SELECT ('/etc/passwd'::text).pg_read_file"],
    "105 read a file as a column of a function": ["SELECT f.pg_read_file FROM unnest(ARRAY['/etc/passwd']) AS f (x)"],
    "105 list files": ["SELECT pg_ls_dir('/')"],
    "105 a file's size": ["SELECT pg_stat_file('/etc/passwd')"],
    "105 import": ["SELECT lo_import('/etc/passwd')"],
    "105 export": ["SELECT lo_create(987654)", "SELECT lo_export(987654, '/dev/null')"],
    "105 extension": ["CREATE EXTENSION dblink"],
    "105 foreign server": ["CREATE FOREIGN DATA WRAPPER w"],
    "105 library": ["LOAD 'auto_explain'"],
    "105 role": ["SET ROLE postgres"],
    "105 operator's role": ["SET ROLE operator"],
    "105 session": ["SET SESSION AUTHORIZATION postgres"],
    "105 role by function": ["SELECT set_config('role', 'operator', false)"],
    "105 session by function": ["SELECT set_config('session_authorization', 'postgres', false)"],
    "105 role in a block": ["DO $$ BEGIN EXECUTE 'SET ROLE operator'; END $$"],
    "105 role at the transaction's end": ["SET LOCAL ROLE operator"],
    "105 new role": ["CREATE ROLE stats_r SUPERUSER"],
    "105 password": ["ALTER ROLE postgres PASSWORD NULL"],
    "105 passwords": ["SELECT rolpassword FROM pg_authid"],
    "105 settings": ["SELECT * FROM pg_hba_file_rules"],
    "105 data folder": ["SELECT current_setting('data_directory')"],
    "105 reload": ["SELECT pg_reload_conf()"],
    "105 others' sessions": ["SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'operator'"],
    "105 function": ["CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'"],
    "105 untrusted function": ["CREATE FUNCTION stats_f(cstring) RETURNS text LANGUAGE internal AS 'textin'"],
    "105 publication": ["CREATE PUBLICATION p FOR TABLE salaries"],
}

#: PostgreSQL lets every role do it, and it shows and changes nothing of others: the host's check alone is in the way.
HARMLESS = {
    "LISTEN c",
    "NOTIFY c, 'x'",
    "SELECT pg_notify('c', 'x')",
    "SELECT pg_advisory_lock(1)",
    "SELECT lo_create(0)",
    "SELECT relname FROM pg_class",
    "SET search_path = pg_catalog",
    "SHOW server_version",
}

#: The same on SQLite; ``?`` takes a text.
SQLITE = {
    "102 table": "SELECT cents FROM salaries",
    "102 column": "SELECT email FROM users",
    "102 star": "SELECT * FROM users",
    "102 filter": "SELECT id FROM users WHERE email LIKE 'a%'",
    "102 order": "SELECT id FROM users ORDER BY email",
    "102 cross join": "SELECT users.id FROM users, salaries",
    "102 with": "WITH s AS (SELECT cents FROM salaries) SELECT cents FROM s",
    "102 with of a granted name": "WITH tags AS (SELECT cents AS name FROM salaries) SELECT name FROM tags",
    "102 view": "SELECT cents FROM everything",
    "102 view of a view": "SELECT cents FROM nested",
    "102 subquery": "SELECT id FROM users WHERE id IN (SELECT user_id FROM salaries)",
    "102 case": "SELECT CENTS FROM SALARIES",
    "102 brackets": "SELECT [cents] FROM [salaries]",
    "102 backquotes": "SELECT `cents` FROM `main`.`salaries`",
    "102 comment": "SELECT/* users */cents FROM--\nsalaries",
    "102 union": "SELECT name FROM users UNION ALL SELECT cents FROM salaries",
    "102 natural join": "SELECT 1 FROM users NATURAL JOIN (SELECT 'ada@example.org' AS email)",
    "102 joined by name": "SELECT 1 FROM users JOIN (SELECT 'ada@example.org' AS email) USING (email)",
    "102 insert from": "INSERT INTO tags (name) SELECT cents FROM salaries",
    "102 conflict": "INSERT INTO tags (name) VALUES ('rock') ON CONFLICT DO UPDATE SET used = (SELECT 1 FROM salaries)",
    "102 update from": "UPDATE tags SET used = cents FROM salaries",
    "102 returning": "UPDATE tags SET used = 1 RETURNING (SELECT max(cents) FROM salaries)",
    "102 write": "UPDATE users SET email = ''",
    "102 delete": "DELETE FROM users",
    "102 trigger of the application": "INSERT INTO audited (note) VALUES ('x')",
    "102 copied table": "CREATE TABLE stats_a AS SELECT cents FROM salaries",
    "102 foreign key": "CREATE TABLE stats_a (id REFERENCES salaries (id))",
    "102 trigger": "CREATE TRIGGER t AFTER INSERT ON tags BEGIN DELETE FROM users; END",
    "102 schema table": "SELECT sql FROM sqlite_master",
    "102 pragma as a table": "SELECT name FROM pragma_table_info('salaries')",
    "102 drop": "DROP TABLE owned",
    "102 alter": "ALTER TABLE users ADD COLUMN x",
    "104 attach": "ATTACH ? AS stolen",
    "104 attach memory": "ATTACH ':memory:' AS stolen",
    "104 vacuum into": "VACUUM INTO ?",
    "104 vacuum": "VACUUM",
    "104 writable schema": "PRAGMA writable_schema = 1",
    "104 journal": "PRAGMA journal_mode = DELETE",
    "104 foreign keys": "PRAGMA foreign_keys = OFF",
    "104 virtual table": "CREATE VIRTUAL TABLE stats_v USING fts5 (x)",
    "104 temporary table": "CREATE TEMP TABLE stats_a (a)",
    "104 reindex": "REINDEX",
    "104 analyze": "ANALYZE",
}


class OpenParser(Parser):
    """For a host whose own check is switched off: it refuses nothing, and sends whatever it is given."""

    async def parse(self, text: str) -> Statement:
        try:
            return await super().parse(text)
        except (Forbidden, SyntaxWrong):
            return Statement(text, "Anything", None)


@pytest.fixture
def fenceless(postgres: PostgresWorld, monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresWorld]:
    """The host's own check is switched off; the role is all that is left."""
    monkeypatch.setattr(catalog, "plan", lambda statement, facts: Plan())
    monkeypatch.setattr(postgres.databases["main"], "_parser", OpenParser())
    yield postgres
    for place in postgres.databases["main"]._places.values():
        # It remembers what it has decided.
        place.catalog.forget()


def run(connection: sql.Connection, statements: list[str]) -> object:
    for statement in statements:
        cursor = connection.execute(statement)
    return cursor.fetchall() if cursor.description else cursor.rowcount


@pytest.mark.system
@pytest.mark.parametrize("attempt", POSTGRES)
def test_on_postgresql(postgres: PostgresWorld, attempt):
    before = postgres.contents()
    worker = postgres.worker(*RIGHTS)

    with pytest.raises(sql.DatabaseError) as refused:
        run(scoped(worker), POSTGRES[attempt])

    is_missing = refused.value.reason == Reason.CAPABILITY_MISSING
    # Or no column: PostgreSQL would have called a function, and was not asked.
    is_no_column = refused.value.sql is not None and refused.value.sql.sqlstate == "42703"
    assert is_missing or is_no_column or "No capability allows it." in str(refused.value)
    with contextlib.suppress(Exception):
        worker.end(success=True)
    assert postgres.contents() == before


@pytest.mark.system
@pytest.mark.parametrize("attempt", POSTGRES)
def test_on_postgresql_with_the_hosts_check_switched_off(fenceless: PostgresWorld, attempt):
    before = fenceless.contents()
    worker = fenceless.worker(*RIGHTS)

    with pytest.raises(sql.DatabaseError) as refused:
        run(scoped(worker), POSTGRES[attempt])

    assert refused.value.reason != Reason.CAPABILITY_MISSING
    state = refused.value.sql.sqlstate
    several = attempt.startswith("103")
    # One statement in one message is all that the protocol knows; else it is a matter of rights.
    assert state == ("42601" if several else "42501"), str(refused.value)
    with contextlib.suppress(Exception):
        worker.end(success=True)
    assert fenceless.contents() == before


@pytest.mark.system
@pytest.mark.parametrize("attempt", POSTGRES)
def test_it_works_for_who_may(postgres: PostgresWorld, attempt):
    url = postgres.server.url(database=postgres.names["main"])
    with psycopg.connect(url) as superuser:
        try:
            for statement in POSTGRES[attempt]:
                if "TO STDOUT" in statement:
                    with superuser.cursor().copy(statement) as rows:
                        assert list(rows)
                else:
                    superuser.execute(statement.replace("stats_users", "users_of_old"))
        finally:
            superuser.rollback()


@pytest.mark.system
@pytest.mark.parametrize("statement", sorted(HARMLESS))
def test_what_the_host_alone_refuses(fenceless: PostgresWorld, statement):
    run(scoped(fenceless.worker(*RIGHTS)), [statement])


@pytest.mark.system
@pytest.mark.parametrize("statement", sorted(HARMLESS - {"SHOW server_version"}))
def test_the_host_refuses_it(postgres: PostgresWorld, statement):
    with pytest.raises(sql.NotSupportedError):
        run(scoped(postgres.worker("sql.read:**", "sql.write:**", "sql.define:**")), [statement])


@pytest.mark.system
def test_a_function_of_ones_own_reaches_nothing_more(fenceless: PostgresWorld):
    """With the check switched off a role may make functions in its own schema; they run with its own rights."""
    connection = scoped(fenceless.worker(*RIGHTS))
    connection.execute(
        "CREATE FUNCTION stats_f() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER AS "
        "'BEGIN RETURN (SELECT sum(cents) FROM public.salaries); END'"
    )
    with pytest.raises(sql.ProgrammingError, match="permission denied"):
        connection.execute("SELECT stats_f()")


IDENTIFIERS = [
    'x"; DROP TABLE users; --',
    "x'; DROP TABLE users; --",
    "salaries",
    "users) SELECT cents FROM salaries --",
]


@pytest.mark.system
@pytest.mark.parametrize("text", IDENTIFIERS)
def test_106_values_are_never_read_as_names(postgres: PostgresWorld, text):
    worker = postgres.worker(*RIGHTS)
    connection = scoped(worker)

    connection.execute("INSERT INTO tags (name) VALUES ($1)", (text,))
    assert connection.execute("SELECT name FROM tags WHERE name = $1", (text,)).fetchall() == [(text,)]
    with pytest.raises(sql.DatabaseError):
        connection.execute('SELECT * FROM "' + text.replace('"', '""') + '"')
    for function in ("nextval", "currval"):
        with pytest.raises(sql.DatabaseError):
            connection.execute(f"SELECT {function}($1)", (text,))
    worker.end(success=True)
    assert postgres.rows("SELECT count(*) FROM users") == [(2,)]


@pytest.fixture
def rows_bound(server: PostgresServer) -> Iterator[PostgresWorld]:
    with postgres_world(server, fresh_name(), rows={"plays": "track"}) as world:
        yield world


#: Of an installation that is bound to its rows.
AROUND_ROWS = [
    "SELECT set_config('moorage.installation', 'second', false)",
    "SET row_security = off",
    "SET LOCAL row_security = off",
    "ALTER TABLE plays DISABLE ROW LEVEL SECURITY",
    "ALTER TABLE plays NO FORCE ROW LEVEL SECURITY",
    "DROP POLICY moorage_others ON plays",
    "CREATE POLICY mine ON plays USING (true)",
    "SET ROLE operator",
    "UPDATE plays SET track = 'second'",
    "INSERT INTO plays (track) VALUES ('second')",
]


@pytest.mark.system
@pytest.mark.parametrize("statement", AROUND_ROWS)
def test_rows_of_others_stay_out_of_reach(rows_bound: PostgresWorld, monkeypatch, statement):
    world = rows_bound
    world.rows("TRUNCATE plays")
    world.rows("INSERT INTO plays (track, rating) VALUES ('first', 1), ('second', 2)")
    rights = ("sql.read:plays", "sql.write:plays")
    first = unscoped(world.worker(*rights, installation="first"))
    assert first.execute("SELECT rating FROM plays").fetchall() == [(1,)]
    assert first.execute("UPDATE plays SET rating = rating + 10").rowcount == 1
    first.commit()
    monkeypatch.setattr(catalog, "plan", lambda statement, facts: Plan())
    monkeypatch.setattr(world.databases["main"], "_parser", OpenParser())

    with contextlib.suppress(sql.DatabaseError):
        first.execute(statement)
        first.commit()
    first.rollback()
    with contextlib.suppress(sql.DatabaseError):
        assert first.execute("SELECT track FROM plays").fetchall() == [("first",)]
        first.execute("DELETE FROM plays")
        first.commit()

    assert world.rows("SELECT track, rating FROM plays WHERE track <> 'first'") == [("second", 2)]
    second = unscoped(world.worker(*rights, installation="second"))
    assert second.execute("SELECT rating FROM plays").fetchall() == [(2,)]


@pytest.mark.parametrize("attempt", SQLITE)
def test_on_sqlite(patient_host: HostWorld, attempt, tmp_path):
    statement = SQLITE[attempt]
    before = patient_host.contents()
    worker = patient_host.worker(*RIGHTS)
    target = tmp_path / "stolen.db"

    with pytest.raises(sql.DatabaseError) as refused:
        scoped(worker).execute(statement, (str(target),) if "?" in statement else ()).fetchall()

    assert refused.value.reason == Reason.CAPABILITY_MISSING or "No capability allows it." in str(refused.value)
    worker.end(success=True)
    assert patient_host.contents() == before
    assert not target.exists()


@pytest.mark.parametrize("attempt", SQLITE)
def test_it_works_for_the_files_owner(patient_host: HostWorld, attempt, tmp_path):
    statement = SQLITE[attempt]
    with contextlib.closing(sqlite3.connect(patient_host.paths["main"], isolation_level=None)) as owner:
        owner.execute(statement, (str(tmp_path / "stolen.db"),) if "?" in statement else ()).fetchall()


@pytest.mark.parametrize(
    "statement", ["SELECT 1; DELETE FROM tags", "SELECT 1 --\n; DELETE FROM tags", "DELETE FROM tags; SELECT 1"]
)
def test_103_several_on_sqlite(patient_host: HostWorld, statement):
    with pytest.raises(sql.DatabaseError):
        scoped(patient_host.worker("sql.read:**", "sql.write:**")).execute(statement)
    assert patient_host.rows("SELECT count(*) FROM tags") == [(1,)]


def test_104_no_library_is_loaded(patient_host: HostWorld):
    with pytest.raises(sql.NotSupportedError):
        scoped(patient_host.worker("sql.read:**")).execute("SELECT load_extension('/tmp/evil.so')")


@pytest.mark.parametrize("text", IDENTIFIERS)
def test_106_on_sqlite(patient_host: HostWorld, text):
    connection = scoped(patient_host.worker(*RIGHTS))
    connection.execute("INSERT INTO tags (name) VALUES (?)", (text,))
    assert connection.execute("SELECT name FROM tags WHERE name = ?", (text,)).fetchall() == [(text,)]
    with pytest.raises(sql.DatabaseError):
        connection.execute('SELECT * FROM "' + text.replace('"', '""') + '"')
