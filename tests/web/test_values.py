"""Every value that the contract carries has a JSON form."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.web.values import to_json
from moorage_proto import values as contract

#: The contract carries durations as 64 bits of microseconds.
CENTURY = timedelta(days=36_525)

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.decimals(), st.dates(), st.times(),
    st.datetimes(), st.timedeltas(-CENTURY, CENTURY), st.uuids(),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=20
)


@given(VALUES)
def test_what_came_over_the_wire_is_strict_json(value):
    arrived = contract.from_wire(contract.to_wire(value))
    text = json.dumps(to_json(arrived), allow_nan=False, ensure_ascii=False)
    assert json.loads(text.encode()) == to_json(arrived)


@given(st.text(alphabet=st.characters(categories=["Cs", "L"])))
def test_text_that_utf8_has_no_form_for_is_escaped(value):
    to_json({value: [value]})
    assert json.dumps(to_json(value), ensure_ascii=False).encode()


@given(st.timedeltas())
def test_durations_are_exact(value):
    text = to_json(value)
    sign = -1 if text.startswith("-") else 1
    seconds, _, fraction = text.lstrip("-").removeprefix("PT").removesuffix("S").partition(".")
    assert sign * timedelta(seconds=int(seconds), microseconds=int(fraction.ljust(6, "0") or 0)) == value


def test_other_types_are_a_mistake():
    with pytest.raises(TypeError, match="object has no JSON form"):
        to_json(object())
