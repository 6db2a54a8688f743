"""The SQL service over a real PostgreSQL, as ``sql_worlds`` has it over SQLite."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import psycopg
from memory_link import RecordingAudit
from servers.postgres import PostgresServer
from sql_worlds import HostWorld

from moorage.broker.services.sql.postgresql.connection import PostgresLimits
from moorage.broker.services.sql.postgresql.making import postgres_database
from moorage.broker.services.sql.postgresql.pool import PoolLimits
from moorage.config.services.sql import SqlBackend

OPERATOR = "operator"
OPERATOR_PASSWORD = "of-the-operator"

SCHEMA = """
    CREATE TABLE users (id integer PRIMARY KEY, name text NOT NULL, email text);
    CREATE TABLE plays (id serial PRIMARY KEY, user_id integer, track text, rating integer);
    CREATE TABLE salaries (id integer PRIMARY KEY, user_id integer, cents integer);
    CREATE TABLE tags (name text PRIMARY KEY, used integer DEFAULT 0);
    CREATE TABLE owned (id integer PRIMARY KEY, salary_id integer REFERENCES salaries (id));
    CREATE TABLE audited (id serial PRIMARY KEY, note text);
    CREATE TABLE audit_log (note text);
    CREATE VIEW everything AS SELECT users.name, salaries.cents FROM users JOIN salaries ON user_id = users.id;
    CREATE VIEW names AS SELECT id, name FROM users;
    CREATE INDEX salaries_by_user ON salaries (user_id);
    CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS
      'BEGIN INSERT INTO public.audit_log VALUES (new.note); RETURN new; END';
    CREATE TRIGGER audited_insert AFTER INSERT ON audited FOR EACH ROW EXECUTE FUNCTION audit();
"""

ROWS = """
    INSERT INTO users VALUES (1, 'Ada', 'ada@example.org'), (2, 'Grace', 'grace@example.org');
    INSERT INTO plays (user_id, track, rating) VALUES (1, 'Army of Me', 3), (2, 'Halleluhwah', 5);
    INSERT INTO salaries VALUES (1, 1, 100), (2, 2, 200);
    INSERT INTO tags VALUES ('rock', 1);
"""

TABLES = ("users", "plays", "salaries", "tags", "owned", "audited", "audit_log")


def make_operator(server: PostgresServer) -> None:
    """A role that may make roles, and is no superuser; a database of its own, from which others are copied."""
    server.run(
        f"CREATE ROLE {OPERATOR} LOGIN CREATEROLE CREATEDB PASSWORD '{OPERATOR_PASSWORD}'",
        f"CREATE DATABASE pattern OWNER {OPERATOR}",
    )
    server.run(f"ALTER SCHEMA public OWNER TO {OPERATOR}", database="pattern")
    server.run(SCHEMA, ROWS, database="pattern", user=OPERATOR, password=OPERATOR_PASSWORD)


class PostgresWorld(HostWorld):
    """A database of its own, with the pattern's tables."""

    def __init__(
        self,
        server: PostgresServer,
        name: str,
        *,
        limits: PostgresLimits | None = None,
        pool: PoolLimits | None = None,
        port: int = 0,
        **settings: Any,
    ) -> None:
        self.server = server
        self.names = {"main": name, "other": f"{name}_other"}
        for database in self.names.values():
            make_database(server, database)
        self._limits, self._pool, self._port, self._settings = limits, pool, port, settings
        self._owners: dict[str, psycopg.Connection[Any]] = {}
        self.audit = RecordingAudit()
        self.databases = {}
        for backend, database in self.names.items():
            self.databases[backend] = postgres_database(backend, self.settings(database), limits=limits, pool=pool)
        self._run()

    def settings(self, database: str) -> SqlBackend:
        url = self.server.url(OPERATOR, OPERATOR_PASSWORD, database, self._port)
        return SqlBackend(url=url, **self._settings)

    def reset(self) -> None:
        """As new, but for the threads, the loop, the roles and the connections at rest."""
        self.do(self._end_workers())
        for database in self.names.values():
            empty = f"TRUNCATE {', '.join(TABLES)} RESTART IDENTITY"
            self._owner(_FORGET_OWN, empty, ROWS, database=database)
        self.audit.passed.clear()
        self.audit.refused.clear()

    def rows(self, statement: str, backend: str = "main") -> list[tuple[Any, ...]]:
        return self._owner(statement, database=self.names[backend]) or []

    def contents(self) -> list[str]:
        found = []
        for (table,) in self.rows(_ALL_TABLES):
            found += [f"{table} {row}" for row in self.rows(f"SELECT * FROM {table} ORDER BY 1")]
        found += [str(row) for row in self.rows(_SHAPE)]
        return found

    def backends(self, state: str = "") -> int:
        """Connections of plugins' roles to the main database; in a state, such as "active"."""
        ((count,),) = self.rows(
            "SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'moorage%' AND datname = current_database()"
            + (f" AND state LIKE '{state}'" if state else "")
        )
        return int(count)

    def close(self) -> None:
        super().close()
        for connection in self._owners.values():
            connection.close()

    def _owner(self, *statements: str, database: str) -> Any:
        """As a superuser, on one connection: each takes some milliseconds to make. It may have died with its server."""
        found = self._owners.get(database)
        if found is not None:
            try:
                found.execute("SELECT 1")
            except psycopg.OperationalError:
                found.close()
                found = None
        if found is None:
            found = self._owners[database] = psycopg.connect(self.server.url(database=database), autocommit=True)
        for statement in statements:
            cursor = found.execute(statement)  # type: ignore[call-overload]  # the tests' own text
        return cursor.fetchall() if cursor.description else None


_numbers = itertools.count(1)


def fresh_name() -> str:
    """Of a database that is not there yet."""
    return f"db{next(_numbers)}"


def make_database(server: PostgresServer, name: str) -> None:
    server.run(f"CREATE DATABASE {name} TEMPLATE pattern OWNER {OPERATOR}")


@contextlib.contextmanager
def postgres_world(server: PostgresServer, name: str, **options: Any) -> Iterator[PostgresWorld]:
    world = PostgresWorld(server, name, **options)
    try:
        yield world
    finally:
        world.close()


_ALL_TABLES = """
SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
WHERE schemaname !~ '^(pg_|information)' AND tablename <> 'moorage_commit' ORDER BY 1
"""

_SHAPE = """
SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns
WHERE table_schema !~ '^(pg_|information)' ORDER BY 1, 2, ordinal_position
"""

#: What plugins have made in schemas of their own.
_FORGET_OWN = """
DO $$ DECLARE each record; BEGIN
  FOR each IN SELECT n.nspname, c.relname,
      CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
        ELSE 'TABLE' END AS kind
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname LIKE 'moorage\\_%' AND c.relkind IN ('r', 'v', 'm', 'S')
      AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype IN ('a', 'i') AND c.relkind = 'S')
  LOOP
    EXECUTE format('DROP %s IF EXISTS %I.%I CASCADE', each.kind, each.nspname, each.relname);
  END LOOP;
  FOR each IN SELECT n.nspname, t.typname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE n.nspname LIKE 'moorage\\_%' AND t.typtype = 'e'
  LOOP
    EXECUTE format('DROP TYPE IF EXISTS %I.%I CASCADE', each.nspname, each.typname);
  END LOOP;
END $$
"""
