"""What a server brings that a file does not: it ends, stands still, and other hosts use it at the same time."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from fault_proxy import FaultProxy
from servers.postgres import PostgresServer
from sqlalchemy import Connection, create_engine, insert, select, text

from moorage.models.execution import ExecutionState
from moorage.store import migrate, postgresql, schema
from moorage.store.errors import NotAStore, SchemaNewer, StoreFailed
from moorage.store.executions import _new_values
from moorage.store.postgresql import Timeouts
from moorage.store.store import Store

from .conftest import NOW
from .test_executions import queued
from .test_history import ENTRY, LINE

pytestmark = pytest.mark.system


@pytest.fixture
async def pair(postgres_url: str) -> AsyncIterator[tuple[Store, Store]]:
    """Of two hosts."""
    async with Store(postgres_url) as one, Store(postgres_url) as other:
        yield one, other


def fresh_database(server: PostgresServer, name: str) -> str:
    server.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", f"CREATE DATABASE {name}")
    return server.url(database=name).replace("postgresql:", "postgresql+psycopg:")


async def test_hosts_that_start_at_once_make_the_schema_once(server: PostgresServer) -> None:
    url = fresh_database(server, "at_once")
    stores = [Store(url) for _ in range(4)]
    async with asyncio.timeout(30):
        await asyncio.gather(*(store.open() for store in stores))
        await asyncio.gather(*(store.close() for store in stores))

    engine = create_engine(url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
    engine.dispose()


async def test_who_waits_for_anothers_migration_waits_to_its_end(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "ANSWER_SECONDS", 0.1)
    url, timeouts = fresh_database(server, "long_migration"), Timeouts(statement=timedelta(milliseconds=200))
    engine = create_engine(url)
    async with asyncio.timeout(30):
        with engine.begin() as connection:
            migrate.lock(connection)
            store = Store(url, timeouts=timeouts)
            opening = asyncio.create_task(store.open())
            # Longer than any statement may take, with the second try of a connection that was lost.
            assert await asyncio.wait({opening}, timeout=2) == (set(), {opening})
        await opening
        # Afterwards all is bounded as before.
        with pytest.raises(StoreFailed, match="timeout"):
            await store._database.write(lambda connection: connection.execute(text("SELECT pg_sleep(20)")))
        await store.close()
    engine.dispose()


async def test_others_databases_and_newer_ones_are_refused(server: PostgresServer) -> None:
    url = fresh_database(server, "of_others")
    server.run("CREATE TABLE users (id int)", database="of_others")
    with pytest.raises(NotAStore, match="users"):
        await Store(url).open()

    url = fresh_database(server, "newer")
    server.run("CREATE TABLE alembic_version (version_num text)", database="newer")
    server.run("INSERT INTO alembic_version VALUES ('9999')", database="newer")
    with pytest.raises(SchemaNewer, match="9999"):
        await Store(url).open()


async def test_a_server_that_was_started_again_is_found_again(server: PostgresServer, postgres_url: str) -> None:
    async with Store(postgres_url) as store:
        await store.executions.create(queued("e-1"))
        assert len(await store.executions.list()) == 1
        server.kill()
        try:
            with pytest.raises(StoreFailed, match="cannot be used"):
                await store.executions.create(queued("e-2"))
            with pytest.raises(StoreFailed):
                await store.executions.list()
        finally:
            server.start()
        await store.executions.create(queued("e-3"))
        assert [found.id for found in await store.executions.list()] == ["e-3", "e-1"]


async def test_connections_that_died_while_nobody_looked_cost_no_error(
    server: PostgresServer, postgres_url: str
) -> None:
    async with Store(postgres_url) as store:
        await store.executions.create(queued("e-1"))
        await store.executions.list()
        server.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'moorage'")

        await store.executions.create(queued("e-2"))
        assert len(await store.executions.list()) == 2


async def test_a_server_that_stands_still_is_given_up(
    server: PostgresServer, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even its refusal comes."""
    monkeypatch.setattr(postgresql, "ANSWER_SECONDS", 0.2)
    async with FaultProxy(server.port) as proxy:
        url = postgres_url.replace(f":{server.port}/", f":{proxy.port}/")
        timeouts = Timeouts(connect=timedelta(seconds=1), statement=timedelta(seconds=1))
        async with asyncio.timeout(30), Store(url, timeouts=timeouts) as store:
            await store.executions.create(queued("e-1"))
            proxy.stall()
            with pytest.raises(StoreFailed, match=r"does not answer|timeout|timed out"):
                await store.executions.create(queued("e-2"))
            proxy.heal()
            await store.executions.create(queued("e-3"))


async def test_a_statement_that_takes_too_long_is_ended(postgres_url: str) -> None:
    timeouts = Timeouts(statement=timedelta(seconds=1))
    async with Store(postgres_url, timeouts=timeouts) as store:
        with pytest.raises(StoreFailed, match="statement timeout"):
            await store._database.read(lambda connection: connection.execute(text("SELECT pg_sleep(20)")))


async def test_an_error_quotes_no_row(pair: tuple[Store, Store]) -> None:
    store, _ = pair
    await store.executions.create(queued("e-1"))
    with pytest.raises(StoreFailed, match="duplicate key") as caught:
        await store.executions.create(replace(queued("e-1"), input="secret"))
    assert "e-1" not in str(caught.value)
    assert "secret" not in str(caught.value)


async def test_a_text_with_a_character_that_the_server_has_not_is_written_all_the_same(postgres_url: str) -> None:
    async with Store(postgres_url) as store:
        await store.logs.append([replace(LINE, message="a\x00b ☃", fields={"c": "\x00"})])
        (line,) = await store.logs.read()
        assert (line.message, line.fields) == ("a\ufffdb ☃", {"c": "\x00"})


async def test_texts_have_any_length(postgres_url: str) -> None:
    async with Store(postgres_url) as store:
        await store.executions.create(replace(queued("e-1"), task="t" * 5000))
        assert (await store.executions.get("e-1")).task == "t" * 5000


async def test_of_two_hosts_one_writes_the_outcome(pair: tuple[Store, Store]) -> None:
    for number in range(20):
        execution = queued(f"e-{number}")
        await pair[0].executions.create(execution)
        ended = [
            replace(execution, state=state, ended_at=NOW)
            for state in (ExecutionState.SUCCEEDED, ExecutionState.CANCELLED)
        ]
        won = await asyncio.gather(*(store.executions.finished(each) for store, each in zip(pair, ended, strict=True)))
        assert sorted(won) == [False, True]


async def test_numbers_are_handed_out_once_to_two_hosts(pair: tuple[Store, Store]) -> None:
    numbers = await asyncio.gather(*(pair[each % 2].incarnations.next_number("churn") for each in range(40)))
    assert sorted(numbers) == list(range(1, 41))


async def test_the_audits_chain_holds_with_two_hosts(pair: tuple[Store, Store]) -> None:
    appends = [pair[each % 2].audit.append([replace(ENTRY, message=str(each))] * 2) for each in range(40)]
    await asyncio.gather(*appends)

    report = await pair[0].audit.verify()
    assert (report.entries, report.broken_at) == (80, None)


async def test_two_hosts_write_side_by_side(pair: tuple[Store, Store]) -> None:
    async with asyncio.timeout(30):
        writes = [pair[each % 2].executions.create(queued(f"e-{each}")) for each in range(100)]
        lines = [pair[each % 2].logs.append([LINE] * 20) for each in range(20)]
        reads = [pair[each % 2].executions.list() for each in range(50)]
        await asyncio.gather(*writes, *lines, *reads)
    assert len(await pair[0].executions.list(limit=200)) == 100
    assert len(await pair[1].logs.read(limit=1000)) == 400


async def test_work_that_was_in_anothers_way_runs_again(pair: tuple[Store, Store]) -> None:
    """Both read before either writes: without another try one increment would be lost, or refused."""
    one, other = pair
    meeting = asyncio.Barrier(2)
    loop, met = asyncio.get_running_loop(), set()

    def add(connection: Connection, who: int) -> None:
        value = connection.scalar(text("SELECT value FROM counters WHERE name = 'n'"))
        if who not in met:
            met.add(who)
            asyncio.run_coroutine_threadsafe(meeting.wait(), loop).result(10)
        connection.execute(text("UPDATE counters SET value = :value WHERE name = 'n'"), {"value": value + 1})

    await one._database.write(lambda c: c.execute(text("INSERT INTO counters VALUES ('n', 0)")))
    await asyncio.gather(one._database.write(lambda c: add(c, 1)), other._database.write(lambda c: add(c, 2)))
    assert await one._database.read(lambda c: c.scalar(text("SELECT value FROM counters WHERE name = 'n'"))) == 2


async def test_of_two_hosts_that_submit_the_same_key_one_has_it(pair: tuple[Store, Store]) -> None:
    one, other = pair
    mine, theirs = (replace(queued(name), key="nightly@06:00") for name in ("e-1", "e-2"))
    inserted = threading.Event()

    def slow(connection: Connection) -> None:
        connection.execute(insert(schema.executions).values(_new_values(mine)))
        inserted.set()
        # Until the other one's row is in the way of this one's.
        waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        while not connection.scalar(waiting):
            connection.execute(text("SELECT pg_stat_clear_snapshot()"))
            time.sleep(0.01)

    async with asyncio.timeout(20):
        writing = asyncio.create_task(one.executions._database.write(slow))
        await asyncio.to_thread(inserted.wait, 10)
        stored = await other.executions.create(theirs)
        await writing
    assert stored.id == "e-1"
    assert [each.id for each in await other.executions.list()] == ["e-1"]


async def test_a_lease_is_renewed_while_writes_wait_for_anothers_lock(postgres_url: str) -> None:
    engine = create_engine(postgres_url)
    timeouts = Timeouts(statement=timedelta(seconds=2))
    async with Store(postgres_url, host="here", timeouts=timeouts) as store, asyncio.timeout(30):
        await store.hosts.register("here", "1", timedelta(minutes=1))
        await store.audit.append([ENTRY])
        # Such as a host that stands still in the middle of its transaction.
        with engine.begin() as connection:
            connection.execute(select(schema.audit_chain).with_for_update())
            waiting = asyncio.create_task(store.audit.append([ENTRY]))
            await asyncio.wait({waiting}, timeout=0.1)
            assert await store.hosts.renew(timedelta(minutes=1))
            assert not waiting.done()
        await waiting
    engine.dispose()
