"""Whoever is in the way of an execution while its work is being committed: its outcome is what the commit comes to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from plugin_projects import write_plugin
from servers.postgres import PostgresServer, postgres_server

from moorage.app import Host
from moorage.config.settings import Settings
from moorage.models.execution import ExecutionRequest, ExecutionState

CODE = """
    from moorage_sdk import Plugin
    from moorage_sdk.sql import Connection

    plugin = Plugin()

    @plugin.task
    def execute(db: Connection, input: str) -> None:
        db.execute("INSERT INTO slow VALUES (%s)", (input,))
"""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """Whose table takes its time at each commit."""
    with postgres_server() as made:
        made.run("CREATE DATABASE application")
        made.run(
            "CREATE TABLE slow (name text)",
            "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(2); RETURN new; END'",
            "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON slow DEFERRABLE INITIALLY DEFERRED FOR EACH ROW "
            "EXECUTE FUNCTION slowly()",
            database="application",
        )
        yield made


@pytest.fixture
async def host(state_dir: Path, run_dir: Path, tmp_path: Path, server: PostgresServer) -> AsyncIterator[Host]:
    main = {"url": server.url(database="application"), "commit_table": True}
    settings = Settings.model_validate({"state_dir": state_dir, "run_dir": run_dir, "sql": {"main": main}})
    project = write_plugin(tmp_path / "plugins", CODE, required=["sql.write:slow"])
    async with Host(settings) as opened:
        await opened.install(project)
        await opened.grant("probe", ["sql.write:slow"], by="dana")
        await opened.start("probe")
        yield opened


async def test_a_timeout_during_the_commit_is_too_late(host: Host, server: PostgresServer) -> None:
    request = ExecutionRequest("probe", input="timeout", timeout=timedelta(seconds=1))
    async with asyncio.timeout(30):
        ended = await host.run(request)
    assert ended.state is ExecutionState.SUCCEEDED
    assert server.run("SELECT name FROM slow WHERE name = 'timeout'", database="application") == [("timeout",)]


async def test_so_is_a_person(host: Host, server: PostgresServer) -> None:
    async with asyncio.timeout(30):
        execution = await host.submit(ExecutionRequest("probe", input="person"))
        committing = "SELECT 1 FROM pg_stat_activity WHERE query = 'COMMIT' AND state = 'active'"
        while not await asyncio.to_thread(server.run, committing):
            await asyncio.sleep(0.02)
        ended = await host.cancel(execution.id, by="dana")
    assert ended.state is ExecutionState.SUCCEEDED
    assert server.run("SELECT name FROM slow WHERE name = 'person'", database="application") == [("person",)]
