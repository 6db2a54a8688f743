from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis_worlds import Hosted, client, hosted_real
from servers.redis import RedisServer, redis_server
from service_worlds import FakeWorld, World, closing

from moorage.config.services.redis import RedisBackend
from moorage_sdk.testing.redis import FakeRedis


@pytest.fixture(scope="session")
def real_server() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def server(real_server: RedisServer) -> RedisServer:
    """A real one, empty."""
    real_server.forget()
    return real_server


@pytest.fixture(params=["fake", "embedded", pytest.param("real", marks=pytest.mark.system)])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def world(kind: str, request: pytest.FixtureRequest) -> Iterator[World]:
    """Two servers, `main` and `analytics`, both empty."""
    made: World
    if kind == "fake":
        made = FakeWorld(FakeRedis())
    elif kind == "embedded":
        made = Hosted(main=RedisBackend(), analytics=RedisBackend())
    else:
        made = hosted_real(request.getfixturevalue("server"))
    with closing(made):
        yield made


@pytest.fixture
def real_world(server: RedisServer) -> Iterator[Hosted]:
    with closing(hosted_real(server)) as made:
        yield made


Connect = Callable[..., Any]


@pytest.fixture
def redis_with(world: World) -> Connect:
    """An injected client of a worker with these rights."""

    def connect(*capabilities: str, deny: tuple[str, ...] = (), backend: str = "main", **further: Any) -> Any:
        return client(world.worker(*capabilities, deny=deny, **further), backend=backend)

    return connect
