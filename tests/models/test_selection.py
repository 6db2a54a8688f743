"""How selectors are written, read and told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.models.selection import (
    MAX_DEPTH,
    MAX_SELECTORS,
    Selector,
    SelectorInvalid,
    describe,
    format_selector,
    parse_selector,
)

_LEAVES = st.builds(
    Selector,
    tags=st.lists(st.sampled_from(["etl", "x", "nightly"]), max_size=2, unique=True).map(tuple),
    version=st.sampled_from(["", ">=1.2", "<2,>=1", "==1.*"]).map(
        lambda text: parse_selector({"version": text}).version
    ),
    name=st.sampled_from(["", "geo-*", "churn"]),
    capability=st.sampled_from(["", "sql.read:users", "kafka.produce:plays"]),
    predicate=st.sampled_from(["", "vip", "eu.only"]),
)


def selectors() -> st.SearchStrategy[Selector]:
    def nested(inner: st.SearchStrategy[Selector]) -> st.SearchStrategy[Selector]:
        some = st.lists(inner, max_size=2).map(tuple)
        return st.builds(Selector, name=st.sampled_from(["", "a*"]), all=some, any=some, none=some)

    return st.recursive(_LEAVES, nested, max_leaves=5)


@given(selectors())
def test_what_is_written_is_read_again(selector: Selector) -> None:
    assert parse_selector(format_selector(selector)) == selector


@given(selectors())
def test_every_selector_can_be_told(selector: Selector) -> None:
    assert "installation" in describe(selector)


def test_texts_are_brought_to_their_normal_spelling() -> None:
    found = parse_selector(
        {"name": "Geo_*", "version": " >= 1.2 ", "capability": "sql.read:main/users", "tags": ["a", "a"]}
    )
    assert found == Selector(tags=("a",), version=">=1.2", name="geo-*", capability="sql.read:users")


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        ("etl", "select: 'etl' is no selector; write a table such as { tags = ['etl'] }."),
        ({"tag": ["etl"]}, "select: 'tag' is no part of a selector; did you mean tags?"),
        ({"zzz": 1}, "select: 'zzz' is no part of a selector; it may hold: tags, version"),
        ({"tags": "etl"}, "select.tags: 'etl' is no list of tags; write ['etl']."),
        ({"tags": ["etl", 3]}, "select.tags[1]: 3 is not a tag"),
        ({"tags": ["t"] * 33}, "select.tags: it holds more than 32 tags."),
        ({"version": "1.2"}, "select.version: '1.2' is no version specifier; write one such as '>=1.2,<2'."),
        ({"version": 1.2}, "select.version: 1.2 is not a text"),
        ({"name": "geo/*"}, "select.name: 'geo/*' fits no name"),
        ({"capability": "sql.read"}, "select.capability: 'sql.read' is not a capability"),
        ({"predicate": "a b"}, "select.predicate: 'a b' is no name of a predicate"),
        ({"any": {"tags": []}}, "select.any: {'tags': []} is no list of selectors"),
        ({"any": [{}, {"version": "x"}]}, "select.any[1].version: 'x' is no version specifier"),
        (
            {"none": [{"all": [{"nam": "x"}]}]},
            "select.none[0].all[0]: 'nam' is no part of a selector; did you mean name?",
        ),
    ],
)
def test_a_part_that_is_wrong_is_named(record: Any, sentence: str) -> None:
    with pytest.raises(SelectorInvalid) as raised:
        parse_selector(record)
    assert str(raised.value).startswith(sentence)


def test_depth_and_size_are_bounded() -> None:
    deep: dict[str, Any] = {}
    for _ in range(MAX_DEPTH - 1):
        deep = {"all": [deep]}
    parse_selector(deep)
    with pytest.raises(SelectorInvalid, match=f"more than {MAX_DEPTH} deep"):
        parse_selector({"all": [deep]})
    wide = {"any": [{"name": "a"}] * (MAX_SELECTORS - 1)}
    parse_selector(wide)
    with pytest.raises(SelectorInvalid, match=f"more than {MAX_SELECTORS} selectors"):
        parse_selector({"any": [{"name": "a"}] * MAX_SELECTORS})


def test_predicates_are_found_at_any_depth() -> None:
    selector = Selector(predicate="vip", any=(Selector(none=(Selector(predicate="eu"),)), Selector(name="x")))
    assert selector.predicates() == {"vip", "eu"}


@pytest.mark.parametrize(
    ("selector", "words"),
    [
        (Selector(), "every installation"),
        (Selector(tags=("etl", "x")), "installations that are tagged etl and x"),
        (
            Selector(version=">=1.2", none=(Selector(name="geo-*"),)),
            "installations whose version is >=1.2 and not those whose name fits geo-*",
        ),
        (
            Selector(any=(Selector(capability="sql.read:users"), Selector(predicate="vip"))),
            "installations (that may sql.read:users or of which the application's predicate vip is true)",
        ),
        (Selector(none=(Selector(),)), "installations not those of any kind"),
    ],
)
def test_a_selector_in_words(selector: Selector, words: str) -> None:
    assert describe(selector) == words
