"""Needs that are patterns: covered only by what covers all that they may stand for, denied by what denies any of it."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_link import grants

from moorage_proto.capability import Capability, need, parse

_TEXTS = ["".join(text) for length in range(5) for text in itertools.product("ab:", repeat=length)]

globs = st.lists(st.sampled_from(["a", "b", ":", "*", "**"]), max_size=5).map("".join)


def expression(glob: str) -> re.Pattern[str]:
    parts = {"**": "(?s:.*)", "*": "[^/.:]*"}
    return re.compile("".join(parts.get(part) or re.escape(part) for part in re.split(r"(\*\*|\*)", glob)))


def wild(pattern: str) -> Capability:
    return need("redis.subscribe", pattern, wild=True)


@given(glob=globs, pattern=globs)
def test_what_covers_a_pattern_covers_every_text_that_fits_it(glob: str, pattern: str) -> None:
    right = Capability("redis.subscribe", f"main/{glob}")
    if right.covers(wild(pattern)):
        fits, right_fits = expression(pattern), expression(glob)
        assert all(right_fits.fullmatch(text) for text in _TEXTS if fits.fullmatch(text))


@given(glob=globs, pattern=globs)
def test_what_overlaps_a_pattern_has_a_text_in_common_with_it(glob: str, pattern: str) -> None:
    right = Capability("redis.subscribe", f"main/{glob}")
    fits, right_fits = expression(pattern), expression(glob)
    common = any(fits.fullmatch(text) and right_fits.fullmatch(text) for text in _TEXTS)
    # A common text may be longer than those that are tried, but not the other way round.
    assert right.overlaps(wild(pattern)) or not common


@pytest.mark.parametrize(
    ("granted", "pattern", "allowed"),
    [
        ("news.**", "news.**", True),
        ("news.**", "news.*", True),
        ("news.**", "news.sport.**", True),
        ("news.*", "news.*", True),
        ("**", "**", True),
        ("*", "a*", True),
        ("news.*", "news.**", False),
        ("news.*", "news.a.*", False),
        ("news.**", "new**", False),
        ("news.**", "**", False),
        ("news.**", "news**", False),
        ("a*:**b", "a**b", False),
        ("news.a", "news.*", False),
    ],
)
def test_containment(granted: str, pattern: str, allowed: bool) -> None:
    assert grants(f"redis.subscribe:{granted}").decide(wild(pattern)).allowed is allowed


def test_rights_do_not_add_up() -> None:
    assert (
        not grants("redis.subscribe:ab", "redis.subscribe:a*b", "redis.subscribe:a*:**b").decide(wild("a**b")).allowed
    )


def test_a_deny_of_any_part_denies_the_whole() -> None:
    allowed = grants("redis.subscribe:**", deny=["redis.subscribe:news.secret"])
    assert allowed.decide(wild("news.**")).rule == parse("redis.subscribe:news.secret")
    assert not allowed.decide(wild("**")).allowed
    assert allowed.decide(wild("sport.**")).allowed


def test_a_pattern_that_is_too_long_is_covered_by_nothing() -> None:
    assert not grants("redis.subscribe:**").decide(wild("a" * 600 + "*")).allowed
    assert grants("redis.subscribe:**").decide(wild("a" * 500 + "*")).allowed
