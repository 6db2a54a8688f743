from __future__ import annotations

import contextlib
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.packages.units import UnitInvalid, format_duration, format_size, parse_duration, parse_size


@given(st.integers(0, 10**15))
def test_sizes_survive_being_written(count: int) -> None:
    assert parse_size(format_size(count)) == count


@given(st.timedeltas(timedelta(0), timedelta(days=100_000)))
def test_durations_survive_being_written(duration: timedelta) -> None:
    assert parse_duration(format_duration(duration)) == duration


@given(st.text(max_size=30))
def test_any_text_is_refused_or_understood(text: str) -> None:
    for parse in (parse_size, parse_duration):
        with contextlib.suppress(UnitInvalid):
            parse(text)


@pytest.mark.parametrize(
    ("written", "count"),
    [("256 MiB", 256 * 1024**2), ("64KiB", 65_536), ("1.5 GiB", 3 * 512 * 1024**2), ("2 MB", 2_000_000), (77, 77)],
)
def test_sizes(written: object, count: int) -> None:
    assert parse_size(written) == count


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("5 min", 300), ("1 h 30 min", 5400), ("200ms", 0.2), ("0.1 s", 0.1), ("2 days", 172_800), (90, 90), (0.5, 0.5)],
)
def test_durations(written: object, seconds: float) -> None:
    assert parse_duration(written) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "written", ["256 Mb", "MiB", "-1 MiB", "1 e9 B", "٣ MiB", "", True, 1.5, None, [], "9" * 99 + " B"]
)
def test_what_is_no_size(written: object) -> None:
    with pytest.raises(UnitInvalid, match="is not a size; write a number with B, KiB, MiB or GiB"):
        parse_size(written)


def test_half_a_byte_is_no_size() -> None:
    with pytest.raises(UnitInvalid, match="not a whole number of bytes"):
        parse_size("0.3 KiB")


@pytest.mark.parametrize("written", ["5", "five min", "5 min 3", "5 minutes!", "", True, None, "5  min", "1 min "])
def test_what_is_no_duration(written: object) -> None:
    with pytest.raises(UnitInvalid, match="is not a duration"):
        parse_duration(written)


@pytest.mark.parametrize("written", [10**300, float("inf"), float("nan"), "999999999999999 d"])
def test_durations_beyond_all_bounds(written: object) -> None:
    with pytest.raises(UnitInvalid, match="longer than any duration"):
        parse_duration(written)
