"""What PostgreSQL's statements take, decided without a server."""

from __future__ import annotations

import asyncio

import postgast.pg_query_pb2 as tree
import pytest

from moorage.broker.services.sql.postgresql.facts import Facts, Relation
from moorage.broker.services.sql.postgresql.nesting import levels
from moorage.broker.services.sql.postgresql.statements import MAX_BYTES, Parser, Plan, Statement, SyntaxWrong, plan
from moorage_proto.sqlite_access import Forbidden

OWN = "moorage_churn"


def relation(name: str, *columns: str, kind: str = "r", schema: str = "public", of: str = "") -> Relation:
    return Relation(schema, name, kind, columns, of)


RELATIONS = (
    relation("users", "id", "name", "email"),
    relation("salaries", "id", "user_id", "cents"),
    relation("plays", "id", "user_id", "track", "rating"),
    relation("tags", "name", "used"),
    relation("everything", "name", "cents", kind="v"),
    relation("orders", "id", "total", schema="sales"),
    relation("odd.name", "id"),
    relation("plays_id_seq", "last_value", kind="S", of="plays"),
    relation("numbers", "last_value", kind="S"),
    relation("mine", "id", "note", schema=OWN),
    relation("mine_note", kind="i", schema=OWN, of="mine"),
    relation("columns", "table_name", kind="v", schema="information_schema"),
)

FACTS = Facts(
    (OWN, "public"),
    OWN,
    {(each.schema, each.name): each for each in RELATIONS},
    frozenset({("public", "mood")}),
    shows_information=True,
)


@pytest.fixture(scope="module")
def parser():
    made = Parser()
    yield made
    made.close()


def parsed(parser: Parser, statement: str) -> Statement:
    return asyncio.run(parser.parse(statement))


def planned(parser: Parser, statement: str, facts: Facts = FACTS) -> Plan:
    return plan(parsed(parser, statement), facts)


def told(found: Plan) -> set[str]:
    """``read users(id,name)``; ``read users()`` of rows alone."""
    return {
        f"{'|'.join(verb.removeprefix('sql.') for verb in each.verbs)} {each.table}"
        + (f"({','.join(each.columns)})" if each.columns else "")
        for each in found.needs
    }


READS = [
    ("SELECT 1", ""),
    ("SELECT cents FROM salaries", "read salaries(cents)"),
    ("SELECT * FROM salaries", "read salaries(cents,id,user_id)"),
    ("TABLE salaries", "read salaries(cents,id,user_id)"),
    ("SELECT count(*) FROM salaries", "read salaries()"),
    ("SELECT 1 FROM salaries", "read salaries()"),
    ("SELECT ctid FROM users", "read users; read users()"),
    ("SELECT tableoid, id FROM users u", "read users; read users(id)"),
    ('SELECT "email" FROM "public"."users"', "read users(email)"),
    ("SELECT EMAIL FROM PUBLIC.USERS", "read users(email)"),
    ("SELECT public.users.email FROM public.users", "read users(email)"),
    ("SELECT total FROM sales.orders", "read sales.orders(total)"),
    ('SELECT id FROM "odd.name"', 'read "odd.name"(id)'),
    ("SELECT note FROM mine", "read mine(note)"),
    ("SELECT name FROM everything", "read everything(name)"),
    (
        "SELECT name FROM users WHERE id IN (SELECT user_id FROM salaries)",
        "read users(id,name); read salaries(user_id)",
    ),
    ("SELECT (SELECT max(cents) FROM salaries)", "read salaries(cents)"),
    ("SELECT EXISTS (SELECT FROM salaries)", "read salaries()"),
    ("SELECT ARRAY(SELECT cents FROM salaries)", "read salaries(cents)"),
    ("SELECT name FROM users UNION SELECT track FROM plays", "read users(name); read plays(track)"),
    ("SELECT name FROM users EXCEPT TABLE tags", "read users(name); read tags(name,used)"),
    ("SELECT u.name FROM users u JOIN salaries s ON s.user_id = u.id", "read users(id,name); read salaries(user_id)"),
    ("SELECT u.name FROM users u JOIN plays p USING (id)", "read users(id,name); read plays(id)"),
    ("SELECT j.email FROM (users JOIN tags USING (name)) AS j", "read users(email,name); read tags(name)"),
    ("SELECT 1 FROM users ORDER BY email", "read users(email)"),
    ("SELECT id AS email FROM users ORDER BY email", "read users(id)"),
    ("SELECT id AS email FROM users GROUP BY email, id", "read users(email,id)"),
    ("SELECT DISTINCT ON (email) id FROM users", "read users(email,id)"),
    ("SELECT 1 FROM users HAVING max(email) > ''", "read users(email)"),
    ("SELECT 1 LIMIT (SELECT cents FROM salaries LIMIT 1)", "read salaries(cents)"),
    ("SELECT count(*) FILTER (WHERE email > '') FROM users", "read users(email)"),
    ("SELECT sum(id) OVER (PARTITION BY email) FROM users", "read users(email,id)"),
    ("SELECT sum(id) OVER w FROM users WINDOW w AS (ORDER BY email)", "read users(email,id)"),
    ("SELECT string_agg(name, ',' ORDER BY email) FROM users", "read users(email,name)"),
    ("SELECT CASE WHEN email > '' THEN 1 END FROM users", "read users(email)"),
    ("SELECT name COLLATE \"C\" FROM users WHERE (id, email) = (1, 'x')", "read users(email,id,name)"),
    ("SELECT u FROM users u", "read users(email,id,name)"),
    ("SELECT u.* FROM users u", "read users(email,id,name)"),
    ("SELECT row_to_json(u) FROM users u", "read users(email,id,name)"),
    ("SELECT count(u) FROM users u", "read users(email,id,name)"),
    ("SELECT x FROM users AS u (x)", "read users(email,id,name)"),
    ("SELECT (TABLE salaries).cents", None),
    ("SELECT * FROM users TABLESAMPLE SYSTEM (10)", "read users(email,id,name)"),
    ("SELECT * FROM ONLY users", "read users(email,id,name)"),
    ("VALUES (1), ((SELECT cents FROM salaries))", "read salaries(cents)"),
    ("SELECT name FROM users FOR UPDATE", "read users(name); write users()"),
    ("SELECT 1 FROM users u, tags t FOR SHARE OF t", "read users(); read tags(); write tags()"),
    ("SELECT 1 FROM (SELECT id FROM users) u FOR UPDATE", "read users(id); write users()"),
    (
        "SELECT p.track FROM users u, LATERAL (SELECT track FROM plays WHERE user_id = u.id) p",
        "read users(id); read plays(track,user_id)",
    ),
    (
        "SELECT 1 FROM plays WHERE EXISTS (SELECT 1 FROM users WHERE track = name)",
        "read plays(track); read users(name)",
    ),
    ("SELECT table_name FROM information_schema.columns", ""),
    ("SELECT nextval('numbers'), currval('public.numbers')", "write numbers; read numbers()"),
    ("SELECT nextval('plays_id_seq'::regclass)", "write plays"),
    ("SELECT setval('plays_id_seq', 1)", "write plays"),
    ("SELECT NULL::mood, '{}'::int[], 1::numeric(5, 2)", ""),
    ("SELECT pg_sleep(1)", ""),
    ("SELECT * FROM json_to_recordset('[]') AS x (a int, b text)", ""),
    ("SELECT e.key, e.value, n FROM jsonb_each('{}') e, generate_series(1, 3) n", ""),
    ("SELECT x, ordinality FROM unnest(ARRAY[1]) WITH ORDINALITY AS t (x)", ""),
]

WITH_QUERIES = [
    ("WITH s AS (SELECT * FROM salaries) SELECT * FROM s", "read salaries(cents,id,user_id)"),
    ("WITH s AS (SELECT cents FROM salaries) SELECT 1", "read salaries(cents)"),
    ("WITH users AS (SELECT cents AS name FROM salaries) SELECT name FROM users", "read salaries(cents)"),
    # It names the table, not itself.
    ("WITH salaries AS (SELECT id FROM salaries) SELECT * FROM salaries", "read salaries(id)"),
    # A later one is not visible yet: this reads the table.
    ("WITH a AS (SELECT cents FROM salaries), salaries AS (SELECT 1) SELECT * FROM a", "read salaries(cents)"),
    ("WITH a AS (SELECT 1 AS cents), b AS (SELECT cents FROM a) SELECT cents FROM b", ""),
    # With a schema it is never a WITH query.
    ("WITH salaries AS (SELECT 1 AS cents) SELECT cents FROM public.salaries", "read salaries(cents)"),
    # What is written is never a WITH query.
    ("WITH tags AS (SELECT 1) DELETE FROM tags", "write tags"),
    ("WITH t AS (SELECT 1), u AS (DELETE FROM users RETURNING email) SELECT 1", "write users; read users(email)"),
    ("WITH RECURSIVE up (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up WHERE n < 5) SELECT sum(n) FROM up", ""),
    (
        "WITH RECURSIVE a AS (SELECT * FROM b), b AS (SELECT cents FROM salaries) SELECT * FROM a",
        "read salaries(cents)",
    ),
    ("SELECT (WITH s AS (SELECT cents FROM salaries) SELECT cents FROM s)", "read salaries(cents)"),
    # Of an inner query's WITH nothing is visible outside.
    ("SELECT 1 FROM (WITH salaries AS (SELECT 1) SELECT 1) x, salaries", "read salaries()"),
    ("INSERT INTO tags WITH tags AS (SELECT 'x', 1) TABLE tags", "write tags"),
]

SCOPES = [
    # The innermost table that has the column is meant, and no other.
    ("SELECT 1 FROM users WHERE EXISTS (SELECT 1 FROM plays WHERE id = 3)", "read users(); read plays(id)"),
    ("SELECT 1 FROM users WHERE EXISTS (SELECT 1 FROM plays WHERE email = 'x')", "read users(email); read plays()"),
    ("SELECT 1 FROM users WHERE EXISTS (SELECT 1 FROM (SELECT 1 AS email) q WHERE email = 1)", "read users()"),
    ("SELECT 1 FROM users WHERE EXISTS (SELECT 1 FROM (SELECT 1) q (email) WHERE email = 1)", "read users()"),
    # Of a subquery whose columns it cannot name it takes nothing for granted.
    (
        "SELECT 1 FROM users WHERE EXISTS (SELECT 1 FROM (SELECT * FROM nowhere) q WHERE email = 1)",
        "read users(email); read nowhere; read nowhere()",
    ),
    # ON sees the two sides of its join alone: the name is the outer query's.
    (
        "SELECT 1 FROM users WHERE EXISTS (SELECT 1 FROM salaries, plays JOIN tags ON name = 'x' AND email = 'y')",
        "read users(email); read salaries(); read plays(); read tags(name)",
    ),
    # A subquery without LATERAL does not see its neighbours.
    (
        "SELECT 1 FROM users WHERE EXISTS (SELECT 1 FROM tags, (SELECT name AS x FROM plays) p)",
        "read users(name); read tags(); read plays()",
    ),
    ("SELECT 1 FROM tags, LATERAL (SELECT name AS x FROM plays) p", "read tags(name); read plays()"),
    ("SELECT coalesce FROM (SELECT coalesce(email, '') FROM users) q", "read users(email)"),
    ("SELECT u.name FROM users u, tags", "read users(name); read tags()"),
    ("SELECT tags.name FROM users AS tags", "read users(name)"),
]

WRITES = [
    ("INSERT INTO tags (name) VALUES ('x')", "write tags"),
    ("INSERT INTO tags DEFAULT VALUES", "write tags"),
    ("INSERT INTO tags (name) VALUES ('x') RETURNING used", "write tags; read tags(used)"),
    ("INSERT INTO tags VALUES ('x') RETURNING *", "write tags; read tags(name,used)"),
    ("INSERT INTO tags (name) SELECT cents FROM salaries", "write tags; read salaries(cents)"),
    ("INSERT INTO tags VALUES ('x') ON CONFLICT DO NOTHING", "write tags"),
    ("INSERT INTO tags VALUES ('x') ON CONFLICT (name) DO NOTHING", "write tags; read tags(name)"),
    (
        "INSERT INTO tags VALUES ('x') ON CONFLICT ON CONSTRAINT tags_pkey DO NOTHING",
        "write tags; read tags(name,used)",
    ),
    (
        "INSERT INTO tags AS t VALUES ('x') ON CONFLICT (name) DO UPDATE SET used = t.used + excluded.used",
        "write tags; read tags(name,used)",
    ),
    ("UPDATE plays SET rating = 1", "write plays(rating)"),
    ("UPDATE plays SET rating = 1, track = ''", "write plays(rating,track)"),
    ("UPDATE plays SET (rating, track) = (SELECT 1, email FROM users)", "write plays(rating,track); read users(email)"),
    ("UPDATE plays SET rating = rating + 1 WHERE id = 1", "write plays(rating); read plays(id,rating)"),
    (
        "UPDATE plays p SET rating = cents FROM salaries s WHERE s.user_id = p.user_id",
        "write plays(rating); read salaries(cents,user_id); read plays(user_id)",
    ),
    ("UPDATE plays SET rating = 1 RETURNING (SELECT email FROM users)", "write plays(rating); read users(email)"),
    ("UPDATE users SET email = DEFAULT", "write users(email)"),
    ("DELETE FROM plays", "write plays"),
    ("DELETE FROM plays USING users u WHERE u.id = user_id", "write plays; read users(id); read plays(user_id)"),
    (
        "MERGE INTO tags t USING users u ON t.name = u.name WHEN MATCHED AND u.id > 1 THEN UPDATE SET used = 1 "
        "WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (u.email, 1)",
        "write tags; read tags(name); read users(email,id,name)",
    ),
    (
        "MERGE INTO tags t USING users u ON t.name = u.name WHEN MATCHED THEN UPDATE SET used = u.id",
        "write tags(used); read tags(name); read users(id,name)",
    ),
    ("CREATE TABLE fresh (id serial PRIMARY KEY, at timestamptz DEFAULT now(), CHECK (id > 0))", "define fresh"),
    (f"CREATE TABLE {OWN}.fresh (id bigint GENERATED ALWAYS AS IDENTITY (START 5), m mood)", "define fresh"),
    (
        "CREATE TABLE fresh (u int REFERENCES users (id), p int, FOREIGN KEY (p) REFERENCES plays)",
        "define fresh; write|define users; write|define plays",
    ),
    ("CREATE TABLE fresh (LIKE users INCLUDING ALL)", "define fresh; read users(email,id,name)"),
    ("CREATE TABLE fresh AS SELECT cents FROM salaries", "define fresh; read salaries(cents)"),
    ("CREATE TABLE fresh (id int, twice int GENERATED ALWAYS AS (id * 2) STORED)", "define fresh"),
    ("CREATE VIEW seen AS SELECT cents FROM salaries", "define seen; read salaries(cents)"),
    ("CREATE MATERIALIZED VIEW seen AS SELECT cents FROM salaries", "define seen; read salaries(cents)"),
    ("CREATE UNIQUE INDEX i ON mine (lower(note)) WHERE id > 0", "define mine"),
    ("DROP TABLE mine", "define mine"),
    ("DROP TABLE IF EXISTS mine, gone CASCADE", "define mine; define gone"),
    ("DROP INDEX mine_note", "define mine"),
    ("ALTER TABLE mine ADD COLUMN x text DEFAULT 'a' NOT NULL, DROP COLUMN note", "define mine"),
    ("ALTER TABLE mine ADD CONSTRAINT c CHECK (id > 0)", "define mine"),
    ("ALTER TABLE mine ADD FOREIGN KEY (id) REFERENCES users", "define mine; write|define users"),
    ("ALTER TABLE mine ALTER COLUMN note TYPE varchar(5) USING substr(note, 1, 5)", "define mine"),
    ("ALTER TABLE mine RENAME TO yours", "define mine; define yours"),
    ("ALTER TABLE mine RENAME COLUMN note TO text", "define mine"),
    ("COMMENT ON COLUMN mine.note IS 'x'", "define mine"),
    ("CREATE SEQUENCE counted AS int START 5 OWNED BY mine.id", "define counted; define mine"),
    ("CREATE TYPE size AS ENUM ('s', 'l')", "define size"),
    ("TRUNCATE mine", "write mine"),
    ("SAVEPOINT one", ""),
    ("ROLLBACK TO SAVEPOINT one", ""),
    ("RELEASE one", ""),
    ("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY", ""),
    ("SET LOCAL TIME ZONE 'UTC'", ""),
    ("SET LOCAL lock_timeout = '1s'", ""),
    ("SHOW transaction_isolation", ""),
]


@pytest.mark.parametrize(("statement", "needs"), [*READS, *WITH_QUERIES, *SCOPES, *WRITES])
def test_what_a_statement_takes(parser, statement, needs):
    if needs is None:
        with pytest.raises((Forbidden, SyntaxWrong)):
            planned(parser, statement)
        return
    found = planned(parser, statement)

    assert told(found) == set(filter(None, needs.split("; ")))
    assert (found.forbidden, found.unknown_column) == ("", "")


#: Whatever was granted: the statement, and a part of the sentence.
NEVER = [
    ("SELECT 1; SELECT 2", "several"),
    ("SELECT * FROM pg_class", "catalogue"),
    ("SELECT * FROM pg_catalog.pg_authid", "catalogue"),
    ('SELECT * FROM "pg_shadow"', "catalogue"),
    ("SELECT * FROM pg_temp.users", "catalogue"),
    ("SELECT * FROM pg_toast.pg_toast_1", "catalogue"),
    ("SELECT * FROM information_schema.routines", "not available"),
    ("SELECT * FROM information_schema.applicable_roles", "not available"),
    ("SELECT * FROM moorage_commit", "the host's"),
    ("INSERT INTO moorage_commit VALUES ('e')", "the host's"),
    ("SELECT * FROM moorage_other.secrets", "another installation's"),
    ("CREATE TABLE moorage_x (id int)", "the host's"),
    ("SELECT current_user", "CURRENT_USER"),
    ("SELECT session_user, user, current_role", "SESSION_USER|USER|ROLE"),
    ("SELECT current_catalog", "CURRENT_CATALOG"),
    ("SELECT current_database()", "current_database"),
    ("SELECT current_setting('data_directory')", "current_setting"),
    ("SELECT set_config('role', 'postgres', false)", "set_config"),
    ("SELECT pg_read_file('/etc/passwd')", "pg_read_file"),
    ("SELECT pg_catalog.pg_read_binary_file('/etc/passwd')", "pg_read_binary_file"),
    ("SELECT pg_ls_dir('/')", "pg_ls_dir"),
    ("SELECT lo_import('/etc/passwd')", "lo_import"),
    ("SELECT lo_export(1, '/tmp/x')", "lo_export"),
    ("SELECT lo_get(1)", "lo_get"),
    ("SELECT lo_from_bytea(0, 'x')", "lo_from_bytea"),
    ("SELECT query_to_xml('SELECT * FROM salaries', true, false, '')", "query_to_xml"),
    ("SELECT table_to_xml('salaries', true, false, '')", "table_to_xml"),
    ("SELECT database_to_xml(true, false, '')", "database_to_xml"),
    ("SELECT cursor_to_xml('c', 1, true, false, '')", "cursor_to_xml"),
    ("SELECT * FROM ts_stat('SELECT to_tsvector(email) FROM users')", "ts_stat"),
    ("SELECT ts_rewrite('a'::tsquery, 'SELECT a, b FROM users')", "ts_rewrite"),
    ("SELECT * FROM dblink('dbname=x', 'SELECT 1') AS t (a int)", "dblink"),
    ("SELECT public.anything()", "public.anything"),
    ("SELECT pg_terminate_backend(1)", "pg_terminate_backend"),
    ("SELECT pg_advisory_lock(1)", "pg_advisory_lock"),
    ("SELECT pg_notify('c', 'x')", "pg_notify"),
    ("SELECT has_table_privilege('salaries', 'SELECT')", "has_table_privilege"),
    ("SELECT to_regclass('salaries')", "to_regclass"),
    ("SELECT 'salaries'::regclass", "regclass"),
    ("SELECT CAST('postgres' AS regrole)", "regrole"),
    ("SELECT 'now'::pg_catalog.regproc", "regproc"),
    ("SELECT NULL::salaries", "salaries"),
    ("SELECT (NULL::public.salaries).cents", "cents"),
    ("SELECT json_populate_record(NULL::salaries, '{}')", "json_populate_record|salaries"),
    ("SELECT pg_relation_size('salaries')", "pg_relation_size"),
    ("SELECT nextval($1)", "constant text"),
    ("SELECT nextval('numbers' || '')", "constant text"),
    ("SELECT nextval('16384')", "no name of a sequence"),
    ("SELECT OPERATOR(public.+) 1", "operator"),
    ("SELECT name FROM users ORDER BY name USING OPERATOR(public.<)", "operator"),
    # PostgreSQL calls a function where a column is missing: on a whole row, and on a text.
    ("SELECT ('/etc/passwd'::text).pg_read_file", "function"),
    ("SELECT (u).email FROM users u", "function"),
    ("SELECT xmlparse(DOCUMENT '<a/>')", "not available"),
    ("SELECT json_object('a': 1)", "not available"),
    ("SELECT * FROM users NATURAL JOIN plays", "NATURAL"),
    ("SELECT * INTO stolen FROM users", "SELECT INTO"),
    ("SELECT x.y.z.w.v FROM users", "at most"),
    ("SELECT * FROM other_database.public.users", "at most"),
    ("COPY users TO '/tmp/x'", "COPY"),
    ("COPY users FROM PROGRAM 'id'", "COPY"),
    ("COPY (SELECT * FROM users) TO STDOUT", "COPY"),
    ("DO $$ BEGIN DELETE FROM users; END $$", "DO"),
    ("CALL anything()", "Procedures"),
    ("SET ROLE postgres", "Settings"),
    ("SET SESSION AUTHORIZATION postgres", "Settings"),
    ("SET search_path = pg_catalog", "Settings"),
    ("SET LOCAL search_path = pg_catalog", "Settings"),
    ("SET row_security = off", "Settings"),
    ("SET statement_timeout = 0", "Settings"),
    ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "Settings"),
    ("RESET ROLE", "Settings"),
    ("RESET ALL", "Settings"),
    ("DISCARD ALL", "not available"),
    ("SHOW data_directory", "SHOW"),
    ("SHOW ALL", "SHOW"),
    ("PREPARE p AS SELECT * FROM salaries", "PREPARE"),
    ("EXECUTE p", "EXECUTE"),
    ("CREATE TABLE fresh AS EXECUTE p", "not available"),
    ("DECLARE c CURSOR FOR SELECT 1", "DECLARE"),
    ("FETCH ALL FROM moorage_1", "not available"),
    ("CLOSE ALL", "not available"),
    ("UPDATE users SET name = '' WHERE CURRENT OF c", "not available"),
    ("EXPLAIN SELECT * FROM salaries", "EXPLAIN"),
    ("EXPLAIN ANALYZE DELETE FROM users", "EXPLAIN"),
    ("LOCK TABLE users", "LOCK"),
    ("LISTEN c", "LISTEN"),
    ("NOTIFY c, 'x'", "NOTIFY"),
    ("UNLISTEN *", "not available"),
    ("VACUUM", "VACUUM"),
    ("ANALYZE users", "VACUUM"),
    ("CHECKPOINT", "not available"),
    ("REINDEX TABLE users", "not available"),
    ("CLUSTER users", "not available"),
    ("REFRESH MATERIALIZED VIEW seen", "not available"),
    ("LOAD 'evil'", "not available"),
    ("CREATE EXTENSION dblink", "not available"),
    ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "Functions"),
    ("CREATE TRIGGER t BEFORE INSERT ON mine EXECUTE FUNCTION f()", "Triggers"),
    ("CREATE RULE r AS ON INSERT TO mine DO ALSO DELETE FROM users", "not available"),
    ("CREATE POLICY p ON users USING (true)", "not available"),
    ("ALTER TABLE mine DISABLE ROW LEVEL SECURITY", "cannot"),
    ("ALTER TABLE mine OWNER TO postgres", "cannot"),
    ("ALTER TABLE mine SET SCHEMA public", "not available"),
    ("ALTER TABLE mine INHERIT users", "cannot"),
    ("ALTER TABLE mine ATTACH PARTITION users DEFAULT", "cannot"),
    ("ALTER TABLE mine ENABLE TRIGGER ALL", "cannot"),
    ("CREATE TABLE fresh () INHERITS (users)", "Inheritance"),
    ("CREATE TABLE fresh PARTITION OF users DEFAULT", "Inheritance"),
    ("CREATE TABLE fresh (a int) TABLESPACE fast", "storage"),
    ("CREATE TABLE fresh (a int) WITH (autovacuum_enabled = off)", "storage"),
    ("CREATE TABLE fresh (a int DEFAULT pg_backend_pid())", "pg_backend_pid"),
    ("CREATE TABLE fresh (a int CHECK (pg_terminate_backend(a)))", "pg_terminate_backend"),
    ("CREATE TABLE fresh (a salaries)", "salaries"),
    ("CREATE TABLE fresh OF salaries", "storage"),
    ("CREATE TEMP TABLE t (a int)", "Temporary"),
    ("CREATE TEMP VIEW t AS SELECT 1", "Temporary"),
    ("CREATE TEMP TABLE t AS SELECT 1", "Temporary"),
    ("CREATE INDEX CONCURRENTLY i ON mine (note)", "CONCURRENTLY"),
    ("CREATE INDEX i ON mine (pg_backend_pid())", "pg_backend_pid"),
    ("CREATE SCHEMA more", "not available"),
    ("DROP SCHEMA moorage_churn CASCADE", "not dropped"),
    ("CREATE ROLE more", "not available"),
    ("ALTER ROLE postgres PASSWORD 'x'", "not available"),
    ("DROP OWNED BY CURRENT_USER", "not available"),
    ("REASSIGN OWNED BY CURRENT_USER TO postgres", "not available"),
    ("GRANT ALL ON users TO PUBLIC", "not available"),
    ("GRANT postgres TO churn", "not available"),
    ("REVOKE ALL ON users FROM PUBLIC", "not available"),
    ("ALTER SYSTEM SET fsync = off", "not available"),
    ("ALTER DATABASE shop SET role = postgres", "not available"),
    ("CREATE DATABASE more", "not available"),
    ("SECURITY LABEL ON TABLE users IS 'x'", "not available"),
    ("IMPORT FOREIGN SCHEMA x FROM SERVER y INTO z", "not available"),
    ("CREATE PUBLICATION p FOR ALL TABLES", "not available"),
    ("BEGIN", "commit\\(\\)"),
    ("COMMIT", "commit\\(\\)"),
    ("ROLLBACK", "commit\\(\\)"),
    ("COMMIT AND CHAIN", "commit\\(\\)"),
    ("PREPARE TRANSACTION 'x'", "commit\\(\\)"),
    ("COMMIT PREPARED 'x'", "commit\\(\\)"),
    ("SAVEPOINT moorage_x", "the host's"),
]


@pytest.mark.parametrize(("statement", "sentence"), NEVER)
def test_never(parser, statement, sentence):
    with pytest.raises(Forbidden, match=sentence):
        planned(parser, statement)


#: What PostgreSQL would take for a call of a function is told to be no column, and never sent.
NO_COLUMN = [
    "SELECT u.row_to_json FROM users u",
    "SELECT users.query_to_xml FROM users",
    "SELECT f.pg_read_file FROM unnest(ARRAY['/etc/passwd']) AS f (x)",
    "SELECT g.pg_sleep FROM generate_series(1, 3) g",
    "SELECT nope FROM users",
    "SELECT u.nope FROM users u",
    "SELECT gone.id FROM users",
    "SELECT users.id FROM users u",
]


@pytest.mark.parametrize("statement", NO_COLUMN)
def test_what_is_no_column(parser, statement):
    assert planned(parser, statement).unknown_column


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE users",
        "ALTER TABLE users ADD COLUMN x int",
        "CREATE TABLE public.fresh (a int)",
        "CREATE INDEX i ON users (email)",
        "CREATE VIEW sales.seen AS SELECT 1",
        "ALTER TABLE users RENAME TO mine_now",
        "COMMENT ON TABLE users IS ''",
        "TRUNCATE users",
        "TRUNCATE mine, users",
        "ALTER SEQUENCE plays_id_seq RESTART",
    ],
)
def test_tables_of_the_application_stay_as_they_are(parser, statement):
    found = planned(parser, statement)

    assert found.needs, "without the right, that is what is told"
    assert "installation's own schema" in found.forbidden


def test_without_a_schema_nothing_is_defined(parser):
    found = planned(parser, "CREATE TABLE fresh (a int)", Facts(("public",), ""))

    assert told(found) == {"define fresh"}
    assert "no schema for tables of plugins" in found.forbidden


def test_without_a_role_the_information_schema_is_closed(parser):
    with pytest.raises(Forbidden, match="not available"):
        planned(parser, "SELECT * FROM information_schema.columns", Facts(("public",), ""))


def test_a_table_that_is_not_known_is_needed_as_a_whole(parser):
    assert told(planned(parser, "SELECT a FROM nowhere")) == {"read nowhere()"}
    assert told(planned(parser, "SELECT * FROM nowhere")) == {"read nowhere", "read nowhere()"}
    assert told(planned(parser, "SELECT n.a FROM nowhere n")) == {"read nowhere", "read nowhere()"}


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("SELEC 1", "syntax error"),
        ("", "empty"),
        ("-- nothing", "empty"),
        ("SELECT 1\x00", "null"),
        ("SELECT '\ud800'", "surrogate"),
    ],
)
def test_what_is_no_statement(parser, statement, message):
    with pytest.raises(SyntaxWrong, match=message):
        parsed(parser, statement)


def test_placeholders_are_counted(parser):
    assert parsed(parser, "SELECT $2, $1, $2").parameters == 2
    assert parsed(parser, "SELECT '$3'").parameters == 0


DEEP = 20_000


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT " + "+".join("1" * DEEP),
        "SELECT " + "(" * DEEP + "1" + ")" * DEEP,
        "SELECT " + "NOT " * DEEP + "true",
        "SELECT 1" + "::int" * DEEP,
        " UNION ALL ".join(["SELECT 1"] * DEEP),
        "SELECT * FROM a" + " CROSS JOIN a" * DEEP,
        "SELECT " + "f(" * DEEP + ")" * DEEP,
        "SELECT " + "1+" * (MAX_BYTES // 2 - 10) + "1",
    ],
    ids=["chain", "parentheses", "not", "casts", "unions", "joins", "calls", "longest"],
)
def test_nesting_does_not_end_the_process(parser, statement):
    with pytest.raises((Forbidden, SyntaxWrong)):
        parsed(parser, statement)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT 1", 1),
        ("SELECT 1 + 1 + 1", 3),
        ("SELECT a, b, c", 1),
        ("SELECT f(a, b) + f(c + d)", 5),
        ("SELECT ((1 + 1) + 1) + 1", 6),
        ("SELECT 1 WHERE a = 1 AND b = 2 AND c = 3", 3),
        ("SELECT ARRAY[ARRAY[1]]", 5),
    ],
)
def test_levels_are_counted_before_a_statement_is_parsed(statement, expected):
    assert levels(statement) == expected


def test_long_lists_are_taken(parser):
    values = ", ".join(f"(${2 * n + 1}, ${2 * n + 2})" for n in range(5000))

    statement = parsed(parser, f"INSERT INTO tags (name, used) VALUES {values}")

    assert statement.parameters == 10_000
    assert told(plan(statement, FACTS)) == {"write tags"}


def test_every_field_of_a_query_is_read():
    """A new version of the library may bring clauses that nobody here has heard of."""
    fields = {
        "SelectStmt": "distinct_clause into_clause target_list from_clause where_clause group_clause group_distinct "
        "having_clause window_clause values_lists sort_clause limit_offset limit_count limit_option locking_clause "
        "with_clause op all larg rarg",
        "InsertStmt": "relation cols select_stmt on_conflict_clause returning_clause with_clause override",
        "UpdateStmt": "relation target_list where_clause from_clause returning_clause with_clause",
        "DeleteStmt": "relation using_clause where_clause returning_clause with_clause",
        "MergeStmt": "relation source_relation join_condition merge_when_clauses returning_clause with_clause",
        "MergeWhenClause": "match_kind command_type override condition target_list values",
        "OnConflictClause": "action infer target_list where_clause location",
        "InferClause": "index_elems where_clause conname location",
        "JoinExpr": "jointype is_natural larg rarg using_clause join_using_alias quals alias rtindex",
        "RangeVar": "catalogname schemaname relname inh relpersistence alias location",
        "RangeSubselect": "lateral subquery alias",
        "RangeFunction": "lateral ordinality is_rowsfrom functions alias coldeflist",
        "FuncCall": "funcname args agg_order agg_filter over agg_within_group agg_star agg_distinct func_variadic "
        "funcformat location",
        "TypeCast": "arg type_name location",
        "TypeName": "names type_oid setof pct_type typmods typemod array_bounds location",
        "SubLink": "xpr sub_link_type sub_link_id testexpr oper_name subselect location",
        "ResTarget": "name indirection val location",
        "ReturningClause": "options exprs",
        "LockingClause": "locked_rels strength wait_policy",
        "A_Expr": "kind name lexpr rexpr rexpr_list_start rexpr_list_end location",
    }
    for name, known in fields.items():
        assert [field.name for field in getattr(tree, name).DESCRIPTOR.fields] == known.split(), name


@pytest.mark.parametrize(
    "inner",
    [
        # A cast of VALUES is called as its column; of SELECT as its type.
        "(SELECT (VALUES ('1'))::email) z",
        "(VALUES (1)) z",
        # The alias names no column of these.
        "json_array_elements('[1]') AS email",
        "jsonb_array_elements_text('[1]') AS email",
        "ROWS FROM (generate_series(1, 1), generate_series(1, 1)) AS email",
        "unnest(ARRAY[1], ARRAY[2]) AS email",
        "unnest(to_tsvector('a')) AS email",
        # What was renamed is not shown by its old name.
        "(SELECT 1 AS email) q (a)",
        "(SELECT * FROM (SELECT 1 AS email) q (a)) z",
        "(SELECT q.* FROM (SELECT 1 AS email) q (a)) z",
        "((SELECT 1 AS email) q (a) CROSS JOIN (SELECT 2) r (b)) AS j",
        "(SELECT * FROM (WITH w (a) AS (SELECT 1 AS email) SELECT * FROM w) v) z",
        # Fields of a row take the place of its name.
        "(SELECT (email).* FROM (SELECT json_each('{\"a\": 1}') AS email) q) z",
    ],
)
def test_a_column_that_a_query_does_not_show_is_that_of_the_query_around(parser: Parser, inner: str):
    facts = Facts(FACTS.path, OWN, FACTS.relations, frozenset({("public", "email")}), shows_information=True)

    assert "read users(email)" in told(planned(parser, f"SELECT (SELECT email FROM {inner} LIMIT 1) FROM users", facts))


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT id, (VALUES ('1'))::email FROM users ORDER BY email",
        "SELECT users.id, z.* FROM users, (SELECT 1 AS email) z (a) ORDER BY email",
    ],
)
def test_sorting_by_what_is_no_column_of_the_result_reads_the_tables(parser: Parser, statement: str):
    facts = Facts(FACTS.path, OWN, FACTS.relations, frozenset({("public", "email")}), shows_information=True)

    assert "read users(email,id)" in told(planned(parser, statement, facts))


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT pg_read_file.pg_read_file FROM json_array_elements_text('[\"/etc/passwd\"]') AS pg_read_file",
        "SELECT ts_stat.ts_stat FROM ROWS FROM (string_to_table('SELECT 1', '-'), unnest(ARRAY[1])) AS ts_stat",
        "SELECT told.told FROM unnest(ARRAY(SELECT users FROM users)) AS told",
        "SELECT t.told FROM users AS t (a, b)",
    ],
)
def test_a_function_is_not_called_by_the_name_of_a_column(parser: Parser, statement: str):
    assert planned(parser, statement).unknown_column


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT x FROM unnest(ARRAY[1]) AS x",
        "SELECT t.x FROM unnest(ARRAY[1]) AS t (x)",
        "SELECT e.value FROM json_array_elements('[1]') AS e",
        "SELECT e.n FROM json_array_elements('[1]') AS e (n)",
        "SELECT n.n FROM generate_series(1, 2) AS n",
        "SELECT unnest FROM unnest(ARRAY[1], ARRAY[2]) WITH ORDINALITY",
        "SELECT z.x FROM (SELECT * FROM unnest(ARRAY[1]) AS x) z",
        "SELECT a, b FROM ((SELECT 1) q (a) CROSS JOIN (SELECT 2) r (b)) AS j",
    ],
)
def test_columns_of_functions_and_renamed_ones_are_found(parser: Parser, statement: str):
    found = planned(parser, statement)

    assert (found.unknown_column, found.needs) == ("", ())


def test_columns_of_a_query_are_counted(parser: Parser):
    doubled = "SELECT *, * FROM (" * 20 + "SELECT 1 AS a" + ") x" * 20

    with pytest.raises(Forbidden, match="at most 1664 columns"):
        planned(parser, doubled)
    assert planned(parser, "SELECT *, * FROM (SELECT *, * FROM users) x").needs


@pytest.mark.parametrize("cast", ["'users'::regclass", "'users'::pg_catalog.regclass"])
def test_types_of_the_catalogue_are_not_hidden_by_ones_of_the_same_name(parser: Parser, cast: str):
    types = frozenset({(OWN, "regclass"), ("pg_catalog", "regclass"), (OWN, "mood")})
    facts = Facts(FACTS.path, OWN, FACTS.relations, types)

    with pytest.raises(Forbidden, match="The type regclass"):
        planned(parser, f"SELECT {cast}::oid", facts)
    planned(parser, f"SELECT 'ok'::mood, 'ok'::{OWN}.mood", facts)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1 FROM " + ",".join(f"users u{number}" for number in range(501)),
        "SELECT " + ",".join(["id"] * 10_001) + " FROM users",
        "SELECT " + ",".join(["u1.id"] * 4000) + " FROM " + ",".join(f"users u{number}" for number in range(300)),
        "SELECT " + ",".join(f"1::t{number}" for number in range(1001)),
    ],
)
def test_what_takes_long_to_decide_is_refused(parser: Parser, statement: str):
    with pytest.raises(Forbidden, match="too large to be decided"):
        planned(parser, statement)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1 FROM " + ",".join(f"users u{number}" for number in range(500)),
        "SELECT id FROM users WHERE id IN (" + ",".join(f"${number + 1}" for number in range(30_000)) + ")",
        "INSERT INTO tags VALUES " + ",".join(f"(${number + 1})" for number in range(30_000)),
    ],
)
def test_what_is_long_and_quickly_decided_is_taken(parser: Parser, statement: str):
    assert planned(parser, statement).needs
