"""The contract of the Redis service, as redis-py's users see it: over fake, embedded and real server."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
import redis
import redis.asyncio
from redis_worlds import EVERYTHING, async_client, client
from service_worlds import World

from moorage_sdk.errors import CapabilityMissing
from moorage_sdk.redis import connection_pool
from moorage_sdk.services.redis.face import ASYNC_POOL, SYNC_POOL

WAIT_SECONDS = 5.0

DATA = (*EVERYTHING[:4],)


def from_pool(kind: Any, pool: Any) -> Any:
    """redis-py has had it since version 5."""
    return kind.from_pool(pool) if hasattr(kind, "from_pool") else kind(connection_pool=pool)


async def closed(r: Any) -> None:
    """Under the name that it has since version 5."""
    await (r.aclose() if hasattr(r, "aclose") else r.close())


@pytest.fixture
def r(redis_with) -> redis.Redis:
    """With all rights but scripts'."""
    return redis_with(*DATA)


def test_values_come_back_as_they_were(r: redis.Redis) -> None:
    every_byte = bytes(range(256))
    assert r.set("a", every_byte) is True
    assert r.get("a") == every_byte
    assert r.get("none") is None
    assert r.set("n", 5, ex=100, nx=True) is True
    assert r.set("n", 6, nx=True) is None
    assert r.incrby("n", 2**40) == 5 + 2**40
    assert r.incrbyfloat("f", 0.5) == 0.5
    assert 0 < r.ttl("n") <= 100
    assert r.mset({"x": 1, "y": "grüß"}) is True
    assert r.mget("x", "y", "z") == [b"1", "grüß".encode(), None]
    assert (r.exists("x", "y", "z"), r.delete("x", "z"), r.type("y")) == (2, 1, b"string")
    assert r.setbit("bits", 7, 1) == 0
    assert r.getrange("a", 0, 2) == b"\0\1\2"


def test_kinds_of_data(r: redis.Redis) -> None:
    assert r.hset("h", mapping={"a": 1, "b": 2.5}) == 2
    assert r.hgetall("h") == {b"a": b"1", b"b": b"2.5"}
    assert (r.rpush("l", 1, 2, 3), r.lrange("l", 0, -1), r.lpop("l")) == (3, [b"1", b"2", b"3"], b"1")
    assert r.sadd("s", "a", "b") == 2
    assert (r.smembers("s"), r.sismember("s", "a")) == ({b"a", b"b"}, 1)
    assert r.zadd("z", {"a": 1.5, "b": 2}) == 2
    assert r.zrange("z", 0, -1, withscores=True) == [(b"a", 1.5), (b"b", 2.0)]
    assert (r.zscore("z", "a"), r.zrank("z", "b")) == (1.5, 1)
    first = r.xadd("x", {"k": "v"})
    assert r.xrange("x") == [(first, {b"k": b"v"})]
    assert r.xread({"x": "0"}) == [[b"x", [(first, {b"k": b"v"})]]]
    assert r.xgroup_create("x", "g", "0") is True
    assert r.xreadgroup("g", "c", {"x": ">"}) == [[b"x", [(first, {b"k": b"v"})]]]
    assert r.xack("x", "g", first) == 1
    assert r.pfadd("p", "a", "b") == 1
    assert r.pfcount("p") == 2
    assert r.geoadd("g", (13.4, 52.5, "berlin")) == 1
    assert r.geodist("g", "berlin", "berlin") == 0.0


def test_an_error_of_the_server_is_redis_pys(r: redis.Redis) -> None:
    r.set("a", "text")
    with pytest.raises(redis.ResponseError, match=r"^WRONGTYPE Operation against a key"):
        r.lpush("a", 1)
    with pytest.raises(redis.ResponseError, match="not an integer"):
        r.incr("a")
    with pytest.raises(redis.ResponseError, match="names no key"):
        r.execute_command("GET")


def test_a_pipeline_without_transaction_goes_on_after_an_error(r: redis.Redis) -> None:
    pipeline = r.pipeline(transaction=False)
    pipeline.set("a", "text").incr("a").get("a")
    results = pipeline.execute(raise_on_error=False)
    assert (results[0], results[2]) == (True, b"text")
    assert isinstance(results[1], redis.ResponseError)
    with pytest.raises(redis.ResponseError, match=r"Command # 1 \(INCRBY a 1\)"):
        r.pipeline(transaction=False).incr("a").execute()


def test_a_transaction(r: redis.Redis) -> None:
    with r.pipeline() as pipeline:
        pipeline.set("a", 1).incr("a").lpush("a", "x").get("a")
        results = pipeline.execute(raise_on_error=False)
    assert (results[:2], results[3]) == ([True, 2], b"2")
    assert isinstance(results[2], redis.ResponseError)


def test_watch_sees_who_came_between(r: redis.Redis) -> None:
    r.set("a", 1)
    with r.pipeline() as pipeline:
        pipeline.watch("a")
        value = int(pipeline.get("a"))
        r.set("a", 10)
        pipeline.multi()
        pipeline.set("a", value + 1)
        with pytest.raises(redis.WatchError):
            pipeline.execute()
    assert r.get("a") == b"10"

    def increase(pipeline: redis.client.Pipeline) -> None:
        value = int(pipeline.get("a"))
        pipeline.multi()
        pipeline.set("a", value + 1)

    assert r.transaction(increase, "a") == [True]
    with r.pipeline() as pipeline:
        pipeline.watch("a")
        pipeline.unwatch()
    assert r.get("a") == b"11"


def test_a_transaction_that_cannot_be_queued_is_discarded(r: redis.Redis) -> None:
    with r.pipeline() as pipeline:
        pipeline.set("a", 1)
        pipeline.execute_command("SET", "a")
        with pytest.raises(redis.ResponseError):
            pipeline.execute()
    assert r.get("a") is None
    r.set("a", 2)


@pytest.mark.parametrize("transaction", [False, True])
def test_a_pipeline_may_be_long(r: redis.Redis, transaction: bool) -> None:
    pipeline = r.pipeline(transaction=transaction)
    for number in range(2_500):
        pipeline.rpush("l", number)
    assert pipeline.execute() == list(range(1, 2_501))
    assert r.llen("l") == 2_500


def test_values_may_be_large(r: redis.Redis) -> None:
    r.set("a", bytes(4 * 1024 * 1024))
    assert r.get("a") == bytes(4 * 1024 * 1024)


def test_a_pop_that_waits_holds_up_nobody(world: World) -> None:
    r = client(world.worker(*DATA))
    popped: list[object] = []
    waiting = threading.Thread(target=lambda: popped.append(r.blpop(["jobs"], timeout=WAIT_SECONDS)))
    waiting.start()
    for number in range(20):
        assert r.set("a", number) is True
    r.rpush("jobs", "one")
    waiting.join(WAIT_SECONDS)
    assert popped == [(b"jobs", b"one")]
    assert r.blpop(["none"], timeout=0.05) is None
    assert r.xread({"x": "$"}, block=20) == []


def test_a_read_that_waits_for_what_is_new(r: redis.Redis) -> None:
    r.xadd("x", {"k": "old"})
    found: list[object] = []
    waiting = threading.Thread(target=lambda: found.extend(r.xread({"x": "$"}, block=int(WAIT_SECONDS * 1000))))
    waiting.start()
    end = time.monotonic() + WAIT_SECONDS
    while waiting.is_alive() and time.monotonic() < end:
        r.xadd("x", {"k": "new"})
        waiting.join(0.02)
    assert found[0][1][0][1] == {b"k": b"new"}


def test_subscriptions(r: redis.Redis) -> None:
    with r.pubsub() as pubsub:
        pubsub.subscribe("news.sport", "weather")
        pubsub.psubscribe("news.*")
        told = [pubsub.get_message(timeout=WAIT_SECONDS) for _ in range(3)]
        assert [(each["type"], each["channel"], each["data"]) for each in told] == [
            ("subscribe", b"news.sport", 1),
            ("subscribe", b"weather", 2),
            ("psubscribe", b"news.*", 3),
        ]
        assert pubsub.get_message(timeout=0.01) is None
        assert r.publish("news.sport", b"1:0") == 2
        messages = [pubsub.get_message(timeout=WAIT_SECONDS) for _ in range(2)]
        assert {(each["type"], each["pattern"], each["data"]) for each in messages} == {
            ("message", None, b"1:0"),
            ("pmessage", b"news.*", b"1:0"),
        }
        pubsub.unsubscribe("news.sport")
        assert pubsub.get_message(timeout=WAIT_SECONDS)["type"] == "unsubscribe"
        assert r.publish("news.sport", b"2:0") == 1
        assert pubsub.get_message(timeout=WAIT_SECONDS)["data"] == b"2:0"
        pubsub.ping()
        assert pubsub.get_message(timeout=WAIT_SECONDS)["type"] == "pong"


def test_a_subscription_may_be_listened_to(r: redis.Redis) -> None:
    pubsub = r.pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe("a")
    r.publish("a", "one")
    assert next(pubsub.listen())["data"] == b"one"
    pubsub.close()


def test_a_subscription_in_a_thread(r: redis.Redis) -> None:
    arrived: list[bytes] = []
    done = threading.Event()

    def handle(message: dict) -> None:
        arrived.append(message["data"])
        done.set()

    pubsub = r.pubsub()
    pubsub.subscribe(a=handle)
    thread = pubsub.run_in_thread(sleep_time=0.01)
    r.publish("a", "one")
    assert done.wait(WAIT_SECONDS)
    thread.stop()
    thread.join(WAIT_SECONDS)
    assert arrived == [b"one"]


def test_closing_a_subscription_ends_it(r: redis.Redis) -> None:
    pubsub = r.pubsub()
    pubsub.subscribe("a")
    assert pubsub.get_message(timeout=WAIT_SECONDS)["type"] == "subscribe"
    pubsub.close()
    end = time.monotonic() + WAIT_SECONDS
    while r.publish("a", "x") and time.monotonic() < end:
        time.sleep(0.005)
    assert r.publish("a", "x") == 0


def test_who_subscribes_is_shown_to_those_with_the_right(r: redis.Redis) -> None:
    with r.pubsub() as pubsub:
        pubsub.subscribe("a.b")
        pubsub.get_message(timeout=WAIT_SECONDS)
        assert r.pubsub_channels("a.*") == [b"a.b"]
        assert r.pubsub_numsub("a.b") == [(b"a.b", 1)]


def test_scripts_are_for_real_servers(redis_with, kind: str) -> None:
    r = redis_with(*EVERYTHING)
    r.set("a", 5)
    add = r.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    if kind == "embedded":
        for run in (lambda: add(keys=["a"], args=[3]), lambda: r.eval("return 1", 0)):
            with pytest.raises(redis.exceptions.NoPermissionError, match="embedded in the host"):
                run()
        return
    assert add(keys=["a"], args=[3]) == 8
    assert r.eval("return {1, 'two', redis.call('GET', KEYS[1])}", 1, "a") == [1, b"two", b"8"]
    with pytest.raises(redis.exceptions.NoScriptError):
        r.evalsha("0" * 40, 0)
    pipeline = r.pipeline()
    add(keys=["a"], args=[1], client=pipeline)
    assert pipeline.execute() == [9]


def test_scripts_need_their_right_and_their_keys(redis_with, kind: str) -> None:
    r = redis_with("redis.read:own:**", "redis.write:own:**")
    with pytest.raises(CapabilityMissing, match=r"redis\.script:e0e1f9fabfc9d4800c877a703b823ac0578ff8db"):
        r.eval("return 1", 0)
    if kind == "fake":
        scripted = redis_with("redis.script:**", "redis.read:own:**", "redis.write:own:**")
        assert scripted.eval("return 1", 0) == 1
        with pytest.raises(CapabilityMissing, match=r"redis\.read:other"):
            scripted.eval("return redis.call('GET', KEYS[1])", 1, "other")


def test_settings_of_redis_py(r: redis.Redis) -> None:
    texts = from_pool(redis.Redis, connection_pool(r, decode_responses=True))
    assert texts.set("a", "grüß") is True
    assert texts.get("a") == "grüß"
    assert texts.hset("h", mapping={"k": "v"}) == 1
    assert texts.hgetall("h") == {"k": "v"}
    with texts.pubsub() as pubsub:
        pubsub.subscribe("a")
        assert pubsub.get_message(timeout=WAIT_SECONDS)["channel"] == "a"
    texts.close()
    with pytest.raises(TypeError, match="injected"):
        connection_pool(redis.Redis())


def test_pools_are_injected_too(world: World) -> None:
    r = redis.Redis(connection_pool=client(world.worker(*DATA), SYNC_POOL))
    assert r.set("a", 1) is True
    with r.client() as single:
        assert single.get("a") == b"1"


def test_locks(r: redis.Redis) -> None:
    lock = r.lock("lock", timeout=10, blocking_timeout=0.05)
    assert r.set("lock", "somebody's")
    assert lock.acquire() is False
    r.delete("lock")
    assert lock.acquire() is True
    assert r.get("lock") is not None


def test_servers_are_apart(world: World) -> None:
    worker = world.worker("redis.write:a", "redis.read:a", "redis.read:analytics/a")
    main, analytics = client(worker), client(worker, backend="analytics")
    main.set("a", 1)
    assert (main.get("a"), analytics.get("a")) == (b"1", None)
    with pytest.raises(CapabilityMissing, match=r"redis\.write:analytics/a"):
        analytics.set("a", 2)


def test_a_missing_right_is_named_and_nothing_is_done(redis_with, kind: str) -> None:
    r = redis_with("redis.read:own:**", "redis.write:own:**")
    with pytest.raises(redis.exceptions.NoPermissionError) as refused:
        r.set("other", 1)
    assert isinstance(refused.value, CapabilityMissing)
    assert refused.value.capability == "redis.write:other"
    assert refused.value.remedy == "moorage grant churn 'redis.write:other'"
    for transaction in (False, True):
        pipeline = r.pipeline(transaction=transaction)
        pipeline.set("own:a", 1).get("other")
        with pytest.raises(CapabilityMissing):
            pipeline.execute()
        assert r.get("own:a") is None
    with r.pipeline() as pipeline, pytest.raises(CapabilityMissing):
        pipeline.watch("own:a", "other")
    assert r.set("own:a", 1) is True


def test_a_client_without_any_right_is_told_the_first_one(redis_with) -> None:
    r = redis_with("kafka.produce:plays")
    with pytest.raises(CapabilityMissing, match=r"redis\.read"):
        r.ping()
    with pytest.raises(CapabilityMissing):
        r.pubsub().subscribe("a")


def test_a_denied_key_is_denied(redis_with) -> None:
    r = redis_with("redis.read:**", "redis.write:**", deny=("redis.read:secret", "redis.write:secret"))
    with pytest.raises(CapabilityMissing, match="denied"):
        r.get("secret")
    assert r.set("other", 1) is True
    with pytest.raises(CapabilityMissing):
        list(r.scan_iter("s*"))
    assert list(r.scan_iter("o*")) == [b"other"]


def test_scanning_by_a_covered_pattern(redis_with) -> None:
    r = redis_with("redis.read:cache:**", "redis.write:**")
    r.mset({"cache:a": 1, "cache:b:c": 2, "other": 3})
    assert sorted(r.scan_iter("cache:*")) == [b"cache:a", b"cache:b:c"]
    assert sorted(r.scan_iter("cache:b*", count=1)) == [b"cache:b:c"]
    for pattern in (None, "*", "cach*", "c?che:a", "[co]*"):
        with pytest.raises(CapabilityMissing):
            list(r.scan_iter(pattern))


def test_a_pattern_subscription_needs_all_it_matches(redis_with) -> None:
    narrow = redis_with("redis.subscribe:news.*", "redis.publish:news.**")
    with pytest.raises(CapabilityMissing, match=r"redis\.subscribe:news\.\*\*"):
        narrow.pubsub().psubscribe("news.*")
    with narrow.pubsub() as pubsub:
        pubsub.subscribe("news.a")
        assert pubsub.get_message(timeout=WAIT_SECONDS)["type"] == "subscribe"
        with pytest.raises(CapabilityMissing):
            pubsub.subscribe("news.a.b")
        assert narrow.publish("news.a", "x") == 1
        assert pubsub.get_message(timeout=WAIT_SECONDS)["data"] == b"x"


def test_what_redis_py_says_of_itself_is_answered(r: redis.Redis) -> None:
    assert r.client_setname("me") is True
    assert r.client_getname().startswith("moorage/churn")
    assert r.execute_command("CLIENT", "SETINFO", "LIB-NAME", "x") in (True, b"OK")
    assert r.ping() is True
    assert r.echo("a") == b"a"
    assert len(r.time()) == 2
    pipeline = r.pipeline(transaction=False)
    pipeline.set("a", 1).client_setname("me").get("a")
    assert pipeline.execute() == [True, True, b"1"]


async def test_asyncio(world: World) -> None:
    r = async_client(world.worker(*DATA))
    assert await r.set("a", 1) is True
    assert await r.get("a") == b"1"
    async with r.pipeline() as pipeline:
        pipeline.incr("a").get("a")
        assert await pipeline.execute() == [2, b"2"]
    async with r.pipeline() as pipeline:
        await pipeline.watch("a")
        value = int(await pipeline.get("a"))
        pipeline.multi()
        pipeline.set("a", value + 1)
        assert await pipeline.execute() == [True]
        await pipeline.watch("a")
        await r.set("a", 0)
        pipeline.multi()
        pipeline.set("a", 9)
        with pytest.raises(redis.WatchError):
            await pipeline.execute()
    with pytest.raises(redis.ResponseError, match=r"^WRONGTYPE"):
        await r.lpush("a", 1)
    assert await asyncio.gather(*(r.incr("n") for _ in range(50))) != []
    assert await r.get("n") == b"50"
    await closed(r)


async def test_asyncio_waits_for_others(world: World) -> None:
    r = async_client(world.worker(*DATA))
    async with asyncio.timeout(WAIT_SECONDS):
        popped = asyncio.create_task(r.blpop(["jobs"], timeout=0))
        await asyncio.gather(*(r.set("a", number) for number in range(10)))
        assert not popped.done()
        await r.rpush("jobs", "one")
        assert await popped == (b"jobs", b"one")


async def test_asyncio_subscriptions(world: World) -> None:
    r = async_client(world.worker(*DATA))
    async with asyncio.timeout(WAIT_SECONDS), r.pubsub() as pubsub:
        await pubsub.subscribe("a")
        await pubsub.psubscribe("b*")
        assert [(await pubsub.get_message(timeout=1))["type"] for _ in range(2)] == ["subscribe", "psubscribe"]
        assert await pubsub.get_message(timeout=0.01) is None
        await r.publish("b1", "one")
        async for message in pubsub.listen():
            assert (message["type"], message["channel"], message["data"]) == ("pmessage", b"b1", b"one")
            break
        await pubsub.unsubscribe()
        assert (await pubsub.get_message(timeout=1))["type"] == "unsubscribe"


async def test_asyncio_pools_and_settings(world: World) -> None:
    pool = client(world.worker(*DATA), ASYNC_POOL)
    texts = from_pool(redis.asyncio.Redis, connection_pool(pool, decode_responses=True))
    assert await texts.set("a", "b") is True
    assert await texts.get("a") == "b"
    await closed(texts)


async def test_asyncio_refusals(world: World) -> None:
    r = async_client(world.worker("redis.read:own:**"))
    with pytest.raises(redis.exceptions.NoPermissionError, match=r"lacks the capability redis\.read:other"):
        await r.get("other")
    with pytest.raises(redis.exceptions.NoPermissionError):
        await r.pubsub().subscribe("a")
    assert await r.get("own:a") is None
