"""Whatever a service holds for a worker goes when a grant goes that it needs, and stays when another one goes.

A service that holds something new gets its line here; the last test finds it.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import pkgutil
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from memory_link import SCOPE, Connected, RecordingAudit, connected, grants

from moorage import broker as broker_package
from moorage.broker.broker import Broker
from moorage.broker.services.redis import RedisService
from moorage.broker.services.servicebus import ServiceBusService
from moorage.broker.services.sql import SqlService
from moorage.broker.services.sql.pace import Pace
from moorage.config.services.redis import RedisBackend
from moorage.config.services.servicebus import ServiceBusBackend
from moorage.config.services.sql import SqlBackend
from moorage_proto import redis_pb2, servicebus_pb2, sql_pb2
from moorage_proto.capability import Grants
from moorage_proto.errors import CallError, Reason
from moorage_proto.methods import service_methods

SQL = service_methods(sql_pb2, "SqlService")
BUS = service_methods(servicebus_pb2, "ServiceBusService")
REDIS = service_methods(redis_pb2, "RedisService")

WAIT_SECONDS = 20

#: Uses what is held, as its worker would.
Use = Callable[[], Awaitable[Any]]


@dataclass(frozen=True)
class Holding:
    """One kind of thing that is held."""

    #: The classes that implement ``Held`` for it.
    classes: tuple[str, ...]
    #: Taken back in the test.
    needed: str
    #: Has the link hold it; how many things are held then, and how one of them is used.
    open: Callable[[Connected], Awaitable[Use]]
    #: Other rights that opening it takes.
    also: tuple[str, ...] = ()


async def _transaction(link: Connected) -> Use:
    opened = await _call(link, SQL["connect"], sql_pb2.ConnectRequest())
    insert = sql_pb2.ExecuteRequest(connection=opened.connection, statement="INSERT INTO plays VALUES (1)")
    await _call(link, SQL["execute"], insert)
    return lambda: _call(link, SQL["commit"], sql_pb2.CommitRequest(connection=opened.connection))


async def _cursor(link: Connected) -> Use:
    opened = await _call(link, SQL["connect"], sql_pb2.ConnectRequest())
    select = sql_pb2.ExecuteRequest(connection=opened.connection, statement="SELECT id FROM users", first_rows=1)
    found = await _call(link, SQL["execute"], select)
    assert found.cursor
    return lambda: _all(link, SQL["fetch"], sql_pb2.FetchRequest(cursor=found.cursor))


async def _receiver(link: Connected) -> Use:
    opened = await _call(link, BUS["open_receiver"], servicebus_pb2.ServiceBusOpenReceiverRequest(entity="orders"))
    peek = servicebus_pb2.ServiceBusPeekRequest(receiver=opened.receiver)
    return lambda: _call(link, BUS["peek"], peek)


async def _watch(link: Connected) -> Use:
    watch = redis_pb2.RedisCommand(arguments=[b"WATCH", b"cache:a"])
    held = await _call(link, REDIS["execute"], redis_pb2.ExecuteCommandsRequest(commands=[watch]))
    assert held.connection
    ping = redis_pb2.ExecuteCommandsRequest(
        connection=held.connection, commands=[redis_pb2.RedisCommand(arguments=[b"GET", b"other:a"])]
    )
    return lambda: _call(link, REDIS["execute"], ping)


async def _subscription(link: Connected) -> Use:
    commands = [redis_pb2.RedisCommand(arguments=[b"SUBSCRIBE", b"news"])]
    request = redis_pb2.SubscribeRequest(commands=commands)
    call = link.worker.open(REDIS["subscribe"], request, scope=SCOPE)
    items = call.__aiter__()
    # The handle, then the confirmation.
    assert (await items.__anext__()).subscription
    await items.__anext__()

    async def use() -> None:
        async for _ in items:
            raise AssertionError("nobody has published anything")

    return use


HOLDINGS = {
    "sql transaction": Holding(("HeldConnection",), "sql.write:plays", _transaction),
    "sql cursor": Holding(("HeldCursor",), "sql.read:users", _cursor),
    "servicebus receiver": Holding(("Receiver",), "servicebus.receive:orders", _receiver),
    "redis watch": Holding(("HeldLine",), "redis.read:cache:*", _watch, also=("redis.read:other:*",)),
    "redis subscription": Holding(("HeldSubscription",), "redis.subscribe:news", _subscription),
}

#: The library behind Service Bus takes a second to connect and to close.
_SLOW = "servicebus receiver"
NAMES = [pytest.param(name, marks=pytest.mark.system) if name == _SLOW else name for name in HOLDINGS]

#: Where the others are tested.
ELSEWHERE = {
    "Tunnel": "beside what makes it: tests/broker/test_net.py",
    "SqliteConnection": "behind HeldConnection",
    "SqliteCursor": "behind HeldCursor",
    "PostgresConnection": "behind HeldConnection, on a real server",
    "PostgresCursor": "behind HeldCursor, on a real server",
}

UNRELATED = "config.read:greeting"


@pytest.fixture
async def broker(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Broker]:
    """With the one service that the test is about."""
    with contextlib.closing(sqlite3.connect(tmp_path / "main.db")) as database:
        database.executescript("CREATE TABLE plays (id INTEGER); CREATE TABLE users (id INTEGER);")
        database.executemany("INSERT INTO users VALUES (?)", [(number,) for number in range(50)])
        database.commit()
    made: Broker

    def grants_of(installation: str) -> Grants:
        return made.grants_of(installation)

    main = SqlBackend(url=f"sqlite:///{tmp_path / 'main.db'}")
    services = {
        "sql": lambda: SqlService.from_settings({"main": main}, lambda _: Pace(1)),
        "servicebus": lambda: ServiceBusService.from_settings({"main": ServiceBusBackend()}, grants_of),
        "redis": lambda: RedisService.from_settings({"main": RedisBackend()}, grants_of, "test"),
    }
    name = request.node.callspec.params["name"]
    made = Broker([services[name.partition(" ")[0]]()], RecordingAudit())
    await made.open()
    yield made
    await made.close()


@pytest.mark.parametrize("name", NAMES)
async def test_it_goes_with_the_right_that_it_needs(broker: Broker, name: str) -> None:
    holding = HOLDINGS[name]
    async with _connected(broker, holding) as link, asyncio.timeout(WAIT_SECONDS):
        use = await holding.open(link)
        assert _held(link)
        await link.session.set_grants(grants(UNRELATED, *holding.also, epoch=1))
        assert not _held(link)
        with pytest.raises(CallError) as ended:
            await use()
        assert ended.value.reason == Reason.GRANT_REVOKED


@pytest.mark.parametrize("name", NAMES)
async def test_a_deny_rule_takes_it_too(broker: Broker, name: str) -> None:
    holding = HOLDINGS[name]
    async with _connected(broker, holding) as link, asyncio.timeout(WAIT_SECONDS):
        await holding.open(link)
        denied = grants(holding.needed, UNRELATED, *holding.also, deny=[holding.needed], epoch=1)
        await link.session.set_grants(denied)
        assert not _held(link)


@pytest.mark.parametrize("name", NAMES)
async def test_it_stays_when_another_right_goes(broker: Broker, name: str) -> None:
    holding = HOLDINGS[name]
    async with _connected(broker, holding) as link, asyncio.timeout(WAIT_SECONDS):
        use = await holding.open(link)
        held = _held(link)
        await link.session.set_grants(grants(holding.needed, *holding.also, epoch=1))
        assert _held(link) == held
        if name != "redis subscription":
            await use()


@pytest.mark.parametrize("name", NAMES)
async def test_a_wider_right_in_its_place_keeps_it(broker: Broker, name: str) -> None:
    holding = HOLDINGS[name]
    async with _connected(broker, holding) as link, asyncio.timeout(WAIT_SECONDS):
        await holding.open(link)
        held = _held(link)
        wider = f"{holding.needed.partition(':')[0]}:**"
        await link.session.set_grants(grants(wider, *holding.also, epoch=1))
        assert _held(link) == held


@pytest.mark.parametrize("name", ["sql transaction"])
async def test_a_task_whose_writes_were_rolled_back_has_not_succeeded(broker: Broker, name: str) -> None:
    """Also where it has nothing more to do than to return."""
    holding = HOLDINGS[name]
    insert = "INSERT INTO plays VALUES (1)"
    for epoch, left in enumerate((grants(holding.needed), grants(UNRELATED))):
        async with _connected(broker, holding) as link, asyncio.timeout(WAIT_SECONDS):
            opened = await _call(link, SQL["connect"], sql_pb2.ConnectRequest(scoped=True))
            request = sql_pb2.ExecuteRequest(connection=opened.connection, statement=insert)
            await _call(link, SQL["execute"], request)
            await link.session.set_grants(Grants(left.allow, epoch=epoch + 1))
            if holding.needed in map(str, left.allow):
                await link.session.close_scope(SCOPE, success=True)
                continue
            with pytest.raises(CallError, match="was rolled back") as failed:
                await link.session.close_scope(SCOPE, success=True)
            assert failed.value.reason == Reason.GRANT_REVOKED


def test_every_kind_of_thing_that_is_held_is_here() -> None:
    """A class that finishes, releases and says whether it is revoked is a ``Held``."""
    found = set()
    for module in pkgutil.walk_packages(broker_package.__path__, f"{broker_package.__name__}."):
        for name, kind in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            is_held = all(callable(getattr(kind, method, None)) for method in ("finish", "release", "revoked"))
            is_protocol = getattr(kind, "_is_protocol", False)
            if is_held and not is_protocol and not kind.__subclasses__() and kind.__module__ == module.name:
                found.add(name)
    tested = {name for holding in HOLDINGS.values() for name in holding.classes}
    assert found - set(ELSEWHERE) == tested


def _connected(broker: Broker, holding: Holding) -> contextlib.AbstractAsyncContextManager[Connected]:
    return connected(broker, grants(holding.needed, UNRELATED, *holding.also))


def _held(link: Connected) -> int:
    return sum(len(scope.held) for scope in link.session._link.scopes.values())


async def _call(link: Connected, method: Any, request: Any) -> Any:
    return await link.worker.call(method, request, scope=SCOPE)


async def _all(link: Connected, method: Any, request: Any) -> list[Any]:
    return [item async for item in link.worker.open(method, request, scope=SCOPE)]
