from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.store.effective import effective, includes, intersection, missing
from moorage_proto.capability import Capability, Grants, parse

_segments = st.lists(st.sampled_from(["a", "b", "ab", "*", "**", "a*", "*b", "/", ".", ":"]), min_size=1, max_size=4)
_columns = st.sampled_from([(), ("id",), ("name",), ("id", "name")])
patterns = st.builds(
    lambda parts, columns: Capability("sql.read", "main/" + "".join(parts), columns), _segments, _columns
)
_letters = st.lists(st.sampled_from(["a", "b", "/", ".", ":"]), max_size=5)
needs = st.builds(lambda parts, columns: Capability("sql.read", "main/" + "".join(parts), columns), _letters, _columns)


@pytest.mark.parametrize(
    ("requested", "granted", "both"),
    [
        ("sql.read:users", "sql.read:**", "sql.read:users"),
        ("sql.read:**", "sql.read:users", "sql.read:users"),
        ("sql.read:**", "sql.read:*", "sql.read:*"),
        ("sql.read:*", "sql.read:**", "sql.read:*"),
        ("sql.read:users(id,name)", "sql.read:users(name,mail)", "sql.read:users(name)"),
        ("sql.read:users(id)", "sql.read:users(mail)", None),
        ("sql.read:users", "sql.write:users", None),
        ("sql.read:users", "sql.read:analytics/users", None),
        ("kafka.produce:a-*", "kafka.produce:*-b", None),
    ],
)
def test_the_intersection_of_two_rights(requested: str, granted: str, both: str | None) -> None:
    expected = None if both is None else parse(both)
    assert intersection(parse(requested), parse(granted)) == expected


@given(st.lists(patterns, max_size=3), st.lists(patterns, max_size=3), needs)
def test_effective_never_allows_what_one_side_did_not(
    requested: list[Capability], granted: list[Capability], need: Capability
) -> None:
    if Grants(allow=effective(requested, granted)).decide(need).allowed:
        assert any(right.covers(need) for right in requested)
        assert any(right.covers(need) for right in granted)


@given(patterns, patterns, needs)
def test_what_includes_another_covers_all_of_it(wide: Capability, narrow: Capability, need: Capability) -> None:
    if includes(wide, narrow) and narrow.covers(need):
        assert wide.covers(need)


@given(patterns)
def test_each_right_includes_itself(right: Capability) -> None:
    assert includes(right, right)


def test_a_deny_rule_makes_a_required_right_missing() -> None:
    users = parse("sql.read:users")
    assert missing([users], [users]) == ()
    assert missing([users], [users], [parse("sql.read:**")]) == (users,)


def test_patterns_of_a_plugins_own_are_compared_in_no_time() -> None:
    """With a regular expression this would take years."""
    asked = parse(f"kafka.produce:{'**a' * 100}b")
    several = [asked, parse(f"kafka.produce:{'a' * 900}"), parse(f"kafka.produce:{'a*' * 450}")]
    began = time.perf_counter()
    assert set(effective(several, several)) == set(several)
    assert time.perf_counter() - began < 5
