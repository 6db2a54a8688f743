"""Three modes of keeping installations apart, and the script for those who administer a database."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import psycopg
import pytest
from postgres_worlds import OPERATOR, PostgresWorld, fresh_name, postgres_world
from servers.postgres import PostgresServer
from sql_worlds import granted, scoped, unscoped

from moorage.broker.services.sql.backends import databases
from moorage.config.services.sql import SqlBackend, SqlMode
from moorage.config.settings import SettingsInvalid
from moorage_proto.errors import Reason
from moorage_sdk import sql
from moorage_sdk.errors import CapabilityMissing

pytestmark = pytest.mark.system

RIGHTS = ("sql.read:users(id,name)", "sql.write:tags", "sql.define:stats_*", "sql.read:stats_*", "sql.write:stats_*")


def privileges(world: PostgresWorld, who: str = "churn") -> list[tuple[str, str]]:
    return world.rows(
        "SELECT table_name, privilege_type FROM information_schema.table_privileges "
        f"WHERE grantee ~ '{who}' AND grantee LIKE 'moorage%' AND table_schema = 'public' ORDER BY 1, 2"
    )


def test_managed_makes_a_role_with_no_powers(world: PostgresWorld):
    scoped(world.worker(*RIGHTS)).execute("SELECT id FROM users")

    assert world.rows(
        "SELECT rolcanlogin, rolsuper, rolcreaterole, rolcreatedb, rolinherit, rolreplication, rolbypassrls "
        "FROM pg_roles r JOIN pg_stat_activity a ON a.usename = r.rolname "
        "WHERE rolname LIKE '%churn' AND a.datname = current_database() LIMIT 1"
    ) == [(True, False, False, False, False, False, False)]
    assert privileges(world) == [("tags", "DELETE"), ("tags", "INSERT"), ("tags", "REFERENCES"), ("tags", "UPDATE")]
    assert world.rows(
        "SELECT has_database_privilege(rolname, current_database(), 'TEMP'), has_schema_privilege(rolname, 'public', "
        "'CREATE') FROM pg_roles WHERE rolname = (SELECT usename FROM pg_stat_activity WHERE usename LIKE '%churn' "
        "AND datname = current_database() LIMIT 1)"
    ) == [(False, False)]


def test_the_password_is_nowhere_in_plain_text(world: PostgresWorld):
    scoped(world.worker(*RIGHTS)).execute("SELECT id FROM users")
    password = world.databases["main"]._fence._roles._roles["churn"].password

    assert len(password) > 40
    assert world.rows(f"SELECT count(*) FROM pg_authid WHERE rolpassword LIKE '%{password}%'") == [(0,)]
    assert world.rows("SELECT DISTINCT left(rolpassword, 13) FROM pg_authid WHERE rolname LIKE 'moorage%'") == [
        ("SCRAM-SHA-256",)
    ]


def test_a_removed_installation_leaves_its_tables_and_no_role(world: PostgresWorld):
    worker = world.worker(*RIGHTS, installation="leaving")
    scoped(worker).execute("CREATE TABLE stats_a AS SELECT 7 AS a")
    worker.end(success=True)
    worker.die()

    ((role,),) = world.rows("SELECT tableowner FROM pg_tables WHERE schemaname = 'moorage_leaving'")

    world.do(world.databases["main"].forget("leaving"))

    assert world.rows(f"SELECT 1 FROM pg_roles WHERE rolname = '{role}'") == []
    assert world.rows("SELECT a FROM moorage_leaving.stats_a") == [(7,)]
    assert world.rows("SELECT tableowner FROM pg_tables WHERE schemaname = 'moorage_leaving'") == [(OPERATOR,)]
    again = scoped(world.worker(*RIGHTS, installation="leaving"))
    assert again.execute("SELECT id FROM users").fetchall()


def test_an_operators_role_that_may_not_make_roles(server: PostgresServer):
    with postgres_world(server, fresh_name()) as world:
        server.run(f"ALTER ROLE {OPERATOR} NOCREATEROLE")
        try:
            with pytest.raises(sql.OperationalError, match="not prepared for this installation") as unprepared:
                unscoped(world.worker(*RIGHTS)).execute("SELECT 1")
        finally:
            server.run(f"ALTER ROLE {OPERATOR} CREATEROLE")
        assert unprepared.value.reason == Reason.BACKEND_UNAVAILABLE
        assert OPERATOR not in str(unprepared.value).replace("its operator", "")
        assert unscoped(world.worker(*RIGHTS)).execute("SELECT 1").fetchone() == (1,)


def test_a_role_that_would_be_no_fence_is_not_used(world: PostgresWorld):
    worker = world.worker(*RIGHTS, installation="strong")
    unscoped(worker).execute("SELECT 1")
    ((role,),) = world.rows("SELECT usename FROM pg_stat_activity WHERE usename LIKE '%strong' LIMIT 1")
    world.databases["main"]._fence._roles._roles.clear()
    world.rows(f"GRANT {OPERATOR} TO {role}")
    try:
        with pytest.raises(sql.OperationalError, match="not prepared"):
            unscoped(world.worker(*RIGHTS, "sql.read:tags", installation="strong")).execute("SELECT 1")
    finally:
        world.rows(f"REVOKE {OPERATOR} FROM {role}")
    unscoped(world.worker(*RIGHTS, installation="strong")).execute("SELECT 1")


@pytest.fixture
def provided(server: PostgresServer) -> Iterator[PostgresWorld]:
    name = fresh_name()
    roles = {"churn": server.url(f"{name}_churn", "secret", name)}
    with postgres_world(server, name, mode=SqlMode.PROVIDED, roles=roles, rows={"plays": "track"}) as world:
        yield world


def test_provided_by_the_script(provided: PostgresWorld, server: PostgresServer):
    name, database = provided.names["main"], provided.databases["main"]
    worker = provided.worker(*RIGHTS, "sql.read:plays")
    with pytest.raises(sql.OperationalError, match="cannot be reached"):
        unscoped(worker).execute("SELECT 1")

    script = provided.do(database.plan({"churn": granted(*RIGHTS, "sql.read:plays")}))
    with psycopg.connect(server.url(database=name), autocommit=True) as administrator:
        administrator.execute(script)
        administrator.execute(f"ALTER ROLE {name}_churn PASSWORD 'secret'")

    provided.rows("INSERT INTO plays (track) VALUES ('churn')")
    connection = unscoped(worker)
    assert connection.execute("SELECT id FROM users ORDER BY 1").fetchall() == [(1,), (2,)]
    assert connection.execute("SELECT track FROM plays").fetchall() == [("churn",)]
    connection.execute("CREATE TABLE stats_a (a int)")
    connection.execute("INSERT INTO stats_a VALUES (1)")
    connection.commit()
    assert provided.rows("SELECT a FROM moorage_churn.stats_a") == [(1,)]
    with pytest.raises(CapabilityMissing):
        connection.execute("SELECT email FROM users")
    again = provided.do(database.plan({"churn": granted(*RIGHTS, "sql.read:plays")}))
    assert "CREATE ROLE" not in again
    assert "GRANT SELECT" not in again


def test_a_right_that_the_administrator_has_not_given_is_told(provided: PostgresWorld, server: PostgresServer):
    name, database = provided.names["main"], provided.databases["main"]
    script = provided.do(database.plan({"churn": granted("sql.read:tags")}))
    server.run(script, database=name)
    server.run(f"ALTER ROLE {name}_churn PASSWORD 'secret'")

    with pytest.raises(sql.ProgrammingError, match="moorage sql plan") as refused:
        unscoped(provided.worker("sql.read:**")).execute("SELECT id FROM users")
    assert refused.value.sql.sqlstate == "42501"


@pytest.mark.parametrize("power", ["SUPERUSER", "BYPASSRLS", "CREATEROLE"])
def test_a_provided_role_that_would_be_no_fence(provided: PostgresWorld, server: PostgresServer, power):
    name = provided.names["main"]
    server.run(f"CREATE ROLE {name}_churn LOGIN {power} PASSWORD 'secret'")

    with pytest.raises(sql.OperationalError, match="not prepared"):
        unscoped(provided.worker("sql.read:**")).execute("SELECT 1")


def test_a_provided_role_whose_rows_are_not_bound(provided: PostgresWorld, server: PostgresServer):
    name = provided.names["main"]
    server.run(f"CREATE ROLE {name}_churn LOGIN PASSWORD 'secret'")

    with pytest.raises(sql.OperationalError, match="not prepared"):
        unscoped(provided.worker("sql.read:**")).execute("SELECT 1")


def test_a_provided_role_is_bound_on_partitions_it_may_name(provided: PostgresWorld, server: PostgresServer):
    name, database = provided.names["main"], provided.databases["main"]
    rights = ("sql.read:plays", "sql.read:plays_old")
    server.run(provided.do(database.plan({"churn": granted(*rights)})), database=name)
    server.run(f"ALTER ROLE {name}_churn PASSWORD 'secret'")
    provided.rows("CREATE TABLE plays_old () INHERITS (plays)")
    provided.rows(f"ALTER TABLE plays_old OWNER TO {OPERATOR}")
    connection = unscoped(provided.worker(*rights))
    assert connection.execute("SELECT track FROM plays").fetchall() == []
    connection.rollback()
    provided.do(forget_rested(provided))

    provided.rows(f"GRANT SELECT ON plays_old TO {name}_churn")
    with pytest.raises(sql.OperationalError, match="not prepared"):
        connection.execute("SELECT track FROM plays_old")
    connection.rollback()

    server.run(provided.do(database.plan({"churn": granted(*rights)})), database=name)
    assert connection.execute("SELECT track FROM plays_old").fetchall() == []


async def forget_rested(world: PostgresWorld) -> None:
    world.databases["main"].pool.forget("churn")


def test_an_installation_for_which_no_role_is_provided(provided: PostgresWorld):
    with pytest.raises(sql.OperationalError, match=r"sql\.main\.roles\.other"):
        unscoped(provided.worker("sql.read:**", installation="other")).execute("SELECT 1")


def test_a_single_fence(server: PostgresServer):
    with postgres_world(server, fresh_name(), mode=SqlMode.SINGLE_FENCE) as world:
        worker = world.worker(*RIGHTS)
        connection = unscoped(worker)
        assert connection.execute("SELECT id, name FROM users ORDER BY 1").fetchall() == [(1, "Ada"), (2, "Grace")]
        connection.execute("INSERT INTO tags (name) VALUES ('jazz')")
        connection.commit()
        for statement in ("SELECT * FROM users", "SELECT cents FROM salaries", "SELECT * FROM everything"):
            with pytest.raises(CapabilityMissing):
                connection.execute(statement)
        for statement in ("CREATE TABLE stats_a (a int)", "SELECT * FROM information_schema.tables"):
            with pytest.raises(sql.NotSupportedError):
                connection.execute(statement)
        assert world.do(world.databases["main"].plan({"churn": granted(*RIGHTS)}))


def test_a_single_fence_tells_nothing_of_the_row_that_breaks_a_constraint(server: PostgresServer, world: PostgresWorld):
    """PostgreSQL leaves out what the role may not read; one role for all may read everything."""
    statement = "UPDATE users SET name = NULL WHERE id = 1"
    with postgres_world(server, fresh_name(), mode=SqlMode.SINGLE_FENCE) as single:
        for each, shown in ((single, ""), (world, "(id, name) = (1, null)")):
            with pytest.raises(sql.IntegrityError, match="violates not-null constraint") as refused:
                unscoped(each.worker("sql.read:users(id)", "sql.write:users(name)")).execute(statement)
            assert "ada@" not in str(refused.value)
            assert ("Failing row" in str(refused.value)) == bool(shown)
            assert shown in str(refused.value)


def test_a_single_fence_looks_anew(server: PostgresServer):
    """Nothing stands beneath what the host knows of the schema: a column that was added is seen at once."""
    with postgres_world(server, fresh_name(), mode=SqlMode.SINGLE_FENCE) as world:
        connection = unscoped(world.worker("sql.read:tags(name,used)"))
        assert connection.execute("SELECT * FROM tags").fetchall() == [("rock", 1)]
        connection.rollback()

        world.rows("ALTER TABLE tags ADD COLUMN secret text DEFAULT 'x'")

        with pytest.raises(CapabilityMissing) as refused:
            connection.execute("SELECT * FROM tags")
        assert refused.value.capability == "sql.read:tags(secret)"


def test_rows_that_cannot_be_bound_are_not_shown(server: PostgresServer):
    with (
        postgres_world(server, fresh_name(), rows={"plays": "nope"}) as world,
        pytest.raises(sql.OperationalError, match="not prepared"),
    ):
        unscoped(world.worker("sql.read:plays")).execute("SELECT 1")


def test_row_security_leaves_others_as_they_were(server: PostgresServer):
    with postgres_world(server, fresh_name(), rows={"plays": "track"}) as world:
        server.run("CREATE ROLE application LOGIN PASSWORD 'x'")
        world.rows("GRANT SELECT ON plays TO application")
        unscoped(world.worker("sql.read:plays")).execute("SELECT 1")

        found = server.run("SELECT count(*) FROM plays", database=world.names["main"], user="application", password="x")
        assert found == [(2,)]


def test_partitions_are_bound_like_their_table(server: PostgresServer):
    with postgres_world(server, fresh_name(), rows={"parted": "who"}) as world:
        for statement in (
            "CREATE TABLE parted (id integer, who text) PARTITION BY LIST (who)",
            "CREATE TABLE parted_rest PARTITION OF parted DEFAULT",
            "INSERT INTO parted VALUES (1, 'churn'), (2, 'other')",
            f"ALTER TABLE parted OWNER TO {OPERATOR}",
            f"ALTER TABLE parted_rest OWNER TO {OPERATOR}",
        ):
            world.rows(statement)
        connection = unscoped(world.worker("sql.read:parted*"))

        for table in ("parted", "parted_rest"):
            assert connection.execute(f"SELECT id FROM {table}").fetchall() == [(1,)]
        connection.rollback()
        world.rows("CREATE TABLE parted_other PARTITION OF parted FOR VALUES IN ('another')")
        world.rows("INSERT INTO parted VALUES (3, 'another')")
        world.rows(f"ALTER TABLE parted_other OWNER TO {OPERATOR}")
        assert connection.execute("SELECT id FROM parted_other").fetchall() == []
        assert world.rows("SELECT count(*) FROM parted_other") == [(1,)]
        assert world.do(world.databases["main"].plan({"next": granted("sql.read:parted*")})).count("RESTRICTIVE") == 3


def test_policies_of_the_application_stay_in_force(server: PostgresServer):
    with postgres_world(server, fresh_name(), rows={"plays": "track"}) as world:
        world.rows("ALTER TABLE plays ENABLE ROW LEVEL SECURITY")
        world.rows("CREATE POLICY own ON plays TO PUBLIC USING (rating < 5)")
        world.rows("INSERT INTO plays (track, rating) VALUES ('churn', 9), ('churn', 1)")

        connection = unscoped(world.worker("sql.read:plays"))

        assert sorted(connection.execute("SELECT rating FROM plays").fetchall()) == [(1,), (9,)]
        assert world.rows("SELECT polname FROM pg_policy WHERE polname = 'moorage_others'") == []


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"url": "mysql://user:secret@server/shop"}, "asks for mysql"),
        ({"url": "nonsense"}, "not a SQLAlchemy URL"),
        ({"url": "postgresql://u@s/d", "mode": "provided", "roles": {"churn": "nonsense"}}, r"roles\.churn is not"),
    ],
)
def test_settings_that_cannot_be(settings, problem):
    with pytest.raises(SettingsInvalid, match=problem) as refused:
        databases({"main": SqlBackend(**settings)}, lambda _: None)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"url": "sqlite:////x.db", "mode": "managed"}, "are for PostgreSQL"),
        ({"url": "sqlite:////x.db", "rows": {"a": "b"}}, "are for PostgreSQL"),
        ({"url": "postgresql://u@s/d", "roles": {"churn": "postgresql://c@s/d"}}, "provided"),
        ({"url": "postgresql://u@s/d", "mode": "single-fence", "rows": {"a": "b"}}, "rows need a role"),
        ({"url": "postgresql://u@s/d", "mode": "sloppy"}, "single-fence"),
    ],
)
def test_settings_that_do_not_fit(settings, problem):
    with pytest.raises(ValueError, match=problem):
        SqlBackend(**settings)


def test_the_default_is_managed():
    assert SqlBackend(url="postgresql://u@s/d").fence is SqlMode.MANAGED
    assert SqlBackend(url="sqlite:////x.db").fence is None


def test_a_host_starts_without_its_server():
    database = databases({"main": SqlBackend(url="postgresql://u:p@127.0.0.1:1/d")}, lambda _: None)["main"]
    assert (database.dialect, database.server_version) == ("postgresql", ())
    asyncio.run(database.open())
    asyncio.run(database.close())
