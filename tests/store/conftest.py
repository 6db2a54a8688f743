from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from servers.postgres import PostgresServer, postgres_server

from moorage.models.installation import DesiredState, Installation
from moorage.models.manifest import Author, Limits, Manifest, RequestedCapability, Trigger
from moorage.store import schema
from moorage.store.store import Store
from moorage_proto.capability import parse

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file, to be copied: running the migrations for each test takes longer than the tests."""
    path = tmp_path_factory.mktemp("empty") / "moorage.db"
    asyncio.run(_migrate(path))
    return path


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as made:
        yield made


@pytest.fixture(scope="session")
def migrated_url(server: PostgresServer) -> str:
    server.run("CREATE DATABASE contract")
    url = server.url(database="contract").replace("postgresql:", "postgresql+psycopg:")
    asyncio.run(_migrate(url))
    return url


@pytest.fixture
def postgres_url(server: PostgresServer, migrated_url: str) -> str:
    """A migrated database without rows."""
    tables = ", ".join(f'"{table.name}"' for table in schema.metadata.sorted_tables)
    server.run(f"TRUNCATE {tables} RESTART IDENTITY CASCADE", database="contract")
    return migrated_url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.system)])
def location(request: pytest.FixtureRequest, tmp_path: Path, empty_store: Path) -> Path | str:
    """Of a store that holds nothing yet: what the tests below say holds of both."""
    if request.param == "sqlite":
        return Path(shutil.copy(empty_store, tmp_path / "moorage.db"))
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
async def store(location: Path | str) -> AsyncIterator[Store]:
    async with Store(location) as opened:
        yield opened


async def _migrate(location: Path | str) -> None:
    async with Store(location):
        pass


@pytest.fixture
def installation() -> Installation:
    manifest = Manifest(
        name="churn",
        version="1.2.0",
        entry_point="churn.plugin:plugin",
        authors=(Author("Ada", "ada@example.com"),),
        urls={"home": "https://example.com/churn"},
        tags=frozenset({"AutoRun", "reporting"}),
        dependencies=("sqlalchemy", "httpx"),
        capabilities=(
            RequestedCapability(parse("sql.read:users(id,name)"), "counts users", required=True),
            RequestedCapability(parse("kafka.produce:plugin-topic"), "publishes the count", required=True),
            RequestedCapability(parse("kafka.produce:extra-*"), "tells more", required=False),
        ),
        triggers=(Trigger("cron", "0 6 * * *", options={"from": date(2026, 1, 1)}),),
        limits=Limits(timeout=timedelta(seconds=90), cpus=0.5),
        config_schema={"type": "object", "properties": {"greeting": {"type": "string"}}},
        private_data=True,
        reload="beside",
    )
    return Installation(
        id="churn",
        manifest=manifest,
        source_path=Path("plugins/churn"),
        code_path=Path("code/churn"),
        code_hash="ab" * 32,
        code_roots=("src", ""),
        venv_key="cd" * 32,
        config={"greeting": "Hello", "since": NOW},
        desired=DesiredState(held_reason="INC-4711", held_by="dana"),
        uid=61_001,
        installed_at=NOW,
    )
