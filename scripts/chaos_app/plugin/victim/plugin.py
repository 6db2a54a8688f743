"""Each execution writes one row with its id, in the transaction that the host commits before it records the outcome."""

import asyncio
import time

from moorage_sdk import Context, Plugin
from moorage_sdk.sql import AsyncConnection, Connection

plugin = Plugin()


@plugin.task
def execute(ctx: Context, db: Connection, input: float = 0.0) -> str:  # noqa: A002 - what the SDK calls it
    cursor = db.cursor()
    cursor.execute("INSERT INTO effects (execution) VALUES (?)", (ctx.execution,))
    time.sleep(input)
    return ctx.execution


@plugin.task
async def read(db: AsyncConnection, input: float = 0.0) -> int:  # noqa: A002 - what the SDK calls it
    cursor = db.cursor()
    await cursor.execute("SELECT execution FROM effects ORDER BY id DESC LIMIT 200")
    rows = [row async for row in cursor]
    await asyncio.sleep(input)
    return len(rows)
