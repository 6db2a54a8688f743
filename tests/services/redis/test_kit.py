"""A plugin with Redis in the testing kit, as its author writes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import pytest
import redis
import redis.asyncio

from moorage_proto.capability import parse
from moorage_sdk import Backend, CapabilityMissing, Plugin
from moorage_sdk.testing import Moorage, TestedManifest

plugin = Plugin()

kept: list[Any] = []


@plugin.task
def execute(redis: redis.Redis, cache: Annotated[redis.Redis, Backend("cache")]) -> int:
    with redis.pipeline() as pipeline:
        pipeline.incr("plays:today")
        pipeline.expire("plays:today", 86_400)
        plays, _ = pipeline.execute()
    cache.set("report", plays, ex=60)
    kept.append(redis)
    return int(plays)


@plugin.task
async def waiting(redis: redis.asyncio.Redis) -> str:
    await redis.rpush("plays:queue", "one")
    _, value = await redis.blpop(["plays:queue"], timeout=1)
    return str(value.decode())


@plugin.task
def optional(cache: Annotated[redis.Redis | None, Backend("other")] = None) -> bool:
    return cache is None


@plugin.task
def elsewhere(redis: redis.Redis) -> None:
    redis.set("secrets", 1)


@pytest.fixture
def moorage() -> Iterator[Moorage]:
    rights = ("redis.read:plays:**", "redis.write:plays:**", "redis.write:cache/report")
    kit = Moorage(TestedManifest("churn", capabilities=tuple(map(parse, rights))))
    yield kit
    kit.close()


def test_counts(moorage: Moorage) -> None:
    moorage.redis.client.set("plays:today", 2)
    assert moorage.run(execute).result == 3
    assert moorage.redis.client.get("plays:today") == b"3"
    assert moorage.redis.client.ttl("plays:today") > 0
    assert moorage.redis.server("cache").client.get("report") == b"3"


def test_coroutines(moorage: Moorage) -> None:
    assert moorage.run(waiting).result == "one"


def test_one_that_was_not_granted_is_none(moorage: Moorage) -> None:
    assert moorage.run(optional).result is True
    moorage.grant("redis.read:other/**")
    assert moorage.run(optional).result is False


def test_refusals_are_in_the_list(moorage: Moorage) -> None:
    run = moorage.run(elsewhere)
    assert isinstance(run.error, CapabilityMissing)
    assert isinstance(run.error, redis.exceptions.NoPermissionError)
    (denial,) = moorage.denials
    assert "redis.write:secrets" in denial


def test_a_client_ends_with_its_execution(moorage: Moorage) -> None:
    kept.clear()
    moorage.run(execute)
    with pytest.raises(redis.ConnectionError, match="ask for one in each task"):
        kept[0].get("plays:today")


def test_a_server_that_fails(moorage: Moorage) -> None:
    moorage.redis.fail()
    assert isinstance(moorage.run(execute).error, redis.ConnectionError)
