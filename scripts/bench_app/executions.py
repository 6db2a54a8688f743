"""A store with many executions, and the way from a trigger to its outcome.

The baseline of the lists is the same database asked by SQL alone; that of the way is a submit by the application, which
comes without a trigger.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, insert

from moorage.app import Host
from moorage.config.settings import Settings
from moorage.models.execution import ExecutionRequest, ExecutionState
from moorage.orchestrator.identifiers import ExecutionIds
from moorage.store import schema

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))
from servers.redis import redis_server  # noqa: E402 - the servers that the tests start

PLUGIN = Path(__file__).parent / "orders_plugin"
NAME = "bench-orders"
#: In the store of the baseline, enough to fill a page of each list; and in the other.
FEW, STORED = 5_000, 100_000
INSTALLATIONS = 50
PAGE = 50
BATCH = 5_000


@dataclass(frozen=True)
class Measured:
    #: Milliseconds with few and with many executions in the store, by what was done.
    lists: dict[str, tuple[float, float]]
    #: Executions a second from when they were asked for to their recorded outcomes, by what asked.
    rates: dict[str, float]


async def measure(folder: Path, *, rounds: int, messages: int) -> Measured:
    lists: dict[str, list[float]] = {}
    for count in (FEW, STORED):
        for name, milliseconds in (await _lists(folder / str(count), count, rounds)).items():
            lists.setdefault(name, []).append(milliseconds)
    found = {name: (few, many) for name, (few, many) in lists.items()}
    return Measured(found, await _rates(folder / "rates", messages))


async def _lists(folder: Path, count: int, rounds: int) -> dict[str, float]:
    settings = Settings.model_validate({"state_dir": folder / "state", "run_dir": folder / "run"})
    async with Host(settings):
        pass  # its store is there now
    _fill(settings.store_path, count)
    began = time.perf_counter()
    async with Host(settings) as host:
        start = time.perf_counter() - began
        asked: dict[str, Callable[[], Awaitable[Any]]] = {
            "newest of all": lambda: host.executions(limit=PAGE),
            "newest of one": lambda: host.executions(installation="plugin-7", limit=PAGE),
            "failed ones": lambda: host.executions(state=ExecutionState.FAILED, limit=PAGE),
        }
        found = {name: await _median(question, rounds) for name, question in asked.items()}
    return {"start of a host": start * 1e3, **{name: seconds * 1e3 for name, seconds in found.items()}}


async def _median(question: Callable[[], Awaitable[Any]], rounds: int) -> float:
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        await question()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def _fill(store: Path, count: int) -> None:
    """With ended executions of many installations, one in fifty of which failed."""
    ids, began = ExecutionIds(), datetime.now(UTC) - timedelta(days=10)
    engine = create_engine(f"sqlite:///{store}")
    with engine.begin() as connection:
        for first in range(0, count, BATCH):
            rows = [_row(ids, number, began + timedelta(seconds=number)) for number in range(first, first + BATCH)]
            connection.execute(insert(schema.executions), rows)
    engine.dispose()


def _row(ids: ExecutionIds, number: int, at: datetime) -> dict[str, Any]:
    failed = number % 50 == 0
    return {
        **dict.fromkeys(("trigger_id", "by", "retry_of", "host", "progress_message"), ""),
        "id": ids.next(at),
        "installation": f"plugin-{number % INSTALLATIONS}",
        "plugin": "plugin",
        "version": "1.0.0",
        "task": "execute",
        "trigger": "cron",
        "state": ExecutionState.FAILED if failed else ExecutionState.SUCCEEDED,
        "attempt": 1,
        "queued_at": at,
        "started_at": at,
        "ended_at": at + timedelta(seconds=1),
        "input": {"number": number},
        "result": None if failed else {"text": "x" * 200},
        "error_type": "LookupError" if failed else None,
        "error_message": "no users" if failed else None,
        "error_traceback": "x" * 2000 if failed else None,
        "patient": True,
    }


async def _rates(folder: Path, messages: int) -> dict[str, float]:
    with redis_server() as server:
        settings = Settings.model_validate(
            {"state_dir": folder / "state", "run_dir": folder / "run", "redis": {"main": {"url": server.url}}}
        )
        async with Host(settings) as host:
            await host.install(PLUGIN, name=NAME, grant_required=True)
            await host.start(NAME)
            submitted = await _submitted(host, messages)
            with server.client() as client:
                streamed = await _streamed(host, client, messages)
    return {"submit": submitted, "Redis stream": streamed}


async def _submitted(host: Host, messages: int) -> float:
    began = time.perf_counter()
    ran = await asyncio.gather(*(host.run(ExecutionRequest(NAME, "submitted")) for _ in range(messages)))
    assert {each.state for each in ran} == {ExecutionState.SUCCEEDED}
    return messages / (time.perf_counter() - began)


async def _streamed(host: Host, client: Any, messages: int) -> float:
    """The messages wait already when the trigger is resumed."""
    trigger = f"{NAME}/redis"
    await host.triggers.pause(trigger, reason="the stream is filled")
    with contextlib.closing(client.pipeline()) as pipeline:
        for number in range(messages):
            pipeline.xadd("orders", {"number": number})
        pipeline.execute()
    began = time.perf_counter()
    await host.triggers.resume(trigger)
    while not _all_acknowledged(client, messages):  # noqa: ASYNC110 - the server does not tell when
        await asyncio.sleep(0.01)
    return messages / (time.perf_counter() - began)


def _all_acknowledged(client: Any, messages: int) -> bool:
    groups = client.xinfo_groups("orders")
    return any(group["entries-read"] == messages and not group["pending"] for group in groups)


def show(measured: Measured) -> None:
    print(f"\n{'milliseconds, executions in the store':<44}{FEW:>10,}{STORED:>12,}{'ratio':>8}")
    for name, (few, many) in measured.lists.items():
        print(f"{name:<44}{few:>10.2f}{many:>12.2f}{many / few:>8.2f}")
    print(f"\n{'executions a second, to their outcomes':<44}")
    base = measured.rates["submit"]
    for name, rate in measured.rates.items():
        print(f"{name:<44}{rate:>10.0f}{rate / base:>20.2f}")
