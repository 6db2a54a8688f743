from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.store import tagged
from moorage.store.errors import NotStorable
from moorage_proto import values

_zones = st.sampled_from([None, UTC, timezone(timedelta(hours=5, minutes=30))])
_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=2**63, max_value=2**200),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
    st.decimals(allow_nan=False),
    st.dates(),
    st.times(timezones=_zones),
    st.datetimes(timezones=_zones),
    st.timedeltas(timedelta(days=-100_000_000), timedelta(days=100_000_000)),
    st.uuids(),
)
_keys = st.one_of(st.text(max_size=5), st.sampled_from(["$record", "$bytes", "$decimal", "$"]))
anything = st.recursive(
    _scalars, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_keys, inner, max_size=3))
)


@given(anything)
def test_what_goes_in_comes_out_as_over_the_wire(value: Any) -> None:
    assert tagged.loads(tagged.dumps(value)) == value == values.from_wire(values.to_wire(value))


@given(anything)
def test_it_is_json_that_any_database_accepts(value: Any) -> None:
    json.loads(tagged.dumps(value), parse_constant=pytest.fail)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("1.50"), '{"$decimal":"1.50"}'),
        (datetime(2026, 11, 20, 6, tzinfo=UTC), '{"$datetime":"2026-11-20T06:00:00+00:00"}'),
        (date(2026, 11, 20), '{"$date":"2026-11-20"}'),
        (time(6, 30), '{"$time":"06:30:00"}'),
        (timedelta(seconds=2), '{"$microseconds":2000000}'),
        (UUID(int=1), '{"$uuid":"00000000-0000-0000-0000-000000000001"}'),
        (b"\x00", '{"$bytes":"AA=="}'),
        (-math.inf, '{"$real":"-inf"}'),
        ({"$decimal": 1}, '{"$record":{"$decimal":1}}'),
    ],
)
def test_the_text_is_stable(value: Any, text: str) -> None:
    assert tagged.dumps(value) == text
    assert tagged.loads(text) == value


def test_not_a_number_survives() -> None:
    assert math.isnan(tagged.loads(tagged.dumps(math.nan)))
    assert tagged.loads(tagged.dumps(Decimal("NaN"))).is_nan()


def test_nesting_is_bounded() -> None:
    deep: Any = 1
    for _ in range(values.MAX_DEPTH):
        deep = [deep]
    assert tagged.loads(tagged.dumps(deep)) == deep
    with pytest.raises(NotStorable, match="nested deeper"):
        tagged.dumps([deep])


@pytest.mark.parametrize("value", [object(), {1: 2}, {"a": {1, 2}}, pytest.param(10**5000, id="huge")])
def test_other_types_are_refused(value: Any) -> None:
    with pytest.raises(NotStorable, match="cannot be stored"):
        tagged.dumps(value)
