from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from moorage.models.installation import Installation
from moorage.store import migrate, schema
from moorage.store.columns import Instant
from moorage.store.errors import NotAStore, SchemaNewer, StoreClosed, StoreFailed
from moorage.store.store import Store

from .test_executions import queued
from .test_history import LINE


async def test_the_migrations_make_the_schema(tmp_path: Path) -> None:
    async with Store(tmp_path / "moorage.db"):
        pass

    engine = create_engine(f"sqlite:///{tmp_path / 'moorage.db'}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
    engine.dispose()


def test_the_newest_migration_is_the_one_the_schema_names() -> None:
    folder = Path(migrate.__file__).parent / "migrations"
    assert ScriptDirectory(str(folder)).get_heads() == [schema.REVISION]


def test_postgresql_understands_the_tables() -> None:
    for table in schema.metadata.sorted_tables:
        statement = str(CreateTable(table).compile(dialect=postgresql.dialect()))
        assert "AUTOINCREMENT" not in statement
        assert ("TIMESTAMP WITH TIME ZONE" in statement) == any(isinstance(c.type, Instant) for c in table.c)


async def test_it_is_there_after_opening_again(tmp_path: Path, installation: Installation) -> None:
    async with Store(tmp_path / "moorage.db") as store:
        await store.installations.add(installation)

    async with Store(f"sqlite:///{tmp_path / 'moorage.db'}") as store:
        assert await store.installations.list() == (installation,)


async def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    async with Store(tmp_path / "new" / "moorage.db") as store:
        await store.logs.append([LINE])
        modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "new").iterdir()}
    assert modes == {"moorage.db": 0o600, "moorage.db-wal": 0o600, "moorage.db-shm": 0o600}


async def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "moorage.db"
    async with Store(path):
        pass
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()

    with pytest.raises(SchemaNewer, match=r"9999.*Upgrade Moorage"):
        await Store(path).open()


async def test_a_database_of_others_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE users (id)")
    connection.close()

    with pytest.raises(NotAStore, match="users"):
        await Store(path).open()


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "moorage.db"
    path.write_text("surely not a database " * 100)

    with pytest.raises(StoreFailed, match="not a database"):
        await Store(path).open()


async def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreFailed, match="free space and the permissions"):
        await Store(tmp_path / "file" / "moorage.db").open()


async def test_after_closing_it_says_so(tmp_path: Path) -> None:
    store = Store(tmp_path / "moorage.db")
    with pytest.raises(StoreClosed):
        await store.executions.list()
    await store.open()
    pending = asyncio.ensure_future(store.executions.create(queued()))
    await asyncio.sleep(0)
    await store.close()
    await store.close()
    await pending

    with pytest.raises(StoreClosed, match="Try again later"):
        await store.executions.list()
    async with Store(tmp_path / "moorage.db") as again:
        assert len(await again.executions.list()) == 1


async def test_a_full_disk_is_a_sentence_without_data(tmp_path: Path) -> None:
    async with Store(tmp_path / "moorage.db") as store:
        # The page limit is the connection's; the writer has one connection.
        await store._database.write(lambda connection: connection.exec_driver_sql("PRAGMA max_page_count = 1"))
        with pytest.raises(StoreFailed) as caught:
            await store.logs.append([replace(LINE, message="secret" * 10_000)])
        assert "full" in str(caught.value)
        assert "secret" not in str(caught.value)
        assert await store.logs.read() == ()


@pytest.mark.system
async def test_readers_and_writers_do_not_wait_for_each_other(tmp_path: Path) -> None:
    async with asyncio.timeout(10), Store(tmp_path / "moorage.db") as store, Store(tmp_path / "moorage.db") as other:
        writes = [
            chosen.executions.create(queued(f"e-{number}"))
            for number in range(50)
            for chosen in [store, other][number % 2 :][:1]
        ]
        lines = [store.logs.append([LINE] * 20) for _ in range(20)]
        reads = [other.executions.list() for _ in range(50)]
        await asyncio.gather(*writes, *lines, *reads)

        assert len(await store.executions.list(limit=100)) == 50
        assert len(await other.logs.read(limit=1000)) == 400


WRITER = """
import asyncio, sys
from pathlib import Path
from moorage.store.store import Store
{queued}

async def main():
    async with Store(Path(sys.argv[1])) as store:
        for number in range(100_000):
            await store.executions.create(queued(f"e-{number:06}"))
            print(number, flush=True)

asyncio.run(main())
"""


@pytest.mark.system
def test_a_killed_writer_loses_nothing_it_was_told_is_written(tmp_path: Path) -> None:
    path = tmp_path / "moorage.db"
    script = WRITER.replace("{queued}", _QUEUED)
    process = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout as output:
        confirmed = [int(output.readline()) for _ in range(20)]
        os.kill(process.pid, signal.SIGKILL)
        confirmed += [int(line) for line in output.read().split("\n")[:-1]]
    process.wait(timeout=5)

    async def stored() -> list[str]:
        async with Store(path) as store:
            await store.executions.create(queued("f"))
            return [found.id for found in await store.executions.list(limit=100_001)][1:]

    found = asyncio.run(stored())
    # The last one may have been written without anybody being told.
    assert found[-len(confirmed) :] == [f"e-{number:06}" for number in reversed(confirmed)]
    assert len(found) <= len(confirmed) + 1


_QUEUED = """
from datetime import UTC, datetime
from moorage.models.execution import Execution, ExecutionState
def queued(identity):
    return Execution(identity, "churn", "churn", "1", "execute", "manual", ExecutionState.QUEUED, datetime.now(UTC))
"""
