from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from postgres_worlds import PostgresWorld, make_operator, postgres_world
from servers.postgres import PostgresServer, postgres_server

_numbers = itertools.count(1)


def fresh_name() -> str:
    return f"db{next(_numbers)}"


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    """Started once; each world has databases of its own on it."""
    with postgres_server() as made:
        make_operator(made)
        yield made


@pytest.fixture(scope="module")
def shared_world(server: PostgresServer) -> Iterator[PostgresWorld]:
    with postgres_world(server, fresh_name()) as made:
        yield made


@pytest.fixture
def world(shared_world: PostgresWorld) -> PostgresWorld:
    shared_world.reset()
    return shared_world
