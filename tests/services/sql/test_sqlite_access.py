"""The pure core: actions to rights, rights against grants."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from moorage_proto.capability import Capability, Grants, need, parse
from moorage_proto.sqlite_access import (
    AccessNeed,
    Forbidden,
    SchemaObject,
    first_missing,
    fold,
    is_covered,
    needs_of,
)
from moorage_proto.sqlite_codes import Action, Code

columns = st.sets(st.sampled_from("abcd"), min_size=1).map(lambda found: tuple(sorted(found)))
rules = st.lists(
    st.builds(
        lambda table, chosen: parse(f"sql.read:{table}({','.join(chosen)})" if chosen else f"sql.read:{table}"),
        st.sampled_from(["t", "u", "*"]),
        st.one_of(st.just(()), columns),
    ),
    max_size=4,
)


class Recorder:
    def __init__(self, grants: Grants) -> None:
        self.grants = grants
        self.decided: list[Capability] = []

    def covers(self, needed: Capability) -> bool:
        return self.grants.decide(needed).allowed

    def decide(self, needed: Capability):
        self.decided.append(needed)
        return self.grants.decide(needed)


@given(rules, rules, columns)
def test_a_need_is_covered_when_each_of_its_columns_is(allow, deny, wanted):
    guard = Recorder(Grants(tuple(allow), tuple(deny)))
    needs = (AccessNeed(("sql.read",), "t", wanted),)

    missing = first_missing(needs, "main", guard)

    each = [guard.covers(need("sql.read", "t", columns=(column,))) for column in wanted]
    assert (missing is None) == all(each) == is_covered(needs, "main", guard)
    if missing is None:
        assert {column for decided in guard.decided for column in decided.columns} == set(wanted)
    else:
        assert not guard.covers(missing)
        assert missing.verb == "sql.read"
        assert set(missing.columns) <= set(wanted)


@given(st.integers(-5, 60), st.none() | st.text(max_size=5), st.none() | st.text(max_size=5), st.none() | st.text())
def test_whatever_is_reported_is_decided_or_forbidden(code, first, second, database):
    try:
        needs = needs_of([Action(code, first, second, database)], {})
    except Forbidden as forbidden:
        needs = str(forbidden)
    harmless = {Code.SELECT, Code.RECURSIVE, Code.SAVEPOINT, Code.FUNCTION, Code.READ, Code.PRAGMA}
    assert needs or code in harmless or "sqlite_" in str(first or second)


@given(st.text(alphabet="aAäÄzZ_", max_size=8))
def test_names_are_compared_as_sqlite_does(name):
    import sqlite3

    (same,) = sqlite3.connect(":memory:").execute("SELECT lower(?)", (name,)).fetchone()
    assert fold(name) == same


def test_many_actions_on_one_table_are_one_need():
    objects = {"users": SchemaObject("table", "Users", "Users")}
    actions = [Action(Code.READ, "Users", column, "main") for column in ("id", "name", "")]

    assert needs_of([*actions, Action(Code.SELECT, None, None, None)], objects) == (
        AccessNeed(("sql.read",), "Users", ("id", "name")),
    )
