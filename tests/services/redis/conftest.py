from __future__ import annotations

from collections.abc import Iterator

import pytest
from servers.redis import RedisServer, redis_server


@pytest.fixture(scope="session")
def real_server() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def server(real_server: RedisServer) -> RedisServer:
    """A real one, empty."""
    real_server.forget()
    return real_server
