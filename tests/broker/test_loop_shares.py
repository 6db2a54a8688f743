"""Who has how much of the event loop's time."""

from __future__ import annotations

import asyncio
import time

import pytest

from moorage.broker.loop_shares import (
    BATCH_SECONDS,
    LONGEST_PAUSE_SECONDS,
    SHARE,
    WHOLE_CALL,
    LoopShare,
    LoopShares,
    charged,
)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def flooded(clock: Clock, flooding: LoopShare, seconds: float, others: list[LoopShare]) -> float:
    """Of the time, the part in which the flooding link was read, when it always has more; others call each 20 ms."""
    end, busy, next_call = clock.now + seconds, 0.0, clock.now
    while clock.now < end:
        if clock.now >= next_call:
            next_call = clock.now + 0.02
            assert [other(0.0001) for other in others] == [0.0] * len(others)
        busy += 0.0005
        clock.now += 0.0005 + flooding(0.0005)
    return busy / seconds


def test_a_link_that_is_alone_never_pauses() -> None:
    clock = Clock()
    assert flooded(clock, LoopShares(clock).share(), 10, []) == pytest.approx(1.0, rel=0.01)


def test_a_link_that_floods_beside_another_gets_its_share_and_the_other_never_pauses() -> None:
    clock = Clock()
    shares = LoopShares(clock)
    taken = WHOLE_CALL + BATCH_SECONDS / 0.0005
    assert flooded(clock, shares.share(), 10, [shares.share()]) == pytest.approx(SHARE / taken, rel=0.1)


def test_a_link_is_not_charged_for_the_time_when_it_was_alone() -> None:
    clock = Clock()
    shares = LoopShares(clock)
    flooding, other = shares.share(), shares.share()
    flooded(clock, flooding, 10, [])
    other(0.0001)
    pauses = []
    for _ in range(100):
        other(0.0001)
        pauses.append(flooding(0.0005))
        clock.now += 0.0005
    assert 0 < max(pauses) <= LONGEST_PAUSE_SECONDS


def test_the_others_silence_ends_the_pauses() -> None:
    clock = Clock()
    shares = LoopShares(clock)
    flooding = shares.share()
    flooded(clock, flooding, 5, [shares.share()])
    clock.now += 1
    assert flooded(clock, flooding, 10, []) == pytest.approx(1.0, rel=0.01)


async def test_what_a_handler_takes_of_the_loop_is_charged_and_what_it_waits_is_not() -> None:
    shares = LoopShares()
    share, other = shares.share(), shares.share()

    async def handler() -> str:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.sleep(10)
        time.sleep(0.06)
        await asyncio.sleep(0)
        return "done"

    async with asyncio.timeout(5):
        assert await charged(handler(), share) == "done"
    other(0.0)
    # 60 ms, of which a burst of 20 and what was earned meanwhile are free.
    assert 0 < share(0.0) <= LONGEST_PAUSE_SECONDS


async def test_a_handler_that_is_cancelled_hears_of_it() -> None:
    heard = []

    async def handler() -> None:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            heard.append("cancelled")
            raise

    task = asyncio.ensure_future(_awaiting(charged(handler(), LoopShares().share())))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert heard == ["cancelled"]


async def test_what_a_handler_raises_is_raised() -> None:
    async def handler() -> None:
        await asyncio.sleep(0)
        raise KeyError("x")

    with pytest.raises(KeyError):
        await charged(handler(), LoopShares().share())


async def _awaiting(work) -> None:
    await work
