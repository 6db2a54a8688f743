"""Who has how much of the event loop's time."""

from __future__ import annotations

import pytest

from moorage.broker.loop_shares import LONGEST_PAUSE_SECONDS, SHARE, WHOLE_CALL, LoopShare, LoopShares


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
    assert flooded(clock, shares.share(), 10, [shares.share()]) == pytest.approx(SHARE / WHOLE_CALL, rel=0.1)


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
