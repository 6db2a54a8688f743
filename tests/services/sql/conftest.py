from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_worlds import PostgresWorld, fresh_name, make_operator, postgres_world
from servers.postgres import PostgresServer, postgres_server
from sql_worlds import FakeWorld, HostWorld, World, closing_world

from moorage.broker.services.sql.connection import SqliteLimits

#: Short, so that tests of what happens when they are over are short.
LIMITS = SqliteLimits(idle=0.15, writer_wait=0.5, statement=5.0)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[HostWorld]:
    with closing_world(HostWorld(tmp_path, LIMITS)) as world:
        yield world


@pytest.fixture(scope="module")
def shared_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostWorld]:
    """In which nothing runs out of time. Shared, as loop and threads cost more than most tests."""
    with closing_world(HostWorld(tmp_path_factory.mktemp("sql"), SqliteLimits())) as world:
        yield world


@pytest.fixture
def patient_host(shared_host: HostWorld) -> HostWorld:
    shared_host.reset()
    return shared_host


@pytest.fixture(params=["host", "fake"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "host":
        yield request.getfixturevalue("patient_host")
        return
    with closing_world(FakeWorld()) as made:
        yield made


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    """Started once; each world has databases of its own on it."""
    with postgres_server() as made:
        make_operator(made)
        yield made


@pytest.fixture(scope="module")
def shared_postgres(server: PostgresServer) -> Iterator[PostgresWorld]:
    with postgres_world(server, fresh_name()) as made:
        yield made


@pytest.fixture
def postgres(shared_postgres: PostgresWorld) -> PostgresWorld:
    shared_postgres.reset()
    return shared_postgres
