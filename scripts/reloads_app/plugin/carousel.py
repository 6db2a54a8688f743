"""Three kinds of work, each of which tells which version did it."""

import asyncio
import time
from typing import Optional

from moorage_sdk import Handover, Plugin
from moorage_sdk.config import Config
from moorage_sdk.sql import AsyncConnection, Connection

VERSION = "1.0.0"

plugin = Plugin()
seen = {"reloads": 0}


@plugin.on_load
def load(handover: Optional[Handover]) -> None:
    if handover is not None and handover.state is not None:
        seen["reloads"] = handover.state["reloads"] + 1


@plugin.export_state
def export() -> dict:
    return dict(seen)


@plugin.task
def reloads() -> int:
    return seen["reloads"]


@plugin.task
def execute(config: Config) -> str:
    """Sync: small calls, with pauses."""
    for _ in range(5):
        assert config["greeting"] == "Hello"
        time.sleep(0.004)
    return VERSION


@plugin.task
async def later(config: Config) -> str:
    """Async: the same."""
    for _ in range(5):
        assert await config.get_async("greeting") == "Hello"
        await asyncio.sleep(0.004)
    return VERSION


@plugin.task
def stream(db: Connection) -> str:
    """A cursor that is read slowly: its stream is in flight all the time."""
    cursor = db.cursor()
    cursor.execute("SELECT content FROM lines")
    rows = 0
    for _ in cursor:
        rows += 1
        if rows % 100 == 0:
            time.sleep(0.002)
    assert rows == 2000, rows
    return VERSION


@plugin.task
async def stream_later(db: AsyncConnection) -> str:
    cursor = await db.execute("SELECT content FROM lines")
    rows = 0
    async for _ in cursor:
        rows += 1
        if rows % 100 == 0:
            await asyncio.sleep(0.002)
    assert rows == 2000, rows
    return VERSION
