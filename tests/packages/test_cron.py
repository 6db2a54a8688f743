"""What the parser takes, cronsim takes; what it refuses beyond that is listed here."""

from __future__ import annotations

import re
from datetime import datetime

import pytest
from cronsim import CronSim, CronSimError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from moorage.packages.cron import parse_cron

#: Refused although cronsim takes it: most likely not what was meant.
STRICTER = (
    (re.compile(r"[0-9]{3}"), "numbers have two digits at most"),
    (re.compile(r"(?<![0-9])(?:l|lw)/"), "a step from the last day is the last day"),
    (re.compile(r"/"), "a step beyond the field's last number is no step"),
)

_numbers = st.integers(0, 65).map(str)
_words = st.sampled_from(
    ["jan", "DEC", "sun", "Sat", "mon", "foo", "l", "L", "LW", "5L", "8L", "fri#2", "5#6", "1#1", ""]
)
_whole = st.one_of(st.just("*"), _numbers, _words, st.tuples(_numbers | _words, _numbers | _words).map("-".join))
_parts = st.one_of(_whole, st.tuples(_whole, st.one_of(_numbers, st.sampled_from(["", "007", "x"]))).map("/".join))
_fields = st.lists(_parts, min_size=1, max_size=3).map(",".join)
_stars = st.one_of(st.just("*"), _fields)
_expressions = st.tuples(_stars, _stars, _stars, _stars, _stars).map(" ".join)
_any_text = st.text(alphabet="0123456789*/-,#lLwWnNmM ", max_size=20)


def parses(expression: str) -> bool:
    try:
        parse_cron(expression)
    except ValueError:
        return False
    return True


def simulates(expression: str) -> bool:
    try:
        CronSim(expression, datetime(2026, 1, 1))
    except CronSimError:
        return False
    return True


@settings(max_examples=150, deadline=None)
@given(st.one_of(_expressions, _any_text.map(lambda text: f"0 0 {text} * *"), _any_text.map("0 0 * * {}".format)))
@example("0 0 31 2 *")
@example("0 0 30,31 2 1")
@example("0 0 */31 2 *")
@example("0 0 31,L 2 *")
@example("0 0 31 */3 *")
def test_the_parser_and_cronsim_agree(expression: str) -> None:
    if parses(expression):
        assert simulates(expression)
    elif simulates(expression) and len(expression.split()) == 5:
        assert any(pattern.search(expression.lower()) for pattern, _ in STRICTER), expression


@pytest.mark.parametrize("expression", ["*/60 * * * *", "0 */24 * * *", "0 0 L/2 * *", "007 * * * *"])
def test_it_is_stricter_where_something_else_was_meant(expression: str) -> None:
    assert simulates(expression)
    with pytest.raises(ValueError, match="is not allowed as"):
        parse_cron(expression)


@pytest.mark.parametrize("expression", ["*/59 * * * *", "0 */23 * * *", "0 0 L * *", "07 * * * *", "0 0 * * 5L,mon#1"])
def test_what_is_meant_is_taken(expression: str) -> None:
    assert parse_cron(f"  {expression}\t") == expression
