"""What is held for a worker ends with its scope, its link and its rights, however that comes; and servers that go."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import redis
from fault_proxy import FaultProxy
from redis_worlds import EVERYTHING, Hosted, async_client, client, hosted_real
from servers.redis import RedisServer, redis_server
from service_worlds import closing

from moorage.broker.services.redis import held, line
from moorage.config.services.redis import RedisBackend
from moorage_proto import redis_pb2
from moorage_proto.errors import CallError, Reason
from moorage_sdk.errors import DeadlineExceeded
from moorage_sdk.scope import Scope, entered
from moorage_sdk.services.redis.wire import EXECUTE

pytestmark = pytest.mark.system

WAIT_SECONDS = 10.0


def eventually(check: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while not check():
        assert time.monotonic() < end, "it has not come to that in time"
        time.sleep(0.01)


def held_by(worker: Any) -> int:
    return sum(len(scope.held) for scope in worker.session._link.scopes.values())


def names(server: RedisServer) -> list[str]:
    return sorted(each["name"] for each in server.clients())


def waiting_pop(r: redis.Redis) -> Callable[[], Any]:
    def run() -> None:
        with contextlib.suppress(redis.RedisError):
            r.blpop(["never"], timeout=0)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return lambda: thread.join(WAIT_SECONDS)


def open_watch(r: redis.Redis) -> Callable[[], Any]:
    pipeline = r.pipeline()
    pipeline.watch("a")
    pipeline.multi()
    pipeline.set("a", "never")
    # A pipeline that nobody holds gives its connection back.
    return functools.partial(setattr, pipeline, "command_stack", [])


def open_subscription(r: redis.Redis) -> Callable[[], Any]:
    pubsub = r.pubsub()
    pubsub.subscribe("a")
    pubsub.psubscribe("b*")
    return lambda: pubsub.subscribed


OPENED = {"pop that waits": waiting_pop, "watch": open_watch, "subscription": open_subscription}


@pytest.fixture(params=[*OPENED])
def opened(request: pytest.FixtureRequest) -> Callable[[redis.Redis], Callable[[], Any]]:
    return OPENED[request.param]


@pytest.fixture
def worker(real_world: Hosted) -> Any:
    return real_world.worker(*EVERYTHING)


def test_the_end_of_a_scope_ends_it(worker: Any, server: RedisServer, opened: Any) -> None:
    client(worker).set("b", 1)
    before = names(server)
    worker.open_scope("e-2")
    after = opened(client(worker, scope="e-2"))
    eventually(lambda: held_by(worker) == 1)
    eventually(lambda: "moorage/churn/e-2" in names(server))
    worker.end(success=False, scope="e-2")
    assert held_by(worker) == 0
    eventually(lambda: "moorage/churn/e-2" not in names(server) and len(names(server)) <= len(before))
    after()
    with server.client() as owner:
        assert owner.get("a") is None
        assert owner.pubsub_channels() == []


def test_the_death_of_a_worker_ends_it(real_world: Hosted, worker: Any, server: RedisServer, opened: Any) -> None:
    client(worker).set("b", 1)
    before = names(server)
    after = opened(client(worker))
    eventually(lambda: len(names(server)) > len(before) or held_by(worker) == 1)
    worker.die()
    eventually(lambda: len(names(server)) <= len(before))
    assert held_by(worker) == 0
    after()
    tenant = real_world.service._servers["main"]._tenants["churn"]
    assert tenant.lines.in_use == 0


@pytest.mark.parametrize("kept", ["redis.read:other", "redis.subscribe:other"])
def test_a_right_taken_back_ends_it(worker: Any, server: RedisServer, opened: Any, kept: str) -> None:
    after = opened(client(worker))
    eventually(lambda: held_by(worker) == 1)
    worker.set_grants(kept)
    eventually(lambda: held_by(worker) == 0)
    eventually(
        lambda: all(each["cmd"] not in ("blpop", "watch", "subscribe", "psubscribe") for each in server.clients())
    )
    after()


def test_what_is_held_is_told(worker: Any) -> None:
    pipeline = client(worker).pipeline()
    pipeline.watch("a")
    (holding,) = worker.session.holdings()
    assert (holding.execution, holding.what) == ("e-1", "connection on redis main")


def test_a_handle_is_its_scopes_own(real_world: Hosted, worker: Any) -> None:
    watch = redis_pb2.ExecuteCommandsRequest(commands=[redis_pb2.RedisCommand(arguments=[b"WATCH", b"a"])])
    with entered(Scope("e-1")):
        handle = worker.channel.call(EXECUTE, watch).connection
    assert handle
    worker.open_scope("e-2")
    get = redis_pb2.ExecuteCommandsRequest(
        connection=handle, commands=[redis_pb2.RedisCommand(arguments=[b"GET", b"a"])]
    )
    with entered(Scope("e-2")), pytest.raises(CallError) as refused:
        worker.channel.call(EXECUTE, get)
    assert refused.value.reason == Reason.HANDLE_UNKNOWN
    other = real_world.worker(*EVERYTHING, installation="other")
    with entered(Scope("e-1")), pytest.raises(CallError):
        other.channel.call(EXECUTE, get)


def test_held_connections_are_bounded(worker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moorage.broker.services.redis.lines.HELD", 3)
    r = client(worker)
    pipelines = [r.pipeline() for _ in range(4)]
    for pipeline in pipelines[:3]:
        pipeline.watch("a")
    with pytest.raises(redis.ResponseError, match="may have 3 held connections"):
        pipelines[3].watch("a")
    assert r.get("a") is None
    pipelines[0].reset()
    eventually(lambda: held_by(worker) == 2)
    pipelines[3].watch("a")


def test_a_deadline_ends_a_pop_at_the_server_first(worker: Any, server: RedisServer) -> None:
    """Cut off here, an element that came at that moment would be lost."""
    pop = redis_pb2.ExecuteCommandsRequest(commands=[redis_pb2.RedisCommand(arguments=[b"BLPOP", b"jobs", b"0"])])
    started = time.monotonic()
    with entered(Scope("e-1")), pytest.raises(DeadlineExceeded):
        worker.channel.call(EXECUTE, pop, timeout=0.4)
    assert time.monotonic() - started < 2
    eventually(lambda: all(each["cmd"] != "blpop" or "b" not in each["flags"] for each in server.clients()))
    r = client(worker)
    r.rpush("jobs", "one")
    assert r.lrange("jobs", 0, -1) == [b"one"]


def test_a_cancelled_pop_takes_nothing(worker: Any, server: RedisServer) -> None:
    pop = redis_pb2.ExecuteCommandsRequest(commands=[redis_pb2.RedisCommand(arguments=[b"BLPOP", b"jobs", b"0"])])
    with entered(Scope("e-1")):
        future = worker.channel.submit(EXECUTE, pop)
    eventually(lambda: any("b" in each["flags"] for each in server.clients()))
    future.cancel()
    eventually(lambda: not any("b" in each["flags"] for each in server.clients()))
    r = client(worker)
    r.rpush("jobs", "one")
    assert r.lpop("jobs") == b"one"


def test_an_embedded_pop_that_was_cancelled_takes_nothing() -> None:
    with closing(Hosted(main=RedisBackend())) as world:
        worker = world.worker(*EVERYTHING)
        pop = redis_pb2.ExecuteCommandsRequest(commands=[redis_pb2.RedisCommand(arguments=[b"BLPOP", b"jobs", b"0"])])
        with entered(Scope("e-1")):
            future = worker.channel.submit(EXECUTE, pop)
        eventually(lambda: held_by(worker) == 1)
        future.cancel()
        eventually(lambda: held_by(worker) == 0)
        r = client(worker)
        r.rpush("jobs", "one")
        assert r.lpop("jobs") == b"one"


# Servers that go and come


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


def test_a_server_that_dies_and_comes_back(own_server: RedisServer) -> None:
    with closing(hosted_real(own_server)) as world:
        r = client(world.worker(*EVERYTHING))
        assert r.set("a", 1) is True
        pubsub = r.pubsub()
        pubsub.subscribe("news")
        assert pubsub.get_message(timeout=WAIT_SECONDS)["type"] == "subscribe"
        with r.pipeline() as pipeline:
            pipeline.watch("a")
            own_server.kill()
            with pytest.raises(redis.WatchError, match="ServerUnavailable"):
                pipeline.get("a")
            for attempt in (lambda: r.get("a"), lambda: r.set("a", 2)):
                with pytest.raises(redis.ConnectionError) as failed:
                    attempt()
                assert str(own_server.port) not in str(failed.value)
        with pytest.raises(redis.ConnectionError):
            pubsub.get_message(timeout=WAIT_SECONDS)
        with pytest.raises(redis.ConnectionError, match="cannot be reached"):
            r.get("a")
        # A refusal needs no server, once its table is known.
        with pytest.raises(redis.exceptions.NoPermissionError):
            r.flushall()
        own_server.start()
        # It has forgotten its users, too.
        assert r.set("a", 3) is True
        assert r.get("a") == b"3"
        pubsub.close()


def test_a_server_that_is_not_there_when_the_host_starts(own_server: RedisServer) -> None:
    own_server.kill()
    with closing(hosted_real(own_server)) as world:
        r = client(world.worker(*EVERYTHING))
        with pytest.raises(redis.ConnectionError, match="'main' cannot be reached"):
            r.get("a")
        own_server.start()
        assert r.get("a") is None


@pytest.fixture
async def proxy(server: RedisServer) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(server.port) as made:
        yield made


@contextlib.asynccontextmanager
async def behind(server: RedisServer, proxy: FaultProxy, **settings: Any) -> AsyncIterator[Any]:
    """A worker of a host that reaches the server through the proxy."""
    world = Hosted(main=RedisBackend(url=server.url_at(proxy.port), **settings))
    try:
        yield await asyncio.to_thread(world.worker, *EVERYTHING)
    finally:
        proxy.heal()
        await asyncio.to_thread(world.close)


async def test_a_server_that_stalls_is_given_up_in_time(server: RedisServer, proxy: FaultProxy) -> None:
    async with behind(server, proxy, timeout=0.3) as worker:
        r = async_client(worker)
        assert await r.set("a", 1) is True
        proxy.stall()
        loop = asyncio.get_running_loop()
        started = loop.time()
        with pytest.raises(redis.ConnectionError, match=r"has not answered within 0\.3 s, and whether it did"):
            await r.incr("a")
        assert loop.time() - started < 3
        proxy.heal()
        assert int(await r.get("a")) in (1, 2)


async def test_a_callers_own_time_counts_where_it_is_less(server: RedisServer, proxy: FaultProxy) -> None:
    async with behind(server, proxy) as worker:
        r = async_client(worker)
        await r.set("a", 1)
        proxy.stall()
        get = redis_pb2.ExecuteCommandsRequest(commands=[redis_pb2.RedisCommand(arguments=[b"GET", b"a"])])
        with entered(Scope("e-1")), pytest.raises(DeadlineExceeded):
            await worker.channel.call_async(EXECUTE, get, timeout=0.3)
        proxy.heal()
        assert await r.get("a") == b"1"


async def test_connections_that_are_reset_are_made_anew(server: RedisServer, proxy: FaultProxy) -> None:
    async with behind(server, proxy) as worker:
        r = async_client(worker)
        for number in range(5):
            assert await r.set("a", number) is True
            proxy.reset()
            await asyncio.sleep(0)
            # It is found out before anything is sent, or the caller is told; never is another's answer read.
            for _ in range(20):
                with contextlib.suppress(redis.ConnectionError):
                    assert await r.get("a") == str(number).encode()
                    break
            else:
                pytest.fail("it has not come back")


async def test_an_answer_that_breaks_off_is_no_answer(server: RedisServer, proxy: FaultProxy) -> None:
    async with behind(server, proxy) as worker:
        r = async_client(worker)
        await r.set("a", "x" * 1000)
        proxy.truncate(500)
        with pytest.raises(redis.ConnectionError, match="broke off before it had answered"):
            await r.get("a")
        proxy.heal()
        assert await r.get("a") == b"x" * 1000


async def test_a_subscription_to_a_silent_server_ends(
    server: RedisServer, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "SILENCE_SECONDS", 0.1)
    monkeypatch.setattr(line, "CONNECT_SECONDS", 0.5)
    async with behind(server, proxy) as worker:
        r = async_client(worker)
        pubsub = r.pubsub()
        await pubsub.subscribe("a")
        assert (await pubsub.get_message(timeout=WAIT_SECONDS))["type"] == "subscribe"
        # Signs of life pass unseen.
        assert await pubsub.get_message(timeout=0.5) is None
        proxy.stall()
        with pytest.raises(redis.ConnectionError):
            await pubsub.get_message(timeout=WAIT_SECONDS)


async def test_replies_that_are_too_large_are_refused(server: RedisServer, proxy: FaultProxy) -> None:
    async with behind(server, proxy) as worker:
        r = async_client(worker)
        for _ in range(4):
            await r.append("a", bytes(5 * 1024 * 1024))
        with pytest.raises(redis.ResponseError, match="may have 14 MiB together"):
            await r.get("a")
        assert await r.getrange("a", 0, 1) == b"\0\0"


async def test_passwords_and_addresses_are_never_told(server: RedisServer, proxy: FaultProxy) -> None:
    world = Hosted(main=RedisBackend(url=f"redis://:wrong-secret@127.0.0.1:{server.port}/0"))
    try:
        r = async_client(await asyncio.to_thread(world.worker, *EVERYTHING))
        with pytest.raises(redis.ConnectionError) as refused:
            await r.get("a")
        assert "does not accept the host's login" in str(refused.value)
        assert "secret" not in str(refused.value)
        assert str(server.port) not in str(refused.value)
    finally:
        await asyncio.to_thread(world.close)


def test_without_users_scripts_need_the_operators_word(server: RedisServer) -> None:
    with server.client() as owner:
        owner.acl_setuser(
            "plain",
            enabled=True,
            passwords=["+secret"],
            categories=["+@all", "-@dangerous"],
            keys=["*"],
            channels=["*"],
        )
    url = f"redis://plain:secret@127.0.0.1:{server.port}/0"
    with closing(Hosted(main=RedisBackend(url=url))) as world:
        r = client(world.worker(*EVERYTHING))
        assert r.set("a", 1) is True
        with pytest.raises(redis.exceptions.NoPermissionError, match=r"redis\.main\.unfenced_scripts"):
            r.eval("return 1", 0)
    with closing(Hosted(main=RedisBackend(url=url, unfenced_scripts=True))) as world:
        assert client(world.worker(*EVERYTHING)).eval("return 1", 0) == 1
    with (
        closing(Hosted(main=RedisBackend(url=url, acl="required"))) as world,
        pytest.raises(redis.ConnectionError, match="its settings ask for"),
    ):
        client(world.worker(*EVERYTHING)).get("a")
    with closing(hosted_real(server, acl="off")) as world:
        assert client(world.worker(*EVERYTHING)).get("a") == b"1"
        with server.client() as owner:
            assert set(owner.acl_users()) == {"default", "plain"}


def test_a_forgotten_installation_leaves_nothing(real_world: Hosted, server: RedisServer) -> None:
    for installation in ("one", "two"):
        client(real_world.worker(*EVERYTHING, installation=installation)).set("a", 1)
    real_world.do(real_world.service.forget("one"))
    with server.client() as owner:
        assert [name for name in owner.acl_users() if name.endswith("/one")] == []
        assert [name for name in owner.acl_users() if name.endswith("/two")] != []
    assert "moorage/one/e-1" not in names(server)


def test_closing_twice_and_subscribing_late(real_world: Hosted, worker: Any) -> None:
    r = client(worker)
    pubsub = r.pubsub()
    pubsub.subscribe("a")
    worker.end(success=True)
    with pytest.raises(redis.ConnectionError):
        r.get("a")
    with pytest.raises(redis.RedisError):
        pubsub.subscribe("b")
    pubsub.close()
    real_world.do(real_world.service.close())
    real_world.do(real_world.service.close())
