from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from fake_clock import FakeClock
from schedule_world import EVERY_TEN, FIVE, HOURLY, Runs, World, at

from moorage.errors import Invalid
from moorage.models.execution import ExecutionState
from moorage.models.manifest import Trigger
from moorage.orchestrator.triggers.base import NotNow
from moorage.orchestrator.triggers.schedule import next_runs
from moorage.orchestrator.triggers.schedules import Schedules
from moorage.store.store import Store

pytestmark = pytest.mark.timeout(30)


@pytest.fixture
async def world(store: Store) -> World:
    clock = FakeClock()
    return World(store, clock, Runs(clock))


def options(trigger: Trigger, **values: Any) -> Trigger:
    return replace(trigger, options={**trigger.options, **values})


async def begun(world: World) -> None:
    """A tick is being submitted."""
    async with asyncio.timeout(5):
        await world.runs.waits.wait()


# -- in time -----------------------------------------------------------------------------------------------------------


async def test_each_tick_fires_once_and_is_counted(world: World) -> None:
    await world.declare(FIVE)
    async with world.host():
        await world.until("09:47")

    assert world.runs.times == ["09:35", "09:40", "09:45"]
    tick = world.runs.ticks[0]
    assert (tick.fired_at, tick.missed, tick.key()) == (at("09:35"), 0, "t@2026-11-20T09:35:00Z")
    state = await world.state()
    assert (state.fired, state.skipped, state.last_at, state.next_at) == (3, 0, at("09:45"), at("09:50"))
    assert state.last_execution == "e-2"


async def test_an_interval_keeps_its_phase_over_restarts_and_late_firings(world: World) -> None:
    await world.declare(EVERY_TEN)
    async with world.host():
        await world.until("09:53")
    world.clock.advance(minutes=7, seconds=20)
    async with world.host():
        await world.until("10:25")

    assert world.runs.times == ["09:40", "09:50", "10:00", "10:10", "10:20"]
    assert world.runs.ticks[2].fired_at == at("10:00:20")


async def test_a_short_interval_makes_up_for_a_short_stop_once(world: World) -> None:
    await world.declare(Trigger("interval", "5 s"))
    async with world.host():
        await world.until("09:36", timedelta(seconds=1))
    before = len(world.runs.ticks)
    world.clock.advance(seconds=22)
    async with world.host():
        await world.settled()
        assert len(world.runs.ticks) == before + 1
        assert world.runs.ticks[-1].missed == 3


async def test_jitter_delays_a_tick_by_what_is_shown(world: World) -> None:
    await world.declare(options(HOURLY, jitter="30 min"), "a", "b")
    async with world.host():
        shown = {name: next_runs(await world.state(name), world.clock.now(), 2) for name in "ab"}
        await world.until("12:00", timedelta(seconds=10))

    fired = {name: [tick.fired_at for tick in world.runs.ticks if tick.trigger == name] for name in "ab"}
    for name in "ab":
        for seen, told in zip(fired[name], shown[name], strict=True):
            assert timedelta(0) <= seen - told <= timedelta(seconds=10)
    assert shown["a"] != shown["b"]
    assert world.runs.ticks[0].scheduled_at == at("10:00")


@pytest.mark.parametrize(
    ("start", "until", "zone", "source", "expected"),
    [
        ("2026-10-25T00:25", "2026-10-25T01:35", "Europe/Berlin", "30 2 * * *", ["00:30"]),
        ("2026-10-24T23:55", "2026-10-25T01:05", "Europe/Berlin", "0 * * * *", ["00:00", "01:00"]),
        ("2026-03-29T00:25", "2026-03-29T01:35", "Europe/Berlin", "30 2 * * *", ["01:00"]),
        ("2026-11-01T05:25", "2026-11-01T06:35", "America/New_York", "30 1 * * *", ["05:30"]),
        ("2027-03-14T06:55", "2027-03-14T07:35", "America/New_York", "*/30 * * * *", ["07:00", "07:30"]),
    ],
)
async def test_a_change_of_the_clock_in_a_zone_neither_loses_nor_repeats(
    world: World, start: str, until: str, zone: str, source: str, expected: list[str]
) -> None:
    world.clock.set(at(start))
    await world.declare(Trigger("cron", source, options={"timezone": zone}))
    async with world.host():
        await world.until(until)
    assert world.runs.times == expected


# -- missed ------------------------------------------------------------------------------------------------------------

MISSED = [
    ("once", ["09:35", "09:50+2", "09:55"], (3, 2)),
    ("skip", ["09:35", "09:55"], (2, 3)),
    ("all", ["09:35", "09:40", "09:45", "09:50", "09:55"], (5, 0)),
]


@pytest.mark.parametrize(("policy", "expected", "counts"), MISSED)
async def test_what_was_missed_while_no_host_ran(
    world: World, policy: str, expected: list[str], counts: tuple[int, int]
) -> None:
    await world.declare(options(FIVE, misfire=policy))
    async with world.host():
        await world.until("09:36")
    world.clock.advance(minutes=16)
    async with world.host():
        await world.until("09:56")
    assert world.runs.times == expected
    state = await world.state()
    assert (state.fired, state.skipped) == counts


@pytest.mark.parametrize(("policy", "expected", "counts"), MISSED)
async def test_what_was_missed_while_it_was_paused(
    world: World, policy: str, expected: list[str], counts: tuple[int, int]
) -> None:
    await world.declare(options(FIVE, misfire=policy))
    async with world.host() as engine:
        await world.until("09:36")
        await world.store.triggers.pause("t", "", by="Ada")
        await world.looked(engine)
        await world.until("09:52")
        assert world.runs.times == ["09:35"]
        await world.store.triggers.resume("t")
        await world.looked(engine)
        await world.until("09:56")
    assert world.runs.times == expected
    state = await world.state()
    assert (state.fired, state.skipped) == counts


@pytest.mark.parametrize(("policy", "expected", "counts"), MISSED)
async def test_what_was_missed_while_its_installation_could_not_run(
    world: World, policy: str, expected: list[str], counts: tuple[int, int]
) -> None:
    await world.declare(options(FIVE, misfire=policy))
    async with world.host() as engine:
        await world.until("09:36")
        world.runs.obstacles["t"] = "churn is disabled."
        await world.until("09:52")
        world.runs.obstacles.clear()
        await world.looked(engine)
        await world.until("09:56")
    assert world.runs.times == expected
    state = await world.state()
    assert (state.fired, state.skipped) == counts


@pytest.mark.parametrize(("policy", "expected", "counts"), MISSED)
async def test_what_was_missed_as_the_clock_was_set_forward(
    world: World, policy: str, expected: list[str], counts: tuple[int, int]
) -> None:
    await world.declare(options(FIVE, misfire=policy))
    async with world.host():
        await world.until("09:36")
        world.clock.set(at("09:52"))
        await world.until("09:56")
    assert world.runs.times == expected
    assert world.runs.ticks[1].fired_at <= at("09:53") or policy == "skip"
    state = await world.state()
    assert (state.fired, state.skipped) == counts


async def test_a_tick_that_is_late_by_no_more_than_allowed_was_not_missed(world: World) -> None:
    await world.declare(options(HOURLY, misfire="skip", misfire_after="10 min"))
    async with world.host():
        await world.until("09:55")
    world.clock.advance(minutes=15)
    async with world.host():
        await world.until("10:55")
    world.clock.advance(minutes=15, seconds=1)
    async with world.host():
        pass
    assert world.runs.times == ["10:00"]
    assert (await world.state()).skipped == 1


async def test_a_tick_that_is_not_taken_now_stays_due(world: World) -> None:
    await world.declare(FIVE)
    world.runs.refusals = [NotNow("its queue is full")] * 3
    async with world.host():
        await world.until("09:35")
        assert (world.runs.times, (await world.state()).next_at) == ([], at("09:35"))
        await world.until("09:35:10", timedelta(seconds=1))
    assert world.runs.times == ["09:35"]
    assert (await world.state()).skipped == 0


# -- the wall clock is set back ----------------------------------------------------------------------------------------


async def test_what_has_fired_does_not_fire_again_after_a_step_back(world: World) -> None:
    await world.declare(FIVE)
    async with world.host():
        await world.until("09:42")
        world.clock.set(at("09:33"))
        await world.until("09:46")
    assert world.runs.times == ["09:35", "09:40", "09:45"]
    assert (await world.state()).fired == 3


async def test_nor_with_a_host_that_starts_after_it(world: World) -> None:
    await world.declare(FIVE)
    async with world.host():
        await world.until("09:42")
    world.clock.set(at("09:33"))
    async with world.host():
        await world.until("09:46")
    assert world.runs.times == ["09:35", "09:40", "09:45"]


@pytest.mark.parametrize("trigger", [FIVE, replace(EVERY_TEN, source="5 min")])
async def test_a_clock_that_was_wrong_by_years_does_not_silence_a_schedule(world: World, trigger: Trigger) -> None:
    await world.declare(trigger)
    async with world.host():
        await world.until("09:36")
        world.clock.set(at("2031-01-01T00:02"))
        await world.until("2031-01-01T00:06")
        world.clock.set(at("09:44"))
        await world.until("09:51")
    seen = [f"{tick.scheduled_at:%Y %H:%M}" for tick in world.runs.ticks]
    assert seen == ["2026 09:35", "2031 00:00", "2031 00:05", "2026 09:45", "2026 09:50"]


async def test_one_that_never_fired_while_the_clock_was_wrong_goes_on_too(world: World) -> None:
    await world.declare(HOURLY)
    world.clock.set(at("2031-01-01T00:15"))
    async with world.host():
        pass
    world.clock.set(at("09:55"))
    async with world.host():
        await world.until("10:01")
    assert world.runs.times == ["10:00"]


# -- changes -----------------------------------------------------------------------------------------------------------


async def test_one_that_is_added_fires_without_a_restart(world: World) -> None:
    async with world.host() as engine:
        await world.declare(FIVE)
        await world.looked(engine)
        assert (await world.state()).next_at == at("09:35")
        await world.until("09:35")
    assert world.runs.times == ["09:35"]


async def test_one_that_may_not_fire_yet_begins_when_it_may(world: World) -> None:
    """As long as a plugin that was just installed is not granted what it requires, nothing is missed."""
    world.runs.obstacles["t"] = "churn requires sql.read:users before it starts."
    await world.declare(Trigger("interval", "20 s"))
    async with world.host() as engine:
        await world.until("09:31")
        assert (await world.state()).next_at is None
        world.runs.obstacles.clear()
        await world.looked(engine)
        assert (await world.state()).next_at == at("09:31:20")
        await world.until("09:31:30", step=timedelta(seconds=10))
    assert [f"{tick.scheduled_at:%H:%M:%S}" for tick in world.runs.ticks] == ["09:31:20"]


async def test_what_is_asked_for_during_a_look_is_looked_at_next(world: World) -> None:
    async with world.host() as engine:
        for name in "abc":
            engine.look()
            await asyncio.sleep(0)
            await world.declare(FIVE, name)
            engine.look()
        await world.settled()
        assert [(await world.state(name)).next_at for name in "abc"] == [at("09:35")] * 3


async def test_a_change_counts_at_once(world: World) -> None:
    await world.declare(FIVE)
    async with world.host() as engine:
        await world.until("09:34")
        await world.change(engine, source="36 * * * *", task="count")
        await world.until("09:37")
    assert world.runs.times == ["09:36"]
    assert world.runs.executions["t@2026-11-20T09:36:00Z"].task == "count"


async def test_a_change_while_a_tick_is_being_submitted_counts_at_once(world: World) -> None:
    await world.declare(FIVE)
    world.runs.gate = asyncio.Event()
    async with world.host() as engine:
        await world.until("09:34")
        world.clock.advance(minutes=1)
        await begun(world)
        await world.store.triggers.change("t", {"source": "36 * * * *"}, by="Ada", at=world.clock.now())
        engine.look()
        async with asyncio.timeout(5):
            while (await world.state()).next_at != at("09:36"):
                await asyncio.sleep(0)
        world.runs.gate.set()
        await world.settled()
        await world.until("09:36", timedelta(seconds=30))
        assert world.runs.times == ["09:35", "09:36"]


async def test_a_pause_and_a_removal_count_at_once_also_another_hosts(world: World) -> None:
    await world.declare(FIVE, "paused", "removed", "stays")
    async with world.host():
        await world.until("09:34:59", timedelta(seconds=30))
        await world.store.triggers.pause("paused", "", by="Ada")
        await world.store.triggers.remove("removed", by="Ada", at=world.clock.now())
        await world.until("09:36")
    assert [tick.trigger for tick in world.runs.ticks] == ["stays"]


async def test_what_another_host_resumes_is_seen_within_a_minute(world: World) -> None:
    await world.declare(FIVE)
    await world.store.triggers.pause("t", "", by="Ada")
    async with world.host():
        await world.until("09:33")
        await world.store.triggers.resume("t")
        await world.until("09:35")
    assert world.runs.times == ["09:35"]


# -- two hosts, and failures -------------------------------------------------------------------------------------------


async def test_a_tick_on_two_hosts_is_one_execution_and_counted_once(world: World) -> None:
    await world.declare(FIVE, "a", "b", "c")
    async with world.host(), world.host():
        await world.until("09:42")
    assert sorted(world.runs.times) == ["09:35"] * 3 + ["09:40"] * 3
    assert [(await world.state(name)).fired for name in "abc"] == [2, 2, 2]


async def test_a_host_goes_on_when_the_other_one_has_stopped(world: World) -> None:
    await world.declare(FIVE)
    async with world.host():
        async with world.host():
            await world.until("09:37")
        await world.until("09:42")
    assert world.runs.times == ["09:35", "09:40"]


async def test_what_the_overlap_policy_rejects_is_counted_as_skipped(world: World) -> None:
    await world.declare(FIVE)
    world.runs.state = ExecutionState.REJECTED
    async with world.host():
        await world.until("09:40")
    state = await world.state()
    assert (state.fired, state.skipped, state.last_execution, state.next_at) == (0, 2, "e-1", at("09:45"))


async def test_what_will_never_be_taken_is_skipped_and_told(world: World) -> None:
    await world.declare(FIVE)
    world.runs.refusals = [Invalid("Its input cannot be stored.")]
    async with world.host():
        await world.until("09:35")
        state = await world.state()
        assert (state.problem, state.skipped, state.next_at) == ("Its input cannot be stored.", 1, at("09:40"))
        await world.until("09:40")
    assert ((await world.state()).problem, world.runs.times) == ("", ["09:40"])


async def test_what_nobody_expected_is_told_and_tried_again(world: World, caplog: pytest.LogCaptureFixture) -> None:
    await world.declare(FIVE)
    world.runs.refusals = [ZeroDivisionError()]
    async with world.host():
        await world.until("09:35")
        assert "ZeroDivisionError" in (await world.state()).problem
        await world.until("09:35:02", timedelta(seconds=1))
    assert world.runs.times == ["09:35"]
    assert (await world.state()).problem == ""
    assert "could not fire" in caplog.text


@pytest.mark.parametrize(
    ("trigger", "sentence"),
    [
        (Trigger("cron", "0 0 30 2 *"), "none of the months '2' has that day"),
        (Trigger("cron", "0 0 * * *", options={"timezone": "Europe/Atlantis"}), "'Europe/Atlantis' is no time zone"),
        (Trigger("interval", "soon"), "'soon' is not a duration"),
    ],
)
async def test_a_schedule_that_cannot_be_followed_says_so_and_holds_up_no_other(
    world: World, trigger: Trigger, sentence: str
) -> None:
    await world.declare(trigger, "wrong")
    await world.declare(FIVE, "right")
    async with world.host():
        await world.until("09:35")
    assert sentence in (await world.state("wrong")).problem
    assert [tick.trigger for tick in world.runs.ticks] == ["right"]


async def test_stopping_waits_for_what_was_begun(world: World) -> None:
    await world.declare(FIVE)
    world.runs.gate = asyncio.Event()
    engine = Schedules(world.store.triggers, world.runs, clock=world.clock)
    await engine.start()
    world.engines.append(engine)
    await world.settled()
    world.clock.advance(minutes=5)
    await begun(world)
    async with asyncio.timeout(5):
        stopping = asyncio.create_task(engine.stop())
        await asyncio.sleep(0)
        world.runs.gate.set()
        await stopping
    await engine.stop()
    assert (world.runs.times, (await world.state()).fired) == (["09:35"], 1)


async def test_stopping_gives_up_what_hangs_and_the_next_host_takes_it_up(world: World) -> None:
    await world.declare(FIVE)
    world.runs.gate = asyncio.Event()
    engine = Schedules(world.store.triggers, world.runs, clock=world.clock)
    await engine.start()
    world.engines.append(engine)
    await world.settled()
    world.clock.advance(minutes=5)
    await begun(world)
    async with asyncio.timeout(5):
        stopping = asyncio.create_task(engine.stop())
        await asyncio.sleep(0)
        world.clock.advance(seconds=6)
        await stopping
    world.engines.clear()
    world.runs.gate = None
    async with world.host():
        pass
    assert (world.runs.times, (await world.state()).fired) == (["09:35"], 1)
