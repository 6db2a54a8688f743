"""Which installations a selector selects."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.models.selection import Selector
from moorage.orchestrator.selection import Candidate, selects
from moorage_proto.capability import Grants, parse

CHURN = Candidate(
    "churn",
    "1.3.0",
    frozenset({"etl", "nightly"}),
    Grants(
        allow=(parse("sql.read:users"), parse("kafka.produce:plays-*")), deny=(parse("kafka.produce:plays-secret"),)
    ),
    {"vip": True, "eu": False},
)


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        (Selector(), True),
        (Selector(tags=("etl",)), True),
        (Selector(tags=("etl", "nightly")), True),
        (Selector(tags=("etl", "weekly")), False),
        (Selector(name="churn"), True),
        (Selector(name="ch*"), True),
        (Selector(name="geo-*"), False),
        (Selector(version=">=1.2"), True),
        (Selector(version=">=1.2,<1.3"), False),
        (Selector(capability="sql.read:users"), True),
        (Selector(capability="sql.read:users(id)"), True),
        (Selector(capability="sql.read:**"), False),
        (Selector(capability="sql.write:users"), False),
        (Selector(capability="kafka.produce:plays-eu"), True),
        (Selector(capability="kafka.produce:plays-secret"), False),
        (Selector(predicate="vip"), True),
        (Selector(predicate="eu"), False),
        (Selector(tags=("etl",), name="geo-*"), False),
        (Selector(all=(Selector(name="ch*"), Selector(tags=("etl",)))), True),
        (Selector(any=(Selector(name="geo-*"), Selector(tags=("etl",)))), True),
        (Selector(any=(Selector(name="geo-*"), Selector(tags=("weekly",)))), False),
        (Selector(none=(Selector(name="geo-*"),)), True),
        (Selector(none=(Selector(name="geo-*"), Selector(tags=("etl",)))), False),
    ],
)
def test_what_is_selected(selector: Selector, selected: bool) -> None:
    assert selects(selector, CHURN) is selected


@pytest.mark.parametrize(
    ("specifier", "version", "selected"),
    [
        (">=1.2", "1.3rc1", True),
        (">=1.3", "1.3rc1", False),
        ("<2", "2.0rc1", False),
        ("==1.3rc1", "1.3rc1", True),
        ("~=1.2", "1.9.dev3", True),
        (">=1.2", "1.2+local", True),
        (">=1.2", "no version", False),
    ],
)
def test_pre_releases_that_are_installed_count(specifier: str, version: str, selected: bool) -> None:
    candidate = Candidate("a", version, frozenset(), Grants(), {})
    assert selects(Selector(version=specifier), candidate) is selected


@pytest.mark.parametrize("predicate", ["slow", "unknown"])
def test_what_a_predicate_could_not_say_selects_nothing_either_way(predicate: str) -> None:
    unsure = Selector(predicate=predicate)
    assert not selects(unsure, CHURN)
    assert not selects(Selector(none=(unsure,)), CHURN)
    assert not selects(Selector(all=(Selector(name="churn"), unsure)), CHURN)
    # Where it does not matter what it would have said, it does not matter that it said nothing.
    assert selects(Selector(any=(unsure, Selector(name="churn"))), CHURN)
    assert selects(Selector(none=(Selector(all=(unsure, Selector(name="geo-*"))),)), CHURN)


_PARTS = st.builds(
    Selector,
    tags=st.lists(st.sampled_from(["etl", "nightly", "other"]), max_size=2).map(tuple),
    name=st.sampled_from(["", "ch*", "geo-*"]),
    version=st.sampled_from(["", ">=1.2", "<1"]),
    capability=st.sampled_from(["", "sql.read:users", "sql.write:users"]),
    predicate=st.sampled_from(["", "vip", "eu", "slow"]),
)
SELECTORS = st.recursive(
    _PARTS,
    lambda inner: st.builds(
        Selector,
        all=st.lists(inner, max_size=2).map(tuple),
        any=st.lists(inner, max_size=2).map(tuple),
        none=st.lists(inner, max_size=2).map(tuple),
    ),
    max_leaves=6,
)


@given(st.lists(SELECTORS, min_size=1, max_size=3).map(tuple))
def test_de_morgan(parts: tuple[Selector, ...]) -> None:
    negated = tuple(Selector(none=(part,)) for part in parts)
    assert selects(Selector(none=(Selector(any=parts),)), CHURN) is selects(Selector(all=negated), CHURN)
    assert selects(Selector(none=(Selector(all=parts),)), CHURN) is selects(Selector(any=negated), CHURN)
    assert selects(Selector(none=parts), CHURN) is selects(Selector(none=(Selector(any=parts),)), CHURN)


@given(SELECTORS)
def test_what_is_added_never_selects_more(selector: Selector) -> None:
    for other in (Selector(tags=("other",)), Selector(predicate="slow"), Selector()):
        both = Selector(all=(selector, other))
        assert not selects(both, CHURN) or selects(selector, CHURN)
    assert selects(Selector(none=(Selector(none=(selector,)),)), CHURN) is selects(selector, CHURN)
