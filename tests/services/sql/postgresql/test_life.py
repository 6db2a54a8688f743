"""Time limits, sudden ends, and a server that goes away and comes back."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from fault_proxy import FaultProxy
from postgres_worlds import PostgresWorld, fresh_name, postgres_world
from servers.postgres import PostgresServer
from sql_worlds import scoped, scoped_async, unscoped

from moorage.broker.services.sql.postgresql import raw
from moorage.broker.services.sql.postgresql.connection import MAX_CURSORS, PostgresLimits
from moorage.broker.services.sql.postgresql.database import MAX_CONNECTIONS_EACH
from moorage.broker.services.sql.postgresql.pool import PoolLimits
from moorage_proto.errors import CallError, Reason
from moorage_sdk import sql
from moorage_sdk.errors import Cancelled, CapabilityMissing, DeadlineExceeded, QuotaExceeded
from moorage_sdk.scope import entered
from moorage_sdk.services.sql.state import EXECUTE

pytestmark = pytest.mark.system

ALL = ("sql.read:**", "sql.write:**", "sql.define:**")
INSERT = "INSERT INTO tags (name) VALUES ($1)"
MANY = "SELECT n FROM generate_series(1, 100000) n"
SOON_SECONDS = 10


@pytest.fixture
def pool():
    with ThreadPoolExecutor(8) as made:
        yield made


def tags(world: PostgresWorld) -> list[str]:
    return [name for (name,) in world.rows("SELECT name FROM tags ORDER BY name")]


def until(condition) -> None:
    end = time.monotonic() + SOON_SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        threading.Event().wait(0.01)


def execute(connection: sql.Connection, statement: str, timeout: float):
    """As the driver does, with a deadline."""
    connection.execute("SELECT 1")
    with entered(connection._state.scope):
        request = connection._state.execute_request(statement, ())
        return connection._state.channel.call(EXECUTE, request, timeout=timeout)


def in_use(world: PostgresWorld) -> int:
    """Connections that transactions hold."""
    pool = world.databases["main"].pool
    return pool.open_connections - sum(len(share.resting) for share in pool._shares.values())


def place(world: PostgresWorld, installation: str = "churn"):
    return world.databases["main"]._places[installation]


def test_a_deadline_stops_the_statement_on_the_server(world: PostgresWorld):
    connection = scoped(world.worker(*ALL))
    began = time.monotonic()

    with pytest.raises(DeadlineExceeded):
        execute(connection, "SELECT pg_sleep(30)", 0.3)

    assert time.monotonic() - began < SOON_SECONDS
    until(lambda: world.backends("active") == 0)
    connection.rollback()
    assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_statement_lifts_no_limit(world: PostgresWorld):
    connection = scoped(world.worker(*ALL))
    connection.execute("SET LOCAL statement_timeout = 0")

    with pytest.raises(DeadlineExceeded):
        execute(connection, "SELECT pg_sleep(30)", 0.3)


async def test_cancelling_stops_the_statement(world: PostgresWorld):
    connection = scoped_async(world.worker(*ALL))
    await connection.execute("SELECT 1")
    endless = asyncio.create_task(connection.execute("SELECT pg_sleep(30)"))
    await asyncio.to_thread(until, lambda: world.backends("active") == 1)

    endless.cancel()
    with pytest.raises(asyncio.CancelledError):
        await endless

    async with asyncio.timeout(SOON_SECONDS):
        await connection.rollback()
        assert await (await connection.execute("SELECT 1")).fetchone() == (1,)
    assert await asyncio.to_thread(world.backends, "active") == 0


def test_a_cancel_request_that_was_lost_is_repeated(world: PostgresWorld, monkeypatch: pytest.MonkeyPatch):
    """The server ignores one that comes between two statements."""
    connection = scoped(world.worker(*ALL))
    stop, lost = raw.BoundedConnection.stop, []

    async def lose_the_first(connection: raw.BoundedConnection) -> None:
        if not lost:
            lost.append(True)
        else:
            await stop(connection)

    monkeypatch.setattr(raw.BoundedConnection, "stop", lose_the_first)
    with pytest.raises(DeadlineExceeded):
        execute(connection, "SELECT pg_sleep(30)", 0.1)
    until(lambda: world.backends("active") == 0)
    connection.rollback()
    assert connection.execute("SELECT 1").fetchone() == (1,)
    assert lost
    # It was not cut off, which is the last resort.
    assert world.databases["main"].pool.open_connections == 1


def test_a_server_notices_that_it_was_cut_off(world: PostgresWorld, monkeypatch: pytest.MonkeyPatch):
    """It computes, and nobody's cancel request reaches it."""

    async def lose(_: raw.BoundedConnection) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(raw.BoundedConnection, "stop", lose)
    monkeypatch.setattr("moorage.broker.services.sql.postgresql.running.CANCEL_SECONDS", 0.1)
    with pytest.raises(DeadlineExceeded):
        execute(scoped(world.worker(*ALL)), "SELECT pg_sleep(30)", 0.1)
    until(lambda: world.backends("active") == 0)


def test_a_late_request_to_stop_ends_nothing_of_others(world: PostgresWorld, pool, monkeypatch):
    """While it may still reach the server, nobody else is given the connection."""
    asked, answered = threading.Event(), threading.Event()
    cancel_safe = raw.BoundedConnection.cancel_safe

    async def late(connection: raw.BoundedConnection, *, timeout: float) -> None:
        asked.set()
        await asyncio.to_thread(answered.wait, SOON_SECONDS)
        await cancel_safe(connection, timeout=timeout)

    monkeypatch.setattr(raw.BoundedConnection, "cancel_safe", late)
    connection = unscoped(world.worker(*ALL))
    running = pool.submit(lambda: connection.execute("SELECT pg_sleep(0.5)").fetchall())
    until(lambda: world.backends("active") == 1)
    stopping = pool.submit(connection.cancel)
    assert asked.wait(SOON_SECONDS)
    running.result(SOON_SECONDS)

    connection.commit()
    assert world.do(open_of(world)) == 0
    answered.set()
    stopping.result(SOON_SECONDS)
    assert connection.execute("SELECT 1").fetchall() == [(1,)]
    connection.commit()
    assert world.do(open_of(world)) == 1
    connection.close()


async def open_of(world: PostgresWorld) -> int:
    return world.databases["main"].pool.open_of("churn")


def test_another_call_cancels_the_statement(world: PostgresWorld, pool):
    connection = scoped(world.worker(*ALL))
    connection.execute("SELECT 1")
    running = pool.submit(lambda: connection.execute("SELECT pg_sleep(30)"))
    until(lambda: world.backends("active") == 1)

    connection.cancel()

    with pytest.raises(Cancelled):
        running.result(SOON_SECONDS)
    connection.rollback()
    assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_transaction_in_which_nothing_happens_is_rolled_back(server: PostgresServer):
    with postgres_world(server, fresh_name(), limits=PostgresLimits(idle=0.2)) as world:
        worker = world.worker(*ALL)
        connection = scoped(worker)
        connection.execute(INSERT, ("one",))
        until(lambda: in_use(world) == 0)

        for _ in range(2):
            with pytest.raises(sql.OperationalError, match=r"nothing came for 0\.2 s") as idle:
                connection.execute("SELECT 1")
            assert idle.value.reason == Reason.TRANSACTION_IDLE
        with pytest.raises(CallError) as failed:
            worker.end(success=True)
        assert failed.value.reason == Reason.TRANSACTION_IDLE
        assert tags(world) == ["rock"]


def test_a_connection_is_held_by_a_transaction_alone(world: PostgresWorld):
    worker = world.worker(*ALL)
    connections = [unscoped(worker) for _ in range(20)]
    for connection in connections:
        connection.execute("SELECT 1")
        connection.commit()

    assert in_use(world) == 0
    assert world.backends() == 1


def test_an_aborted_transaction_is_not_committed(world: PostgresWorld):
    worker = world.worker(*ALL)
    connection = scoped(worker)
    connection.execute(INSERT, ("one",))
    with pytest.raises(sql.IntegrityError):
        connection.execute(INSERT, ("rock",))
    with pytest.raises(sql.InternalError, match="aborted"):
        connection.execute("SELECT 1")
    with pytest.raises(sql.InternalError, match="cannot be committed"):
        connection.commit()

    with pytest.raises(CallError):
        worker.end(success=True)

    assert tags(world) == ["rock"]
    assert in_use(world) == 0


def test_serialization_failures_and_deadlocks_can_be_run_again(world: PostgresWorld, pool):
    first, second = (unscoped(world.worker(*ALL, installation=name)) for name in ("first", "second"))
    for connection in (first, second):
        connection.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        connection.execute("SELECT sum(used) FROM tags").fetchall()
    first.execute(INSERT, ("one",))
    second.execute(INSERT, ("two",))
    first.commit()
    with pytest.raises(sql.OperationalError) as conflict:
        second.commit()
    assert (conflict.value.reason, conflict.value.retryable) == (Reason.SERIALIZATION_FAILURE, True)
    assert conflict.value.sql.sqlstate == "40001"
    second.rollback()

    first.execute("UPDATE users SET name = 'x' WHERE id = 1")
    second.execute("UPDATE users SET name = 'x' WHERE id = 2")
    crossing = [
        pool.submit(connection.execute, f"UPDATE users SET name = 'y' WHERE id = {number}")
        for connection, number in ((first, 2), (second, 1))
    ]
    outcomes = [waited.exception(SOON_SECONDS) for waited in crossing]
    (deadlock,) = filter(None, outcomes)
    assert (deadlock.reason, deadlock.sql.sqlstate) == (Reason.SERIALIZATION_FAILURE, "40P01")


def test_a_worker_that_dies_in_a_transaction_and_a_cursor_leaves_nothing(world: PostgresWorld):
    worker = world.worker(*ALL)
    connection, cursor = scoped(worker), unscoped(worker)
    connection.execute(INSERT, ("one",))
    rows = cursor.execute(MANY)
    assert rows.fetchone() == (1,)
    assert (in_use(world), place(world).cursors, place(world).connections) == (2, 1, 2)

    worker.die()

    assert (in_use(world), place(world).cursors, place(world).connections) == (0, 0, 0)
    until(lambda: world.backends("idle in transaction%") == 0)
    assert tags(world) == ["rock"]


def test_a_worker_that_dies_in_a_statement_leaves_nothing(world: PostgresWorld, pool):
    worker = world.worker(*ALL)
    connection = scoped(worker)
    connection.execute(INSERT, ("one",))
    running = pool.submit(lambda: connection.execute("SELECT pg_sleep(30)"))
    until(lambda: world.backends("active") == 1)

    worker.die()

    with pytest.raises(sql.Error):
        running.result(SOON_SECONDS)
    until(lambda: world.backends("active") == 0)
    assert in_use(world) == 0
    assert tags(world) == ["rock"]


def test_taking_a_grant_back_ends_what_used_it(world: PostgresWorld):
    worker = world.worker("sql.write:tags", "sql.read:users")
    connection = scoped(worker)
    connection.execute(INSERT, ("one",))

    worker.set_grants("sql.write:tags")
    connection.execute(INSERT, ("two",))
    worker.set_grants("sql.read:users")

    with pytest.raises(CapabilityMissing) as revoked:
        connection.execute("SELECT 1")
    assert revoked.value.reason == Reason.GRANT_REVOKED
    assert in_use(world) == 0
    assert tags(world) == ["rock"]


def test_so_many_connections_and_cursors(world: PostgresWorld):
    worker = world.worker(*ALL)
    connection = scoped(worker)
    held = [connection.execute(MANY) for _ in range(MAX_CURSORS)]
    with pytest.raises(QuotaExceeded, match="cursors"):
        connection.execute("SELECT 1")
    held.pop().close()
    assert connection.execute("SELECT 1").fetchone() == (1,)
    connection.rollback()

    others = [unscoped(worker) for _ in range(MAX_CONNECTIONS_EACH - 1)]
    for other in others:
        other.execute("SELECT 1")
        other.rollback()
    with pytest.raises(QuotaExceeded, match="Close those"):
        unscoped(worker).execute("SELECT 1")


def test_the_budget_is_shared_and_waited_for(server: PostgresServer, pool):
    limits = PoolLimits(all=3, each=2, wait=0.5)
    with postgres_world(server, fresh_name(), pool=limits) as world:
        first, second = (world.worker(*ALL, installation=name) for name in ("first", "second"))
        mine = [unscoped(first) for _ in range(3)]
        for connection in mine[:2]:
            connection.execute(INSERT, (str(id(connection)),))
        with pytest.raises(QuotaExceeded, match="in use") as busy:
            mine[2].execute("SELECT 1")
        assert busy.value.retryable
        theirs = [unscoped(second) for _ in range(2)]
        theirs[0].execute("SELECT 1")
        waiting = pool.submit(lambda: theirs[1].execute("SELECT 1").fetchone())
        until(lambda: world.databases["main"].pool._waiting)

        mine[0].commit()

        assert waiting.result(SOON_SECONDS) == (1,)
        assert world.backends() <= 3
        # What rests of one installation makes room for another.
        theirs[0].rollback()
        theirs[1].rollback()
        assert mine[0].execute("SELECT 1").fetchone() == (1,)
        assert world.backends() <= 3


def test_the_servers_operators_see_who_it_is(world: PostgresWorld):
    worker = world.worker(*ALL)
    scoped(worker).execute(INSERT, ("one",))

    assert world.rows("SELECT application_name FROM pg_stat_activity WHERE state LIKE 'idle in%'") == [
        ("moorage/churn/e-1",)
    ]
    worker.end(success=True)
    assert world.rows(
        "SELECT DISTINCT application_name FROM pg_stat_activity WHERE usename LIKE 'moorage%churn' AND state = 'idle' "
        "AND datname = current_database()"
    ) == [("moorage/churn",)]


def test_a_reply_that_is_too_large_does_not_fill_the_hosts_memory(world: PostgresWorld, monkeypatch):
    monkeypatch.setattr(raw, "MAX_REPLY_BYTES", 4 * 1024 * 1024)
    connection = scoped(world.worker(*ALL))

    with pytest.raises(sql.DataError, match="MiB"):
        connection.execute("SELECT repeat('x', 200000000)")
    connection.rollback()
    with pytest.raises(sql.DataError, match="A row has more than 3 MiB"):
        connection.execute("SELECT repeat('x', 3500000)")
    connection.rollback()
    assert len(connection.execute("SELECT repeat('x', 1000000)").fetchone()[0]) == 1_000_000


def test_large_rows_are_streamed(world: PostgresWorld):
    connection = scoped(world.worker(*ALL))
    count = 0
    for (text,) in connection.execute("SELECT repeat('x', 100000) FROM generate_series(1, 200)"):
        count += len(text)
    assert count == 20_000_000


def test_the_server_is_killed_and_comes_back(server: PostgresServer):
    with postgres_world(server, fresh_name()) as world:
        worker = world.worker(*ALL)
        connection, other = unscoped(worker), unscoped(worker)
        connection.execute(INSERT, ("kept",))
        connection.commit()
        connection.execute(INSERT, ("lost",))
        server.kill()
        began = time.monotonic()
        for statement in (INSERT, "SELECT 1"):
            with pytest.raises(sql.OperationalError) as lost:
                connection.execute(statement, ("more",) if "$1" in statement else ())
            assert lost.value.reason == Reason.BACKEND_UNAVAILABLE
        with pytest.raises(sql.OperationalError, match="cannot be reached") as unreachable:
            other.execute("SELECT 1")
        assert unreachable.value.retryable
        assert time.monotonic() - began < SOON_SECONDS

        server.start()

        assert other.execute("SELECT name FROM tags ORDER BY 1").fetchall() == [("kept",), ("rock",)]
        with pytest.raises(sql.OperationalError, match="transaction"):
            connection.commit()
        connection.rollback()
        connection.execute(INSERT, ("again",))
        connection.commit()
        worker.end(success=True)
        assert tags(world) == ["again", "kept", "rock"]


def test_connections_at_rest_that_died_are_not_noticed(server: PostgresServer):
    with postgres_world(server, fresh_name()) as world:
        connection = unscoped(world.worker(*ALL))
        connection.execute(INSERT, ("one",))
        connection.commit()
        server.kill()
        server.start()

        connection.execute(INSERT, ("two",))
        connection.commit()

        assert tags(world) == ["one", "rock", "two"]


def test_a_server_that_has_lost_a_roles_password_is_told_another(world: PostgresWorld):
    connection = unscoped(world.worker(*ALL, installation="forgotten"))
    connection.execute("SELECT 1")
    connection.rollback()
    ((role,),) = world.rows("SELECT usename FROM pg_stat_activity WHERE usename LIKE 'moorage%forgotten'")
    world.rows(f"ALTER ROLE {role} PASSWORD 'of-another-host'")
    world.rows(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'")

    assert connection.execute("SELECT 1").fetchone() == (1,)


class Proxied:
    """A world whose host reaches the server through a proxy on the world's own loop."""

    def __init__(self, server: PostgresServer, **options) -> None:
        self.loop_thread = ThreadPoolExecutor(1)
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.proxy = self.do(self._open(server.port))
        self.world = postgres_world(server, fresh_name(), port=self.proxy.port, **options)

    async def _open(self, port: int) -> FaultProxy:
        return await FaultProxy(port).__aenter__()

    def do(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(SOON_SECONDS)

    def tell(self, name: str, *arguments) -> None:
        async def told() -> None:
            getattr(self.proxy, name)(*arguments)

        self.do(told())

    def __enter__(self):
        return self, self.world.__enter__()

    def __exit__(self, *error) -> None:
        self.tell("heal")
        self.world.__exit__(*error)
        self.do(self.proxy.__aexit__(None, None, None))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(SOON_SECONDS)
        self.loop.close()


def test_a_network_that_stalls_is_told_in_time(server: PostgresServer):
    with Proxied(server, pool=PoolLimits(connect=1.0)) as (proxied, world):
        worker = world.worker(*ALL)
        connection = unscoped(worker)
        connection.execute(INSERT, ("lost",))
        proxied.tell("stall")
        began = time.monotonic()

        with pytest.raises(DeadlineExceeded):
            execute_now(connection, "SELECT 2", 0.3)
        with pytest.raises(sql.OperationalError) as unreachable:
            unscoped(worker).execute("SELECT 1")
        assert unreachable.value.reason == Reason.BACKEND_UNAVAILABLE
        assert time.monotonic() - began < SOON_SECONDS
        connection.rollback()

        proxied.tell("heal")
        connection.execute(INSERT, ("kept",))
        connection.commit()
        assert tags(world) == ["kept", "rock"]
        assert in_use(world) == 0


def test_a_worker_that_dies_while_the_network_stalls_leaves_nothing(server: PostgresServer):
    with Proxied(server) as (proxied, world):
        worker = world.worker(*ALL)
        scoped(worker).execute(INSERT, ("lost",))
        proxied.tell("stall")

        worker.die()

        assert (in_use(world), place(world).connections) == (0, 0)
        proxied.tell("heal")
        assert tags(world) == ["rock"]


def test_connections_that_are_reset(server: PostgresServer):
    with Proxied(server) as (proxied, world):
        connection = unscoped(world.worker(*ALL))
        connection.execute(INSERT, ("lost",))
        proxied.tell("reset")

        with pytest.raises(sql.OperationalError) as lost:
            connection.execute(INSERT, ("more",))
        assert (lost.value.reason, lost.value.retryable) == (Reason.BACKEND_UNAVAILABLE, True)
        connection.rollback()
        connection.execute(INSERT, ("kept",))
        connection.commit()
        proxied.tell("reset")
        connection.execute(INSERT, ("too",))
        connection.commit()
        assert tags(world) == ["kept", "rock", "too"]


@pytest.mark.parametrize("count", [0, 1, 40, 5000])
def test_answers_that_are_cut_off(server: PostgresServer, count):
    with Proxied(server) as (proxied, world):
        connection = unscoped(world.worker(*ALL))
        connection.execute(INSERT, ("lost",))
        proxied.tell("truncate", count)

        with pytest.raises(sql.OperationalError) as lost:
            connection.execute("SELECT repeat('x', 1000) FROM generate_series(1, 1000)").fetchall()
        assert lost.value.reason == Reason.BACKEND_UNAVAILABLE
        connection.rollback()

        proxied.tell("heal")
        connection.execute(INSERT, ("kept",))
        connection.commit()
        assert tags(world) == ["kept", "rock"]
        assert in_use(world) == 0


def test_a_commit_whose_answer_is_cut_off_is_told_to_be_unknown(server: PostgresServer):
    with Proxied(server, commit_table=True) as (proxied, world):
        worker = world.worker(*ALL)
        connection = scoped(worker)
        connection.execute(INSERT, ("one",))
        proxied.tell("truncate", 0)

        with pytest.raises(sql.OperationalError, match="nobody knows whether") as unknown:
            connection.commit()
        assert not unknown.value.retryable
        proxied.tell("heal")
        with pytest.raises(sql.OperationalError):
            connection.execute("SELECT 1")
        connection.rollback()
        # It had arrived.
        until(lambda: tags(world) == ["one", "rock"])


def execute_now(connection: sql.Connection, statement: str, timeout: float):
    with entered(connection._state.scope):
        request = connection._state.execute_request(statement, ())
        return connection._state.channel.call(EXECUTE, request, timeout=timeout)


def test_commits_are_noted_with_their_execution(server: PostgresServer):
    with postgres_world(server, fresh_name(), commit_table=True) as world:
        database = world.databases["main"]
        worker = world.worker(*ALL)
        for scope in ("e-2", "e-3", "e-4"):
            worker.open_scope(scope)
        scoped(worker).execute(INSERT, ("one",))
        scoped(worker, "e-2").execute("SELECT count(*) FROM tags").fetchall()
        early = scoped(worker, "e-3")
        early.execute(INSERT, ("early",))
        early.commit()
        early.execute("SELECT 1")
        scoped(worker, "e-4").execute(INSERT, ("undone",))
        assert not world.do(database.committed("e-1"))

        for scope in ("e-1", "e-2", "e-3"):
            worker.end(success=True, scope=scope)
        worker.end(success=False, scope="e-4")

        assert [world.do(database.committed(f"e-{number}")) for number in (1, 2, 3, 4)] == [True, False, True, False]
        assert world.rows("SELECT installation, execution FROM moorage_commit ORDER BY 2") == [
            ("churn", "e-1"),
            ("churn", "e-3"),
        ]


def test_of_two_attempts_that_both_come_to_their_commit_one_is_kept(server: PostgresServer):
    with postgres_world(server, fresh_name(), commit_table=True) as world:
        first = world.worker(*ALL)
        scoped(first).execute(INSERT, ("first",))
        first.end(success=True)
        second = world.worker(*ALL)
        scoped(second).execute(INSERT, ("second",))

        with pytest.raises(CallError, match="Another attempt of e-1 has committed already"):
            second.end(success=True)

        assert tags(world) == ["first", "rock"]
        assert world.rows("SELECT execution FROM moorage_commit") == [("e-1",)]


def test_old_notes_go_but_for_executions_that_have_no_outcome_yet(server: PostgresServer):
    with postgres_world(server, fresh_name(), commit_table=True) as world:
        database = world.databases["main"]
        worker = world.worker(*ALL)
        for name in ("e-1", "e-2"):
            if name != "e-1":
                worker.open_scope(name)
            scoped(worker, name).execute(INSERT, (name,))
            worker.end(success=True, scope=name)
        server.run("UPDATE moorage_commit SET at = now() - interval '31 days'", database=world.names["main"])

        world.do(database.open())
        assert world.do(database.committed("e-1"))
        world.do(database.forget_commits(["e-2"]))
        assert [world.do(database.committed(name)) for name in ("e-1", "e-2")] == [False, True]
