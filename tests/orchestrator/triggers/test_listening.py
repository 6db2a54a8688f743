"""A source is listened to until nobody wants it, whatever it does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from random import Random

import pytest
from fake_clock import FakeClock

from moorage.orchestrator.triggers.base import Door, NotNow, Signal, SourceFailed
from moorage.orchestrator.triggers.door import TriggerDoor
from moorage.orchestrator.triggers.listening import LONGEST_PAUSE, Listening
from moorage.store.errors import StoreFailed

from .conftest import DEADLINE_SECONDS, Runs, advanced, door_parts, installation, state

Life = Callable[[Door], Awaitable[None]]


class Stage:
    """Each life is that of one source; the last one counts for all that come after it."""

    def __init__(self, runs: Runs, *lives: Life) -> None:
        self.lives = list(lives)
        self.made = 0
        self.told: list[str] = []
        self.listening = Listening(
            "churn/orders",
            self.make,
            lambda works: TriggerDoor(state(), door_parts(runs, installation()), works),
            runs.clock,
            self.tell,
            random=Random(1),
        )

    def make(self) -> Stage:
        self.made += 1
        return self

    async def run(self, door: Door) -> None:
        await self.lives[min(self.made, len(self.lives)) - 1](door)

    async def tell(self, trigger: str, sentence: str) -> None:
        self.told.append(sentence)


async def forever(door: Door) -> None:
    await asyncio.Event().wait()


def failing(error: Exception) -> Life:
    async def run(door: Door) -> None:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (SourceFailed("No server answers at kafka:9092."), "No server answers at kafka:9092."),
        (RuntimeError("secret"), "The source of churn/orders failed: RuntimeError. The host's log has more."),
        (StoreFailed("disk full"), str(StoreFailed("disk full"))),
    ],
)
async def test_one_that_fails_is_made_again_and_says_why_until_it_works(
    runs: Runs, clock: FakeClock, error: Exception, sentence: str
) -> None:
    stage = Stage(runs, failing(error), failing(error), forever)
    stage.listening.start()
    await advanced(clock, lambda: stage.made == 3)
    assert stage.told == [sentence]
    assert stage.listening.problem == sentence
    await advanced(clock, lambda: not stage.listening.problem, step=2)
    assert stage.told == [sentence, ""]
    assert await stage.listening.stop()


async def test_a_signal_that_comes_in_shows_that_it_works(runs: Runs, clock: FakeClock) -> None:
    async def one(door: Door) -> None:
        await door.take(Signal("a", 1))
        await forever(door)

    stage = Stage(runs, failing(SourceFailed("gone")), one)
    stage.listening.start()
    await advanced(clock, lambda: stage.made == 2, step=0.1)
    await advanced(clock, lambda: stage.told == ["gone", ""], step=0)
    await stage.listening.stop()


async def test_the_pauses_grow_to_a_bound_and_begin_anew_after_it_has_worked(runs: Runs, clock: FakeClock) -> None:
    stage = Stage(runs, failing(SourceFailed("gone")))
    stage.listening.start()
    pauses = []
    for number in range(2, 12):
        before = clock.elapsed()
        await advanced(clock, lambda wanted=number: stage.made == wanted, step=0.25)
        pauses.append(clock.elapsed() - before)
    assert pauses[0] <= timedelta(seconds=1.25)
    assert all(pause <= LONGEST_PAUSE + timedelta(seconds=1) for pause in pauses)
    assert min(pauses[-3:]) >= LONGEST_PAUSE / 2 - timedelta(seconds=1)
    await stage.listening.stop()


async def test_one_that_is_over_is_not_made_again(runs: Runs, clock: FakeClock) -> None:
    async def nothing(door: Door) -> None:
        return

    stage = Stage(runs, nothing)
    stage.listening.start()
    await advanced(clock, lambda: stage.listening.is_over)
    clock.advance(minutes=5)
    assert stage.made == 1
    assert stage.told == []


async def test_one_that_is_told_not_now_is_made_again_without_a_problem(runs: Runs, clock: FakeClock) -> None:
    stage = Stage(runs, failing(NotNow("held")), forever)
    stage.listening.start()
    await advanced(clock, lambda: stage.made == 2)
    assert stage.told == []
    await stage.listening.stop()


async def test_one_that_does_not_end_is_left_behind(runs: Runs, caplog: pytest.LogCaptureFixture) -> None:
    let_go, began = asyncio.Event(), asyncio.Event()

    async def stubborn(door: Door) -> None:
        began.set()
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue

    stage = Stage(runs, stubborn)
    stage.listening.start()
    await asyncio.wait_for(began.wait(), DEADLINE_SECONDS)
    assert not await stage.listening.stop(timedelta(0))
    assert "has not ended" in caplog.text
    let_go.set()
    assert await stage.listening.stop()


async def test_it_ends_wherever_it_is_cancelled(runs: Runs, clock: FakeClock) -> None:
    async def takes(door: Door) -> None:
        await door.take(Signal("", 1))
        raise SourceFailed("gone")

    for steps in range(12):
        stage = Stage(runs, takes)
        stage.listening.start()
        for _ in range(steps):
            await asyncio.sleep(0)
        assert await asyncio.wait_for(stage.listening.stop(), DEADLINE_SECONDS)
        made = stage.made
        clock.advance(minutes=5)
        await asyncio.sleep(0)
        assert stage.made == made


class Claims:
    def __init__(self) -> None:
        self.free = False
        self.log: list[str] = []

    async def claim(self, trigger: str) -> bool:
        self.log.append("claim")
        return self.free

    async def release(self, trigger: str) -> None:
        self.log.append("release")


async def test_an_exclusive_one_is_listened_to_while_it_is_claimed(runs: Runs, clock: FakeClock) -> None:
    stage, claims = Stage(runs, forever), Claims()
    stage.listening.claims = claims
    stage.listening.start()
    await advanced(clock, lambda: len(claims.log) > 2)
    assert stage.made == 0
    claims.free = True
    await advanced(clock, lambda: stage.made == 1)
    await stage.listening.stop()
    assert claims.log[-1] == "release"
