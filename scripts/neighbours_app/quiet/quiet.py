"""Two small calls every now and then, from inside a task: what do they take?"""

import asyncio
import statistics
import time
from typing import Any, Awaitable, Dict, List

from moorage_sdk import Plugin
from moorage_sdk.config import Config
from moorage_sdk.sql import AsyncConnection

plugin = Plugin()

PAUSE_SECONDS = 0.01


@plugin.task
async def execute(config: Config, db: AsyncConnection, input: float) -> Dict[str, Any]:  # noqa: A002 - the SDK's word
    """For so many seconds. Times in milliseconds; a call that failed is a sentence."""
    reads: List[float] = []
    selects: List[float] = []
    failures: List[str] = []
    over = time.monotonic() + input
    while time.monotonic() < over:
        await _timed(reads, failures, config.get_async("greeting"))
        await _timed(selects, failures, _select(db))
        await asyncio.sleep(PAUSE_SECONDS)
    return {
        "calls": len(reads) + len(selects),
        "failures": failures[:5],
        "failed": len(failures),
        "read": _figures(reads),
        "select": _figures(selects),
    }


async def _select(db: AsyncConnection) -> None:
    cursor = await db.execute("SELECT name FROM users WHERE id = ?", (1,))
    if await cursor.fetchall() != [("Ada",)]:
        raise ValueError("the row is not what it was")
    # The neighbour's own transactions are short.
    await db.rollback()


async def _timed(taken: List[float], failures: List[str], call: Awaitable[Any]) -> None:
    began = time.perf_counter()
    try:
        await call
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told
        failures.append(f"{type(error).__name__}: {error}")
    else:
        taken.append((time.perf_counter() - began) * 1e3)


def _figures(taken: List[float]) -> Dict[str, float]:
    if not taken:
        return {}
    ordered = sorted(taken)
    return {
        "median": statistics.median(ordered),
        "p99": ordered[int(len(ordered) * 0.99)],
        "longest": ordered[-1],
    }
