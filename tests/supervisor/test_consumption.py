"""What a run used, by two looks at its worker."""

from __future__ import annotations

import os
import time

from fake_clock import FakeClock

from moorage.models.execution import ResourceUse
from moorage.supervisor.consumption import YOUNG, Figures, Looks, look, used

CALLS = ResourceUse(calls=3, denied=1, bytes=200)


def test_a_run_used_what_came_to_it() -> None:
    before, after = Figures(1.5, 100, 300), Figures(2.0, 200, 300)
    assert used(before, after, CALLS) == ResourceUse(0.5, 200, 3, 1, 200)


def test_a_peak_that_grew_meanwhile_is_its_own() -> None:
    assert used(Figures(1.0, 100, 300), Figures(1.0, 200, 900), CALLS).peak_memory_bytes == 900


def test_of_a_worker_that_is_gone_its_calls_are_known() -> None:
    assert used(Figures(1.0, 100, 300), Figures(), CALLS) == ResourceUse(None, 100, 3, 1, 200)
    assert used(Figures(), Figures(), None) == ResourceUse()


async def test_a_look_at_this_very_process() -> None:
    before = await look(os.getpid(), None)
    kept = bytearray(50_000_000)
    until = time.thread_time() + 0.05
    while time.thread_time() < until:
        kept[:1000] = bytes(1000)
    after = await look(os.getpid(), None)
    use = used(before, after, None)
    assert use.cpu_seconds is not None
    assert 0 < use.cpu_seconds < 60
    assert use.peak_memory_bytes is not None
    assert use.peak_memory_bytes > 50_000_000


async def test_nothing_is_known_of_what_is_not_there() -> None:
    assert await look(0, None) == Figures()
    assert await look(2**22 + 1, None) == Figures()


async def test_runs_that_follow_each_other_share_a_look() -> None:
    clock, me = FakeClock(), os.getpid()
    looks = Looks(clock)
    first = await looks.before(me, None)
    after = await looks.after(me, None)
    assert after is not first
    clock.advance(seconds=YOUNG.total_seconds())
    assert await looks.before(me, None) is after
    clock.advance(milliseconds=1)
    assert await looks.before(me, None) is not after
