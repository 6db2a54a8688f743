"""Grants.decide against references: globs, columns, denies, and names that try to look like others."""

from __future__ import annotations

import itertools
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage_proto.capability import ROWS_ALONE, Capability, CapabilityInvalid, Grants, need, parse

SEPARATORS = "/.:"

_pieces = st.sampled_from(["a", "b", "*", "**", "/", ".", ":"])
globs = st.lists(_pieces, min_size=1, max_size=6).map("".join)
names = st.text("ab/.:*", min_size=1, max_size=6)
columns = st.sets(st.sampled_from(["id", "name", "mail"]), max_size=3).map(lambda found: tuple(sorted(found)))
needed_columns = st.one_of(columns, st.just(ROWS_ALONE))
rights = st.builds(lambda glob, of: Capability("sql.read", f"main/{glob}", of), globs, columns)
needs = st.builds(lambda name, of: need("sql.read", name, columns=of), names, needed_columns)
rules = st.lists(rights, max_size=4).map(tuple)


def fits(glob: str, name: str) -> bool:
    """As the documentation says it: one star stays within a segment, two do not. The plainest way there is."""
    if not glob:
        return not name
    if glob.startswith("**"):
        return any(fits(glob[2:], name[cut:]) for cut in range(len(name) + 1))
    if glob.startswith("*"):
        segment = len(list(itertools.takewhile(lambda character: character not in SEPARATORS, name)))
        return any(fits(glob[1:], name[cut:]) for cut in range(segment + 1))
    return bool(name) and glob[0] == name[0] and fits(glob[1:], name[1:])


def covers(right: Capability, needed: Capability) -> bool:
    if not fits(right.resource, needed.resource):
        return False
    if not right.columns:
        return True
    return needed.columns == ROWS_ALONE or (bool(needed.columns) and set(needed.columns) <= set(right.columns))


def denies(rule: Capability, needed: Capability) -> bool:
    """A rule without columns denies all; one with some denies what may hold one of them."""
    if not fits(rule.resource, needed.resource):
        return False
    return not rule.columns or not needed.columns or bool(set(rule.columns) & set(needed.columns))


@given(globs, names)
def test_globs_mean_what_the_documentation_says(glob: str, name: str) -> None:
    assert Capability("kafka.produce", glob).covers(Capability("kafka.produce", name)) == fits(glob, name)


@given(rules, rules, needs)
def test_a_need_is_allowed_where_a_right_covers_it_and_no_rule_denies_it(allow, deny, needed) -> None:
    decision = Grants(allow, deny).decide(needed)
    assert decision.allowed == (
        any(covers(right, needed) for right in allow) and not any(denies(rule, needed) for rule in deny)
    )


@given(rules, rules, rights, needs)
def test_one_more_allow_takes_nothing_away(allow, deny, more, needed) -> None:
    if Grants(allow, deny).decide(needed).allowed:
        assert Grants((*allow, more), deny).decide(needed).allowed


@given(rules, rules, rights, needs)
def test_one_more_deny_gives_nothing(allow, deny, more, needed) -> None:
    if not Grants(allow, deny).decide(needed).allowed:
        assert not Grants(allow, (*deny, more)).decide(needed).allowed


@given(rules, rules, needs)
def test_the_order_of_rules_is_no_matter(allow, deny, needed) -> None:
    turned = Grants(tuple(reversed(allow)), tuple(reversed(deny)))
    assert Grants(allow, deny).decide(needed).allowed == turned.decide(needed).allowed


@given(rules, rules, rules, needs)
def test_fail_closed_changes_no_decision_and_concerns_what_a_deny_would(allow, deny, closed, needed) -> None:
    decision = Grants(allow, deny, fail_closed=closed).decide(needed)
    assert decision.allowed == Grants(allow, deny).decide(needed).allowed
    assert decision.fail_closed == (decision.allowed and any(denies(rule, needed) for rule in closed))


@given(rules, rules, st.lists(needs, max_size=5))
def test_what_was_decided_before_is_remembered_rightly(allow, deny, several) -> None:
    grants = Grants(allow, deny)
    first = [grants.decide(each) for each in several]
    assert [grants.decide(each) for each in several] == first
    assert [Grants(allow, deny).decide(each) for each in several] == first


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_right_to_one_name_is_a_right_to_no_other(granted: str, asked: str) -> None:
    """Whatever characters they are made of: neither case nor composition makes two names one."""
    try:
        right = parse(f"kafka.produce:main/{granted}")
    except CapabilityInvalid:
        return
    if "*" not in granted:
        assert right.covers(need("kafka.produce", asked)) == (granted == asked)


@pytest.mark.parametrize(
    ("granted", "asked"),
    [
        ("users", "Users"),
        ("users", "USERS"),
        ("users", "users\x00"),
        ("users", "users\n"),
        ("users", " users"),
        ("users", "users\u200b"),
        ("users", "u\u0455ers"),
        ("users", "ｕｓｅｒｓ"),  # noqa: RUF001 - that is the trick
        ("caf\u00e9", unicodedata.normalize("NFD", "caf\u00e9")),
        ("stra\u00dfe", "strasse"),
        ("\u0130", "i\u0307"),
        ("log_*", "log_\n/../users"),
        ("log_*", "log_.users"),
        ("cache:*", "cache:a:b"),
        ("a/*", "a/b/c"),
    ],
)
def test_what_looks_alike_is_not_the_same(granted: str, asked: str) -> None:
    right = Capability("sql.read", f"main/{granted}")
    assert not right.covers(need("sql.read", asked))
    assert right.covers(need("sql.read", granted.replace("*", "x")))


@pytest.mark.parametrize("sign", ["\x00", "\n", "\r", "\t", "\x7f", "\x85", "\u2028", "\ud800"])
def test_names_with_control_characters_are_matched_whole(sign: str) -> None:
    """Two stars cover them, one star too where they are in one segment, and no name without them does."""
    odd = need("kafka.produce", f"a{sign}b")
    assert Grants((parse("kafka.produce:**"),)).decide(odd).allowed
    assert Grants((parse("kafka.produce:a*"),)).decide(odd).allowed
    assert not Grants((parse("kafka.produce:ab"),)).decide(odd).allowed
    assert not Grants((parse("kafka.produce:**"),), (parse("kafka.produce:a**"),)).decide(odd).allowed


@pytest.mark.parametrize(
    "character",
    ["\x00", "\x1b", "\x7f", "\x85", "\xa0", "\xad", "\u200b", "\u200d", "\u202e", "\u2028", "\u2066", "\u3000",
     "\ufeff", "\ud800", "\ue000", "\U000e0041", " "],
)  # fmt: skip
def test_what_cannot_be_seen_cannot_be_granted(character: str) -> None:
    """A person reads a right before granting it: what is not seen must not be in it."""
    with pytest.raises(CapabilityInvalid, match="a character that cannot be seen"):
        parse(f"kafka.produce:orders{character}")
    assert parse("kafka.produce:orders").resource == "main/orders"


@given(rights)
def test_a_right_is_read_as_it_is_written(right: Capability) -> None:
    try:
        again = parse(str(right))
    except CapabilityInvalid:
        return
    assert str(again) == str(right)


def test_a_backend_is_part_of_the_name() -> None:
    grants = Grants((parse("sql.read:users"), parse("sql.read:*/plays"), parse("sql.read:analytics/**")))
    assert grants.decide(need("sql.read", "users")).allowed
    assert not grants.decide(need("sql.read", "users", backend="other")).allowed
    assert grants.decide(need("sql.read", "plays", backend="other")).allowed
    assert grants.decide(need("sql.read", "anything", backend="analytics")).allowed
    assert not grants.decide(need("sql.read", "plays", backend="a/b")).allowed


def test_many_needs_fill_no_memory() -> None:
    grants = Grants((parse("kafka.produce:**"),))
    for number in range(10_000):
        assert grants.decide(need("kafka.produce", str(number))).allowed
    assert len(grants._memo) <= 4096


def test_a_capability_that_nobody_reads_is_none() -> None:
    with pytest.raises(CapabilityInvalid, match="it has more than 1,000 characters") as caught:
        parse(f"kafka.produce:{'a' * 1_000_000}")
    assert len(str(caught.value)) < 300
    assert parse(f"kafka.produce:{'a' * 900}").resource == f"main/{'a' * 900}"
