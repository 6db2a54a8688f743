"""Functions of the application, called so that they can neither block nor break the host.

A coroutine function runs on the host's own loop, as the application's own work does. Everything else runs in a thread
of its own: one from a pool would be missing there for as long as a function hangs, and would keep the process from
exiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from moorage.owned import OwnedTasks

_calls = OwnedTasks()


async def called(function: Callable[..., Any], *arguments: object, timeout: timedelta | None = None) -> Any:
    """What it returns. Raises TimeoutError when that takes too long, and what it raises.

    What has taken too long is cancelled where it is a coroutine, and waited for no more.
    """
    work = _calls.start(_result(function, arguments), f"call {name_of(function)}")
    work.add_done_callback(_noticed)
    try:
        await asyncio.wait((work,), timeout=None if timeout is None else timeout.total_seconds())
        if work.cancelled():
            raise RuntimeError(f"{name_of(function)} was cancelled")
        if work.done():
            return work.result()
    finally:
        work.cancel()
    raise TimeoutError(f"{name_of(function)} has not returned")


def name_of(function: Callable[..., Any]) -> str:
    """For people: "shop.plugins.not_at_night"."""
    name = getattr(function, "__qualname__", "") or type(function).__qualname__
    return f"{getattr(function, '__module__', None) or type(function).__module__}.{name}"


async def _result(function: Callable[..., Any], arguments: tuple[object, ...]) -> Any:
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None)):  # noqa: B004 - of an object, its method
        return await function(*arguments)
    found = await _in_thread(function, arguments)
    return await found if inspect.isawaitable(found) else found


async def _in_thread(function: Callable[..., Any], arguments: tuple[object, ...]) -> Any:
    loop, context = asyncio.get_running_loop(), contextvars.copy_context()
    answer: asyncio.Future[Any] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if answer.done():
            return
        if error is None:
            answer.set_result(result)
        else:
            answer.set_exception(error)

    def work() -> None:
        result, error = None, None
        try:
            result = context.run(function, *arguments)
        except BaseException as raised:  # noqa: BLE001 - it is raised where it was called from
            error = RuntimeError("it ended with StopIteration") if isinstance(raised, StopIteration) else raised
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=work, name=name_of(function), daemon=True).start()
    return await answer


def _noticed(work: asyncio.Task[Any]) -> None:
    """What is raised after nobody waits any more is nobody's."""
    if not work.cancelled():
        work.exception()
