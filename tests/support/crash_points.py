"""Ends a piece of asynchronous work by an error at its n-th step, wherever that is: in it, or in a task it started."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

#: Where the code stands whose tasks crash, those that others start for it not included.
OWN = "moorage/orchestrator/triggers/"


class Crash(Exception):
    """As if the host had died there: nothing that runs is asked."""


class _Steps:
    def __init__(self, left: int) -> None:
        self._left = left
        self.happened = False

    def step(self) -> bool:
        """Whether it is this one."""
        self._left -= 1
        if self._left == -1:
            self.happened = True
        return self._left == -1


class _Stepped(Coroutine[Any, Any, Any]):
    """A coroutine that raises Crash in place of what it awaits, when its turn has come."""

    def __init__(self, work: Coroutine[Any, Any, Any], steps: _Steps) -> None:
        self._work = work
        self._steps = steps

    def send(self, value: Any) -> Any:
        if self._steps.step():
            return self._work.throw(Crash())
        return self._work.send(value)

    def throw(self, *error: Any) -> Any:
        return self._work.throw(*error)

    def close(self) -> None:
        self._work.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._work.__await__()


async def crashing(
    make: Callable[[], Coroutine[Any, Any, None]], step: int, finished: Callable[[], Awaitable[bool]]
) -> bool:
    """Runs it until it crashes, or until it is finished. Whether the step was reached."""
    steps = _Steps(step)
    loop = asyncio.get_running_loop()

    def factory(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
        code = getattr(work, "cr_code", None)
        is_own = code is not None and OWN in code.co_filename
        return asyncio.Task(_Stepped(work, steps) if is_own else work, loop=loop, **options)

    loop.set_task_factory(factory)
    try:
        task = asyncio.create_task(make(), name="the source that crashes")
        while not task.done() and not await finished():
            await asyncio.sleep(0)
    finally:
        loop.set_task_factory(None)
    task.cancel()
    with contextlib.suppress(Crash, asyncio.CancelledError):
        await asyncio.wait_for(task, 15)
    return steps.happened
