"""The host as a whole over PostgreSQL: a real worker, what people are told, and what a removed installation leaves."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from plugin_projects import write_plugin
from postgres_worlds import OPERATOR, OPERATOR_PASSWORD, fresh_name, make_database
from servers.postgres import PostgresServer

from moorage.app import Host
from moorage.app.sql import DatabaseUnavailable, DatabaseUnknown
from moorage.config.settings import Settings

pytestmark = pytest.mark.system

WAIT_SECONDS = 50
RIGHTS = ("sql.read:users(id,name)", "sql.write:tags")

COUNTS = """
    from moorage_sdk import Plugin
    from moorage_sdk.sql import Connection

    plugin = Plugin()

    @plugin.task
    def execute(db: Connection) -> int:
        db.execute("INSERT INTO tags (name) VALUES (%s)", ("from a worker",))
        return db.execute("SELECT count(*) FROM users").fetchone()[0]
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Which a worker's user may look into, and short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="moorage-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


def settings(folder: Path, url: str) -> Settings:
    backend = {"url": url, "commit_table": True}
    return Settings.model_validate({"state_dir": folder / "state", "run_dir": folder / "run", "sql": {"main": backend}})


async def test_a_worker_counts_and_its_role_goes_with_it(server: PostgresServer, folder: Path):
    name = fresh_name()
    make_database(server, name)
    project = write_plugin(folder, COUNTS, name="churn", required=RIGHTS)
    url = server.url(OPERATOR, OPERATOR_PASSWORD, name)
    async with Host(settings(folder, url)) as host, asyncio.timeout(WAIT_SECONDS):
        (told,) = host.sql.backends()
        assert (told.name, told.dialect, told.mode) == ("main", "postgresql", "managed")
        assert told.version.startswith("1")
        await host.install(project, grant=RIGHTS)
        assert await host.call("churn") == 2
        (execution,) = await host.executions()
        database = host._parts.services.sql._backends["main"]
        assert await database.committed(execution.id)
        role = database._terms.role("churn")
        assert server.run(f"SELECT count(*) FROM pg_roles WHERE rolname = '{role}'") == [(1,)]
        script = await host.sql.plan("main")
        assert "-- churn" in script
        assert "CREATE ROLE" not in script
        with pytest.raises(DatabaseUnknown):
            await host.sql.plan("nowhere")

        await host.remove("churn", data="delete")

        assert server.run(f"SELECT count(*) FROM pg_roles WHERE rolname = '{role}'") == [(0,)]
    assert server.run("SELECT name FROM tags ORDER BY 1", database=name) == [("from a worker",), ("rock",)]


async def test_a_host_starts_without_its_server(folder: Path):
    async with Host(settings(folder, "postgresql://u:p@127.0.0.1:1/d")) as host, asyncio.timeout(WAIT_SECONDS):
        (told,) = host.sql.backends()
        assert told.version == ""
        with pytest.raises(DatabaseUnavailable, match="cannot be reached"):
            await host.sql.plan("main")
