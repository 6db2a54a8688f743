"""Functions of the application that hang, raise or behave oddly, and the host that calls them."""

from __future__ import annotations

import asyncio
import functools
import threading
from datetime import timedelta

import pytest

from moorage.app.functions import called, name_of

SOON = timedelta(seconds=0.05)


async def test_both_kinds_are_called() -> None:
    async def later(number: int) -> int:
        await asyncio.sleep(0)
        return number + 1

    class Callable:
        async def __call__(self, number: int) -> int:
            return number + 2

    assert await called(later, 1) == 2
    assert await called(Callable(), 1) == 3
    assert await called(lambda number: number + 3, 1) == 4
    assert await called(functools.partial(later), 1) == 2


async def test_what_is_no_coroutine_never_holds_up_the_loop() -> None:
    go = threading.Event()
    work = asyncio.ensure_future(called(go.wait, 10))
    await asyncio.sleep(0)
    assert not work.done()
    go.set()
    async with asyncio.timeout(5):
        assert await work is True


async def test_what_takes_too_long_is_left_alone() -> None:
    hangs = threading.Event()
    try:
        with pytest.raises(TimeoutError):
            await called(hangs.wait, timeout=SOON)
    finally:
        hangs.set()
    cancelled = asyncio.Event()

    async def stubborn() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled.set()
            await asyncio.sleep(0)
            raise LookupError from None

    with pytest.raises(TimeoutError):
        await called(stubborn, timeout=SOON)
    async with asyncio.timeout(5):
        await cancelled.wait()


async def test_what_it_raises_is_raised() -> None:
    def fail() -> None:
        raise LookupError("no such shop")

    async def cancel_itself() -> None:
        raise asyncio.CancelledError

    def stop() -> None:
        raise StopIteration

    with pytest.raises(LookupError, match="no such shop"):
        await called(fail)
    # None of the caller's own tasks: what the function does to itself stays there.
    with pytest.raises(RuntimeError, match="was cancelled"):
        await called(cancel_itself)
    with pytest.raises(RuntimeError, match="StopIteration"):
        await called(stop)


async def test_a_caller_who_leaves_takes_the_work_along() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        began.set()
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    caller = asyncio.ensure_future(called(work))
    await began.wait()
    caller.cancel()
    async with asyncio.timeout(5):
        await ended.wait()


def test_it_has_a_name_for_people() -> None:
    assert name_of(test_it_has_a_name_for_people).endswith("test_it_has_a_name_for_people")
    assert name_of(asyncio.Event()) == "asyncio.locks.Event"
