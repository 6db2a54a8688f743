from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from cron_table import TABLE
from hypothesis import given, settings
from hypothesis import strategies as st

from moorage.orchestrator.triggers.cron import Cron

MINUTE = timedelta(minutes=1)


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(("expression", "zone", "start", "expected", "why"), TABLE)
def test_the_written_table(expression: str, zone: str, start: str, expected: str, why: str) -> None:
    cron, ticks, at = Cron(expression, ZoneInfo(zone)), list(map(instant, expected.split())), instant(start)
    for tick in ticks:
        assert cron.after(at) == tick, why
        at = tick
    assert cron.count(instant(start), ticks[-1]) == len(ticks)
    assert cron.last(instant(start), ticks[-1]) == ticks[-1]
    assert cron.last(instant(start), ticks[0] - MINUTE / 60) is None


def test_every_zone_change_of_both_years_is_in_the_table() -> None:
    for zone, days in {
        "Europe/Berlin": ("2026-03-29", "2026-10-25", "2027-03-28", "2027-10-31"),
        "America/New_York": ("2026-03-08", "2026-11-01", "2027-03-14", "2027-11-07"),
    }.items():
        for day in days:
            assert any(row[1] == zone and day in row[3] + row[2] for row in TABLE), (zone, day)


def test_a_time_that_never_comes_is_none() -> None:
    # 29 February falls on a Monday in 2044, 2072 and then not before 2112.
    cron = Cron("0 0 29 2 */7", ZoneInfo("UTC"))
    assert cron.after(instant("2026-01-01")) == instant("2032-02-29")
    assert Cron("0 0 * 2 mon#5", ZoneInfo("UTC")).after(instant("2072-03-01")) == instant("2112-02-29")


@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        ("0 6 * *", "minute, hour, day, month and weekday"),
        ("60 6 * * *", "'60' is not allowed as minute; write '[*]', a number from 0 to 59"),
        ("0 24 * * *", "'24' is not allowed as hour"),
        ("0 6 32 * *", "'32' is not allowed as day of month; .* 'L' for the last day"),
        ("0 6 * foo *", "'foo' is not allowed as month; .* a name such as 'jan'"),
        ("0 6 * * 8", "'8' is not allowed as day of week; .* '5L' for the last Friday"),
        ("0 6 30 2 *", "'30' is not allowed as day of month; none of the months '2' has that day"),
        ("0 6 31 4,jun *", "none of the months '4,jun' has that day"),
    ],
)
def test_what_is_no_expression_is_named_with_its_field_and_rule(expression: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Cron(expression, ZoneInfo("UTC"))


# -- against a scan of every minute ------------------------------------------------------------------------------------

#: Around changes of the clock, by an hour and by half an hour, at night and at midnight.
WINDOWS = (
    ("Europe/Berlin", "2026-03-28T06:00"),
    ("Europe/Berlin", "2026-10-24T06:00"),
    ("America/New_York", "2027-03-13T06:00"),
    ("America/New_York", "2027-11-06T06:00"),
    ("Australia/Lord_Howe", "2026-10-03T00:00"),
    ("Australia/Lord_Howe", "2026-04-04T00:00"),
    ("America/Havana", "2026-03-07T12:00"),
    ("America/Havana", "2026-10-31T12:00"),
    ("America/Santiago", "2026-09-05T12:00"),
    ("America/Santiago", "2026-04-04T12:00"),
    ("Asia/Kathmandu", "2026-03-31T00:00"),
    ("UTC", "2027-02-27T12:00"),
)
MINUTES = 2 * 24 * 60


@dataclass(frozen=True)
class Minute:
    at: datetime
    shown: datetime
    #: What no clock has shown just before it.
    skipped: tuple[datetime, ...]


@cache
def minutes(zone: str, start: str) -> tuple[Minute, ...]:
    shown = [((instant(start) + number * MINUTE), ZoneInfo(zone)) for number in range(MINUTES + 1)]
    clock = [(at, at.astimezone(where)) for at, where in shown]
    found = []
    for (_, before), (at, now) in pairwise(clock):
        gap = now.replace(tzinfo=None) - before.replace(tzinfo=None) - MINUTE
        skipped = tuple(before.replace(tzinfo=None) + number * MINUTE for number in range(1, gap // MINUTE + 1))
        found.append(Minute(at, now, skipped))
    return tuple(found)


def fits(expression: str, shown: datetime) -> bool:
    minute, hour, day, month, weekday = expression.split()
    by_day = _fits(day, shown.day, 1, 31)
    by_weekday = _fits(weekday, shown.isoweekday() % 7, 0, 6)
    days = by_day and by_weekday if "*" in (day[0], weekday[0]) else by_day or by_weekday
    return (
        days
        and _fits(minute, shown.minute, 0, 59)
        and _fits(hour, shown.hour, 0, 23)
        and _fits(month, shown.month, 1, 12)
    )


def _fits(field: str, value: int, first: int, last: int) -> bool:
    for part in field.split(","):
        whole, _, step = part.partition("/")
        low, dash, high = whole.replace("*", f"{first}-{last}").partition("-")
        if value in range(int(low), int(high if dash else low) + 1, int(step or 1)):
            return True
    return False


def scanned(expression: str, zone: str, start: str) -> Iterator[datetime]:
    """The rules of the module's head, minute by minute."""
    minute, hour, *_ = expression.split()
    by_the_wall = minute.startswith("*") or hour.startswith("*")
    for each in minutes(zone, start):
        if by_the_wall:
            if fits(expression, each.shown):
                yield each.at
        elif (each.shown.fold == 0 and fits(expression, each.shown)) or any(
            fits(expression, shown) for shown in each.skipped
        ):
            yield each.at


def _field(first: int, last: int) -> st.SearchStrategy[str]:
    numbers = st.integers(first, last)
    # cronsim reads a range of one number with a step as a start with a step.
    ranges = st.sets(numbers, min_size=2, max_size=2).map(lambda pair: f"{min(pair)}-{max(pair)}")
    plain = st.one_of(numbers.map(str), ranges, st.tuples(ranges, st.integers(1, 7)).map("{0[0]}/{0[1]}".format))
    return st.one_of(
        st.just("*"),
        st.integers(2, last).map(lambda step: f"*/{step}"),
        st.lists(plain, min_size=1, max_size=3).map(",".join),
    )


expressions = st.tuples(
    _field(0, 59),
    st.one_of(_field(0, 23), st.sampled_from(["2", "1,2,3", "0", "23"])),
    st.one_of(st.just("*"), _field(1, 28)),
    st.just("*"),
    st.one_of(st.just("*"), _field(0, 6)),
).map(" ".join)


@settings(max_examples=25, deadline=None)
@given(expressions, st.sampled_from(WINDOWS), st.integers(0, MINUTES - 1))
def test_it_agrees_with_a_scan_of_every_minute(expression: str, window: tuple[str, str], begin: int) -> None:
    zone, start = window
    cron = Cron(expression, ZoneInfo(zone))
    after, until = instant(start) + begin * MINUTE, instant(start) + MINUTES * MINUTE
    expected = [tick for tick in scanned(expression, zone, start) if tick > after]

    at = after
    for tick in expected[:30]:
        assert cron.after(at) == tick
        at = tick
    if len(expected) <= 30:
        assert (beyond := cron.after(at)) is None or beyond > until
    assert cron.count(after, until) == len(expected)
    assert cron.last(after, until) == (expected[-1] if expected else None)


@given(
    expressions, st.sampled_from(WINDOWS), st.lists(st.timedeltas(timedelta(0), timedelta(400)), min_size=2, max_size=6)
)
@settings(max_examples=25, deadline=None)
def test_the_next_tick_is_strictly_after_and_never_earlier_for_a_later_instant(
    expression: str, window: tuple[str, str], later: list[timedelta]
) -> None:
    zone, start = window
    cron = Cron(expression, ZoneInfo(zone))
    instants = sorted(instant(start) + span for span in later)
    ticks = [cron.after(at) for at in instants]
    for at, tick in zip(instants, ticks, strict=True):
        assert tick is None or tick > at
    known = [tick for tick in ticks if tick is not None]
    assert known == sorted(known)
