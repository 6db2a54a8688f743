import asyncio
import contextvars
import sqlite3
import threading
from typing import AsyncIterator, Iterator, NewType

import pytest

from moorage_sdk import Context, Plugin
from moorage_sdk.config import Config
from moorage_sdk.kafka import Producer


class Pool:
    pass


class Unit:
    def __init__(self, pool):
        self.pool = pool


class Repository:
    def __init__(self, unit):
        self.unit = unit


def test_lifetimes_and_the_reverse_order_of_closing(kit):
    plugin = Plugin()
    seen = []

    @plugin.provide(lifetime="plugin")
    async def pool(config: Config) -> AsyncIterator[Pool]:
        seen.append("pool")
        yield Pool()
        seen.append("pool closed")

    @plugin.provide
    def unit(pool: Pool, ctx: Context) -> Iterator[Unit]:
        seen.append(f"unit {ctx.execution}")
        error = yield Unit(pool)
        seen.append(f"unit closed after {error!r}")

    @plugin.provide
    async def repository(unit: Unit) -> AsyncIterator[Repository]:
        seen.append("repository")
        error = yield Repository(unit)
        seen.append(f"repository closed after {error!r}")

    @plugin.on_load
    def load(pool: Pool):
        seen.append("on_load")

    @plugin.on_unload
    async def unload(pool: Pool):
        seen.append("on_unload")

    @plugin.task
    def execute(repository: Repository, unit: Unit, pool: Pool) -> bool:
        seen.append("task")
        return repository.unit is unit and unit.pool is pool

    @plugin.task
    async def fail(repository: Repository) -> None:
        raise LookupError("no")

    assert kit.run(execute).result is True
    assert seen == [
        "pool", "on_load", "unit e-1", "repository", "task", "repository closed after None",
        "unit closed after None", "on_unload", "pool closed",
    ]  # fmt: skip
    seen.clear()
    assert isinstance(kit.run(fail).error, LookupError)
    assert seen[2:6] == [
        "unit e-2", "repository", "repository closed after LookupError('no')", "unit closed after LookupError('no')",
    ]  # fmt: skip


def test_failing_to_close_fails_the_task_and_closes_the_others(kit):
    plugin = Plugin()
    seen = []

    @plugin.provide
    def unit() -> Iterator[Unit]:
        error = yield Unit(None)
        seen.append(repr(error))

    @plugin.provide
    def repository(unit: Unit) -> Iterator[Repository]:
        yield Repository(unit)
        raise OSError("the disk is full")

    @plugin.on_error
    def on_error(error: Exception, ctx: Context):
        seen.append(f"{ctx.execution}: {error}")

    @plugin.task
    def execute(repository: Repository) -> int:
        return 1

    assert str(kit.run(execute).error) == "the disk is full"
    assert seen == ["OSError('the disk is full')", "e-1: the disk is full"]


def plugin_with(*providers, lifetime="scope"):
    plugin = Plugin()
    for provider in providers:
        plugin.provide(lifetime=lifetime)(provider)

    @plugin.task
    def execute() -> None: ...

    return plugin, execute


def test_circles_are_refused(kit):
    def a(pool: Pool) -> Unit: ...
    def b(unit: Unit) -> Repository: ...
    def c(repository: Repository) -> Pool: ...

    _, execute = plugin_with(a, b, c)
    assert str(kit.run(execute).error).startswith("providers need each other: a needs c needs b needs a;")


def test_what_lives_as_long_as_the_plugin_cannot_hold_what_does_not(kit):
    def a(producer: Producer) -> Unit: ...

    _, execute = plugin_with(a, lifetime="plugin")
    assert "provider 'a' lives as long as the plugin, so it cannot hold 'producer'" in str(kit.run(execute).error)
    _, execute = plugin_with(a, lifetime="scope")
    assert kit.run(execute).error is None


def test_two_providers_of_one_type_are_refused_and_new_types_tell_them_apart(kit):
    Primary = NewType("Primary", Pool)

    def a() -> Pool:
        return Pool()

    def b() -> Pool: ...

    _, execute = plugin_with(a, b)
    assert "providers 'a' and 'b' both make" in str(kit.run(execute).error)

    def c() -> Primary:
        return Primary(Pool())

    plugin, _ = plugin_with(a, c)

    @plugin.task
    def both(one: Pool, other: Primary) -> bool:
        return one is not other

    assert kit.run(both).result is True


def unannotated():
    return 1


def generator_without_type():
    yield 1


def generator_of_wrong_type() -> int:
    yield 1


@pytest.mark.parametrize(
    ("provider", "sentence"),
    [
        (unannotated, "does not say what it makes; annotate its result"),
        (generator_without_type, "yields, so annotate its result as Iterator"),
        (generator_of_wrong_type, "yields, so annotate its result as Iterator"),
    ],
)
def test_providers_say_what_they_make(kit, provider, sentence):
    _, execute = plugin_with(provider)
    assert sentence in str(kit.run(execute).error)


@pytest.mark.parametrize("number", [0, 2])
def test_a_provider_yields_once(kit, number):
    plugin = Plugin()

    @plugin.provide
    def sync_unit() -> Iterator[Unit]:
        for _ in range(number):
            yield Unit(None)

    @plugin.provide
    async def async_pool() -> AsyncIterator[Pool]:
        for _ in range(number):
            yield Pool()

    @plugin.task
    def sync_task(unit: Unit): ...

    @plugin.task
    def async_task(pool: Pool): ...

    sentence = "ended without a yield" if number == 0 else "yields twice"
    assert sentence in str(kit.run(sync_task).error)
    assert sentence in str(kit.run(async_task).error)


def test_a_failing_plugin_provider_stops_the_load_and_closes_the_earlier(kit):
    plugin = Plugin()
    seen = []

    @plugin.provide(lifetime="plugin")
    def first() -> Iterator[Pool]:
        yield Pool()
        seen.append("closed")

    @plugin.provide(lifetime="plugin")
    def second() -> Unit:
        raise OSError("no licence")

    @plugin.on_unload
    def unload():
        seen.append("on_unload")

    @plugin.task
    def execute(): ...

    assert str(kit.run(execute).error) == "no licence"
    assert seen == ["closed"]


tenant: "contextvars.ContextVar[str]" = contextvars.ContextVar("tenant")


def test_sync_code_of_a_scope_shares_one_thread_and_one_context(kit):
    plugin = Plugin()
    threads = set()

    @plugin.provide
    def connection() -> Iterator[sqlite3.Connection]:
        threads.add(threading.get_ident())
        tenant.set("ada")
        connection = sqlite3.connect(":memory:")
        yield connection
        connection.close()
        threads.add(threading.get_ident())

    @plugin.task
    def execute(connection: sqlite3.Connection) -> str:
        threads.add(threading.get_ident())
        return connection.execute("select ?", (tenant.get(),)).fetchone()[0]

    assert kit.run(execute).result == "ada"
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


def test_async_code_runs_on_the_loop_in_one_context(kit):
    plugin = Plugin()
    threads = set()

    @plugin.provide
    async def unit() -> AsyncIterator[Unit]:
        tenant.set("ada")
        await asyncio.sleep(0)
        yield Unit(None)
        threads.add(threading.get_ident())

    @plugin.task
    async def execute(unit: Unit) -> str:
        threads.add(threading.get_ident())
        return tenant.get()

    assert kit.run(execute).result == "ada"
    assert threads == {threading.get_ident()}


@pytest.mark.parametrize("way", ["made", "closed"])
def test_a_provider_that_is_cancelled_fails_the_task(kit, way):
    plugin = Plugin()

    @plugin.provide
    async def unit() -> AsyncIterator[Unit]:
        if way == "made":
            raise asyncio.CancelledError
        yield Unit(None)
        raise asyncio.CancelledError

    @plugin.task
    async def execute(unit: Unit) -> None: ...

    assert "CancelledError() would end more than this" in str(kit.run(execute).error)
