"""redis-py, sync and asyncio, in a real, sandboxed worker; over a real server and over the one in the host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from plugin_projects import write_plugin
from servers.redis import RedisServer, redis_server

from moorage.app import Host
from moorage.config.services.redis import RedisBackend
from moorage.config.settings import Settings

PLUGIN = """
    import asyncio
    import time
    from typing import Annotated

    import redis
    import redis.asyncio
    from moorage_sdk import Backend, CapabilityMissing, Plugin
    from moorage_sdk.redis import connection_pool

    plugin = Plugin()

    @plugin.task
    def plays(r: redis.Redis) -> list:
        with r.pipeline() as pipeline:
            pipeline.set("plays:today", 2).incr("plays:today")
            results = pipeline.execute()
        texts = redis.Redis.from_pool(connection_pool(r, decode_responses=True))
        with r.pubsub() as pubsub:
            pubsub.subscribe("plays:news")
            kinds = [pubsub.get_message(timeout=5)["type"]]
            r.publish("plays:news", "one")
            kinds.append(pubsub.get_message(timeout=5)["data"].decode())
        return [results, texts.get("plays:today"), kinds]

    @plugin.task
    async def waits(r: redis.asyncio.Redis) -> list:
        popped = asyncio.create_task(r.blpop(["plays:queue"], timeout=5))
        async with r.pipeline() as pipeline:
            await pipeline.watch("plays:today")
            pipeline.multi()
            pipeline.rpush("plays:queue", "one")
            await pipeline.execute()
        return [(await popped)[1].decode(), await r.get("plays:none")]

    @plugin.task
    def refused(r: redis.Redis, input: list) -> str:
        try:
            r.execute_command(*input)
        except redis.exceptions.NoPermissionError as error:
            return f"{isinstance(error, CapabilityMissing)} {error}"
        return "it was let through"
"""

RIGHTS = [f"redis.{verb}:plays:**" for verb in ("read", "write", "publish", "subscribe")]


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as made:
        yield made


@pytest.fixture(params=["real", "embedded"])
async def host(
    request: pytest.FixtureRequest, settings: Settings, tmp_path: Path, server: RedisServer
) -> AsyncIterator[Host]:
    backend = RedisBackend(url=server.url) if request.param == "real" else RedisBackend()
    project = write_plugin(tmp_path, PLUGIN, required=RIGHTS, dependencies=["redis"])
    async with Host(settings.model_copy(update={"redis": {"main": backend}})) as opened, asyncio.timeout(50):
        await opened.install(project, grant_required=True)
        yield opened


async def test_a_plugin_uses_redis(host: Host, server: RedisServer) -> None:
    assert await host.call("probe", "plays") == [[True, 3], "3", ["subscribe", "one"]]
    assert await host.call("probe", "waits") == ["one", None]
    assert "True probe lacks the capability redis.read:other" in await host.call("probe", "refused", ["GET", "other"])
    assert "False 'FLUSHALL' is for the operators" in await host.call("probe", "refused", ["FLUSHALL"])
    assert all(each["flags"] == "N" for each in server.clients())
