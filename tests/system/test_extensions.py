"""Extension points between an application and real, sandboxed plugins."""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import pytest
from plugin_projects import write_plugin

from moorage.app import ExtensionFailed, FailureKind, Host, Settings, extension_point
from moorage.models.extensions import Standing
from moorage.models.selection import Selector

TIMEOUT_SECONDS = 60
RIGHT = "extensions.implement:shop.discount"
QUICK = timedelta(milliseconds=500)


@dataclass
class Basket:
    customer: str
    total: int


@extension_point("shop.discount", version=2, compatible=(1,))
class Discount(Protocol):
    async def discount(self, basket: Basket, coupon: str = "") -> int | None: ...

    def label(self) -> str: ...


#: Each plugin has its own copy: what crosses is all that both sides share.
CONTRACT = """
    import asyncio, os, time
    from dataclasses import dataclass
    from typing import Optional, Protocol
    from moorage_sdk import Plugin, extension_point
    from moorage_sdk.sql import Connection

    plugin = Plugin()

    @plugin.task
    def execute() -> int:
        return 1

    @dataclass
    class Basket:
        customer: str
        total: int

    @extension_point("shop.discount", version=2)
    class Discount(Protocol):
        async def discount(self, basket: Basket, coupon: str = "") -> Optional[int]: ...
        def label(self) -> str: ...
"""

GOOD = (
    CONTRACT
    + """
    @plugin.implements(Discount)
    class Regulars:
        def __init__(self, db: Connection) -> None:
            self.db = db

        def discount(self, basket: Basket, coupon: str) -> Optional[int]:
            self.db.execute("INSERT INTO heard VALUES (?)", (f"{basket.customer} {coupon}",))
            if basket.total < 0:
                raise ValueError("who pays this?")
            return basket.total // 10

        async def label(self) -> str:
            return "regulars"
"""
)
HANGING = (
    CONTRACT
    + """
    @plugin.implements(Discount.discount)
    async def discount(basket: Basket, coupon: str) -> Optional[int]:
        if basket.customer == "block":
            time.sleep(60)
        await asyncio.Event().wait()

    @plugin.implements(Discount.label)
    def label() -> str:
        return "hanging"
"""
)
RAISING = (
    CONTRACT
    + """
    @plugin.implements(Discount.discount)
    def discount(basket: Basket, coupon: str) -> Optional[int]:
        if basket.customer == "exit":
            os._exit(3)
        raise LookupError("no discounts today")

    @plugin.implements(Discount.label)
    def label() -> str:
        return "raising"
"""
)
OLD = """
    from dataclasses import dataclass
    from typing import Optional, Protocol
    from moorage_sdk import Plugin, extension_point

    plugin = Plugin()

    @dataclass
    class Basket:
        customer: str

    @extension_point("shop.discount", version=VERSION)
    class Discount(Protocol):
        def discount(self, basket: Basket) -> Optional[int]: ...

    @plugin.implements(Discount.discount)
    def discount(basket: Basket) -> Optional[int]:
        return len(basket.customer)
"""
HOSTILE = (
    CONTRACT
    + """
    @plugin.implements(Discount.discount)
    async def discount(basket: Basket, coupon: str) -> Optional[int]:
        return 1

    @plugin.implements(Discount.label)
    async def label() -> str:
        return "hostile"

    from moorage_sdk import extensions
    extensions.ExtensionWork.write = lambda self, result: {
        1: b"\\xff" * 100,
        2: b"\\x0a" * 2_000_000,
        3: b"\\x08\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff",
        4: b"\\x12\\x01x",
    }[Mode.now]

    class Mode:
        now = 1

    @plugin.task
    def mode(input: int) -> None:
        Mode.now = input
"""
)


@pytest.fixture(autouse=True)
def heard_table(database: Path) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE heard (what TEXT)")


@pytest.fixture
async def host(settings: Settings) -> AsyncIterator[Host]:
    async with asyncio.timeout(TIMEOUT_SECONDS), Host(settings, extension_points=[Discount]) as opened:
        yield opened


async def install(host: Host, folder: Path, name: str, code: str, *more: str, grant: bool = True) -> None:
    project = write_plugin(folder, code, name=name, required=more, optional=[RIGHT])
    await host.install(project, grant_required=True, grant=[RIGHT] if grant else [])


def heard(database: Path) -> list[str]:
    with sqlite3.connect(database) as connection:
        return [what for (what,) in connection.execute("SELECT what FROM heard")]


async def logged(host: Host, name: str, words: str) -> None:
    while not any(words in line.message for line in await host.logs(installation=name)):
        await asyncio.sleep(0.01)


async def test_all_are_called_and_one_that_hangs_holds_up_nobody(host: Host, tmp_path: Path, database: Path) -> None:
    await install(host, tmp_path, "good", GOOD, "sql.write:heard")
    await install(host, tmp_path, "hanging", HANGING)
    await install(host, tmp_path, "raising", RAISING)
    # Their workers are started by the call.
    labels = await host.call_all(Discount.label, timeout=timedelta(seconds=30))
    assert labels.by_installation == {"good": "regulars", "hanging": "hanging", "raising": "raising"}
    assert labels.failures == ()

    began = time.monotonic()
    found = await host.call_all(Discount.discount, Basket("ada", 100), "X", timeout=QUICK)
    took = time.monotonic() - began
    assert found.values == [10]
    kinds = {each.installation: each.kind for each in found.failures}
    assert kinds == {"hanging": FailureKind.TIMED_OUT, "raising": FailureKind.FAILED}
    assert took < 2
    # It was committed before the answer was taken for one; nothing of an execution was written.
    assert heard(database) == ["ada X"]
    assert await host.executions() == ()
    await logged(host, "raising", "no discounts today")
    await logged(host, "hanging", "A call of shop.discount.discount timed out")

    first = await host.call_first(Discount.discount, Basket("ada", 50), timeout=timedelta(seconds=20))
    assert (first.value, first.installation) == (5, "good")
    assert await host.call_one("good", Discount.discount, Basket("ada", 30)) == 3
    with pytest.raises(ExtensionFailed, match="ValueError: who pays this") as failed:
        await host.call_one("good", Discount.discount, Basket("grace", -1))
    assert (failed.value.failure.kind, failed.value.failure.error_type) == (FailureKind.FAILED, "ValueError")
    assert "grace " not in heard(database)
    with pytest.raises(ExtensionFailed, match=r"exit code 3") as crashed:
        await host.call_one("raising", Discount.discount, Basket("exit", 1))
    assert crashed.value.failure.kind is FailureKind.CRASHED

    (point,) = await host.extensions.list()
    shown = {each.installation: (each.counts.calls, each.counts.failures) for each in point.implementations}
    assert shown["good"] == (5, 1)
    assert shown["hanging"][1] == 1
    assert shown["raising"][1] >= 2
    (of_good,) = (await host.installation("good")).extensions
    assert (of_good.standing, of_good.counts.calls) == (Standing.CURRENT, 5)
    await host.grants.use("good")
    used = {grant.capability: grant.uses for grant in (await host.installation("good")).grants}
    assert used[RIGHT] == 5


async def test_who_may_not_run_is_not_called(host: Host, tmp_path: Path) -> None:
    await install(host, tmp_path, "raising", RAISING)
    await install(host, tmp_path, "good", GOOD, "sql.write:heard")
    quick = timedelta(seconds=20)
    await host.disable("raising")
    assert (await host.call_all(Discount.label, timeout=quick)).by_installation == {"good": "regulars"}
    chosen = await host.call_all(Discount.label, timeout=quick, select=Selector(name="x*"))
    assert (chosen.values, chosen.failures) == ([], ())
    await host.stop("good")
    assert (await host.call_all(Discount.label, timeout=quick, start=False)).values == []
    assert (await host.call_all(Discount.label, timeout=quick)).values == ["regulars"]
    await host.switch.off(reason="a test")
    assert (await host.call_all(Discount.label, timeout=quick)).values == []
    await host.switch.on()
    await host.stop("good", hold="not now")
    with pytest.raises(ExtensionFailed, match="not now"):
        await host.call_one("good", Discount.label)


async def test_a_plugin_that_blocks_is_left_behind_and_its_worker_replaced(host: Host, tmp_path: Path) -> None:
    await install(host, tmp_path, "hanging", HANGING)
    assert (await host.call_all(Discount.label, timeout=timedelta(seconds=30))).values == ["hanging"]
    first = (await host.installation("hanging")).incarnations[0].number
    found = await host.call_all(Discount.discount, Basket("block", 1), timeout=QUICK)
    assert [each.kind for each in found.failures] == [FailureKind.TIMED_OUT]
    while True:
        newest = (await host.installation("hanging")).incarnations[0]
        if newest.number > first and newest.state.value == "ready":
            break
        await asyncio.sleep(0.05)
    assert (await host.call_all(Discount.label, timeout=timedelta(seconds=30))).values == ["hanging"]


async def test_versions_and_rights_are_told_at_load(host: Host, tmp_path: Path) -> None:
    for version in (1, 3):
        await install(host, tmp_path, f"v{version}", OLD.replace("VERSION", str(version)))
    await install(host, tmp_path, "other", OLD.replace("VERSION", "2"))
    await install(host, tmp_path, "bare", HANGING, grant=False)
    await install(host, tmp_path, "unheard", OLD.replace("VERSION", "1").replace("shop.discount", "shop.unheard"))
    for name in ("v1", "v3", "other", "bare", "unheard"):
        await host.start(name)
    found = await host.call_all(Discount.discount, Basket("ada", 1), "lost on it", timeout=timedelta(seconds=20))
    assert found.by_installation == {"v1": 3}
    assert found.failures == ()
    await logged(host, "v1", "It implements version 1 of shop.discount, and this host has version 2: it is called")
    await logged(host, "v3", "this host calls versions 1 and 2: it is not called. Upgrade the application")
    await logged(host, "other", "with other types than this host has: ")
    await logged(host, "bare", f"moorage grant bare '{RIGHT}'")
    standings = {}
    for name in ("v1", "v3", "other", "bare", "unheard"):
        (standings[name],) = [each.standing.value for each in (await host.installation(name)).extensions]
    assert standings == {
        "v1": "old", "v3": "too new", "other": "different", "bare": "not granted", "unheard": "unknown",
    }  # fmt: skip
    await host.grant("bare", [RIGHT])
    assert (await host.call_one("bare", Discount.label)) == "hanging"
    await host.revoke("bare", [RIGHT])
    with pytest.raises(ExtensionFailed, match="lacks the right to be called"):
        await host.call_one("bare", Discount.label)


async def test_what_a_hostile_sdk_answers_is_a_failure(host: Host, tmp_path: Path) -> None:
    await install(host, tmp_path, "hostile", HOSTILE)
    words = []
    for mode in (1, 2, 3, 4):
        await host.call("hostile", "mode", mode)
        with pytest.raises(ExtensionFailed) as refused:
            await host.call_one("hostile", Discount.label)
        assert refused.value.failure.kind is FailureKind.INVALID
        words.append(refused.value.failure.sentence)
    assert words[1] == "Its answer is refused: it takes 2,000,000 bytes, and at most 1,048,576 are taken."
    assert words[3] == "Its answer is refused: result: it is missing."


async def test_a_call_takes_less_time_than_an_execution(
    host: Host, tmp_path: Path, record_property: pytest.RecordProperty
) -> None:
    await install(host, tmp_path, "good", GOOD, "sql.write:heard")
    await host.call_one("good", Discount.label, timeout=timedelta(seconds=30))
    calls, executions = [], []
    for _ in range(200):
        began = time.perf_counter()
        await host.call_one("good", Discount.label)
        calls.append(time.perf_counter() - began)
        began = time.perf_counter()
        await host.call("good")
        executions.append(time.perf_counter() - began)
    call, execution = statistics.median(calls) * 1e3, statistics.median(executions) * 1e3
    record_property("call_ms", call)
    record_property("execution_ms", execution)
    print(f"call {call:.2f} ms, execution {execution:.2f} ms")
    assert call < execution
