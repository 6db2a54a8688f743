from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from schedule_world import at

from moorage.models.manifest import Trigger
from moorage.models.policy import Origin
from moorage.models.trigger import TriggerState
from moorage.orchestrator.triggers import misfire
from moorage.orchestrator.triggers.interval import Interval
from moorage.orchestrator.triggers.misfire import MOST_MISSED, Step
from moorage.orchestrator.triggers.schedule import Misfire, Schedule, next_runs
from moorage.orchestrator.triggers.tick import Tick

ANCHOR = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

_spans = st.timedeltas(timedelta(days=-900), timedelta(days=900))
_everys = st.timedeltas(timedelta(seconds=1), timedelta(days=40))
_sources = st.sampled_from(
    [
        ("cron", "*/5 * * * *"),
        ("cron", "30 2 * * *"),
        ("cron", "* 9-11 * * mon"),
        ("interval", "7 min"),
        ("interval", "1 s"),
    ]
)


def state(kind: str = "cron", source: str = "*/5 * * * *", **options: object) -> TriggerState:
    options.setdefault("timezone", "Europe/Berlin") if kind == "cron" else None
    return TriggerState("t", Trigger(kind, source, options=options), Origin.SETTINGS)


def schedule(kind: str = "cron", source: str = "*/5 * * * *", **options: object) -> Schedule:
    return Schedule.of(state(kind, source, **options), ANCHOR)


# -- intervals ---------------------------------------------------------------------------------------------------------


@given(_everys, _spans, _spans)
def test_ticks_of_an_interval_keep_their_distance_to_the_anchor(
    every: timedelta, since: timedelta, further: timedelta
) -> None:
    interval, instant = Interval(every, ANCHOR), ANCHOR + since
    tick = interval.after(instant)
    assert tick is not None
    assert instant < tick <= instant + every
    assert (tick - ANCHOR) % every == timedelta(0)
    # Wherever it is anchored anew: the phase is the same.
    assert Interval(every, tick).after(ANCHOR + further) == interval.after(ANCHOR + further)
    assert interval.last(instant, instant + every) == tick
    assert interval.count(instant, tick) == 1
    assert interval.count(instant, tick + 41 * every) == 42


def test_an_interval_of_nothing_is_none() -> None:
    with pytest.raises(ValueError, match="too short"):
        Interval(timedelta(milliseconds=999), ANCHOR)
    assert Interval(timedelta(seconds=1), ANCHOR).after(ANCHOR) == ANCHOR + timedelta(seconds=1)
    assert Interval(timedelta(days=3660), ANCHOR).after(datetime(9995, 1, 1, tzinfo=UTC)) is None


# -- jitter ------------------------------------------------------------------------------------------------------------


@given(_sources, st.sampled_from(["1 s", "4 min", "3 h", "30 d"]), st.timedeltas(timedelta(0), timedelta(days=400)))
@settings(max_examples=60, deadline=None)
def test_jitter_is_the_same_each_time_and_ends_before_the_next_tick(
    source: tuple[str, str], jitter: str, since: timedelta
) -> None:
    found = schedule(*source, jitter=jitter)
    tick = found.after(ANCHOR + since)
    assert tick is not None
    following = found.after(tick)
    assert following is not None
    assert tick <= found.fires_at(tick) < following
    assert found.fires_at(tick) - tick < found.jitter
    assert found.fires_at(tick) == schedule(*source, jitter=jitter).fires_at(tick)


def test_jitter_is_spread_evenly_over_triggers_and_ticks() -> None:
    def delays(name: str) -> list[float]:
        found = Schedule(name, Interval(timedelta(hours=1), ANCHOR), jitter=timedelta(minutes=10))
        ticks = [ANCHOR + number * timedelta(hours=1) for number in range(400)]
        return [(found.fires_at(tick) - tick) / timedelta(minutes=10) for tick in ticks]

    first, second = delays("a"), delays("b")
    for found in (first, second):
        tenths = [sum(int(delay * 10) == tenth for delay in found) for tenth in range(10)]
        assert min(tenths) > 15
        assert max(tenths) < 70
    assert first != second


# -- next runs ---------------------------------------------------------------------------------------------------------


def test_the_next_runs_are_shown_with_their_jitter() -> None:
    found = state(jitter="2 min")
    ticks = [at("09:35"), at("09:40"), at("09:45")]
    assert next_runs(found, at("09:31"), 3) == tuple(schedule(jitter="2 min").fires_at(tick) for tick in ticks)


def test_a_waiting_tick_is_shown_as_one_of_now() -> None:
    found = TriggerState("t", Trigger("cron", "*/5 * * * *"), Origin.SETTINGS, next_at=at("09:00"))
    assert next_runs(found, at("09:31"), 3) == (at("09:31"), at("09:35"), at("09:40"))


@pytest.mark.parametrize("hidden", [{"paused": True}, {"removed": True}])
def test_what_does_not_fire_has_no_next_runs(hidden: dict[str, bool]) -> None:
    trigger = Trigger("cron", "*/5 * * * *")
    assert next_runs(TriggerState("t", trigger, Origin.SETTINGS, **hidden), ANCHOR, 3) == ()  # type: ignore[arg-type]
    assert next_runs(TriggerState("t", Trigger("kafka", "orders"), Origin.SETTINGS), ANCHOR, 3) == ()
    assert len(next_runs(TriggerState("t", trigger, Origin.SETTINGS), ANCHOR, 3)) == 3


# -- what is told ------------------------------------------------------------------------------------------------------


def test_a_tick_has_one_key_and_says_what_it_stands_for() -> None:
    tick = Tick("churn/nightly", at("09:35"), at("09:50"), missed=3)
    assert tick.key() == "churn/nightly@2026-11-20T09:35:00Z"
    assert tick.key("geo") == "churn/nightly@2026-11-20T09:35:00Z@geo"
    assert tick.input == {
        "trigger": "churn/nightly",
        "scheduled_at": at("09:35"),
        "fired_at": at("09:50"),
        "missed": 3,
    }


# -- misfires ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "due", "now", "expected"),
    [
        # Not due, due, late by what is allowed.
        ("once", "09:35", "09:34:59", Step(None, at("09:35"))),
        ("once", "09:35", "09:35", Step(at("09:35"), at("09:40"))),
        ("skip", "09:35", "09:36", Step(at("09:35"), at("09:40"))),
        ("all", "09:35", "09:36", Step(at("09:35"), at("09:40"))),
        # Late by more.
        ("once", "09:35", "09:36:01", Step(at("09:35"), at("09:40"))),
        ("skip", "09:35", "09:36:01", Step(None, at("09:40"), skipped=1)),
        ("all", "09:35", "09:36:01", Step(at("09:35"), at("09:40"))),
        # So late that another one is due.
        ("once", "09:35", "09:50", Step(at("09:50"), at("09:55"), skipped=3)),
        ("skip", "09:35", "09:50", Step(None, at("09:50"), skipped=3)),
        ("skip", "09:35", "09:51", Step(None, at("09:50"), skipped=3)),
        ("skip", "09:35", "09:51:01", Step(None, at("09:55"), skipped=4)),
        ("all", "09:35", "09:50", Step(at("09:35"), at("09:40"))),
    ],
)
def test_what_is_done_about_the_tick_that_is_due(policy: str, due: str, now: str, expected: Step) -> None:
    assert misfire.step(schedule(misfire=policy), at(due), at(now)) == expected


def test_all_runs_so_many_and_skips_the_oldest() -> None:
    found = schedule(source="* * * * *", misfire="all")
    due, now = ANCHOR, ANCHOR + 100_000 * MINUTE
    first = misfire.step(found, due, now)
    assert first == Step(None, now - (MOST_MISSED - 1) * MINUTE, skipped=100_001 - MOST_MISSED)
    assert first.next_at is not None
    assert misfire.step(found, first.next_at, now) == Step(first.next_at, first.next_at + MINUTE)


@given(
    _sources,
    st.sampled_from(Misfire),
    st.sampled_from(["0 s", "2 min", "2 h"]),
    st.sampled_from(["1 s", "1 min", "1 h"]),
    st.timedeltas(timedelta(0), timedelta(hours=5)),
)
@settings(max_examples=60, deadline=None)
def test_every_tick_is_fired_or_skipped_exactly_once(
    source: tuple[str, str], policy: Misfire, jitter: str, grace: str, down: timedelta
) -> None:
    kind, text = source
    found = schedule(kind, "20 s" if text == "1 s" else text, misfire=policy, jitter=jitter, misfire_after=grace)
    due = found.after(ANCHOR)
    assert due is not None
    now = due + down
    ticks, fired, skipped, missed = 1 + found.ticks.count(due, now), [], 0, 0
    while True:
        step = misfire.step(found, due, now)
        skipped, missed = skipped + step.skipped, missed + step.missed
        if step.fire is not None:
            fired.append(step.fire)
            assert found.fires_at(step.fire) <= now
        if step.next_at == due or step.next_at is None:
            break
        assert step.next_at > due
        due = step.next_at
    # The last one may be waiting for the end of its jitter.
    assert ticks - len(fired) - skipped == (1 if due <= now else 0)
    assert fired == sorted(set(fired))
    assert found.fires_at(due) > now
    if policy is Misfire.ONCE:
        assert missed == skipped
    if policy is Misfire.SKIP:
        assert all(not found.is_late(tick, now) for tick in fired)
    if policy is Misfire.ALL:
        assert not skipped or len(fired) == MOST_MISSED
