"""Following logs without a gap: what is stored, then what comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from moorage.models.log import LogLine
from moorage.web.operations import Operations

#: Stored lines are read this many at a time.
PAGE = 1000


async def follow(
    operations: Operations,
    *,
    installation: str | None = None,
    execution: str | None = None,
    after: int | None = None,
    tail: int = 0,
) -> AsyncGenerator[LogLine, None]:
    """New lines as they come, first those stored after an id, or the newest ``tail`` of the stored ones.

    The subscription begins before the store is read; a line that comes both ways is given once, told by its id.
    """
    live = operations.follow_logs(installation=installation)
    upcoming = asyncio.create_task(_next(live), name="log follower")
    await asyncio.sleep(0)  # lets the subscription begin
    last = after or 0
    try:
        async with aclosing(_stored(operations, installation, execution, after, tail)) as stored:
            async for line in stored:
                last = max(last, line.id)
                yield line
        while (latest := await upcoming) is not None:
            upcoming = asyncio.create_task(_next(live), name="log follower")
            if execution in (None, latest.execution) and (not latest.id or latest.id > last):
                yield latest
    finally:
        upcoming.cancel()
        await asyncio.gather(upcoming, return_exceptions=True)
        await _close(live)


async def _next(lines: AsyncIterator[LogLine]) -> LogLine | None:
    async for line in lines:
        return line
    return None


async def _close(lines: AsyncIterator[LogLine]) -> None:
    """Generators and subscriptions can be closed; an iterator need not be closable."""
    aclose = getattr(lines, "aclose", None)
    if aclose is not None:
        await aclose()


async def _stored(
    operations: Operations, installation: str | None, execution: str | None, after: int | None, tail: int
) -> AsyncGenerator[LogLine, None]:
    if after is None:
        if tail:
            for line in await operations.logs(installation=installation, execution=execution, limit=tail):
                yield line
        return
    while lines := await operations.logs(installation=installation, execution=execution, after=after, limit=PAGE):
        for line in lines:
            yield line
        after = lines[-1].id
        if len(lines) < PAGE:
            return
