from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage_sdk.services.sql import ProgrammingError
from moorage_sdk.services.sql.placeholders import filled

DOLLAR = "numeric_dollar"


@pytest.mark.parametrize(
    ("statement", "parameters", "sent"),
    [
        ("SELECT %s, %s", (1, 2), ("SELECT $1, $2", [1, 2])),
        ("SELECT %(a)s, %(b)s, %(a)s", {"a": 1, "b": 2, "c": 3}, ("SELECT $1, $2, $1", [1, 2])),
        ("SELECT 7 %% %s", (4,), ("SELECT 7 % $1", [4])),
        ("SELECT '%%s'", (), ("SELECT '%s'", [])),
        ("SELECT '100%'", None, ("SELECT '100%'", [])),
        ("SELECT $2, $1 % 3 LIKE '%x'", (1, 2), ("SELECT $2, $1 % 3 LIKE '%x'", [1, 2])),
        ("SELECT %b, %t", (b"", ""), ("SELECT $1, $2", [b"", ""])),
        ("SELECT %(any name!)s", {"any name!": 1}, ("SELECT $1", [1])),
    ],
)
def test_placeholders_of_postgresql(statement, parameters, sent):
    text, values = filled(DOLLAR, statement, parameters)

    assert (text, list(values)) == sent


@pytest.mark.parametrize(
    ("statement", "parameters", "problem"),
    [
        ("SELECT %s, %s", (1,), "2 placeholders"),
        ("SELECT %s", {"a": 1}, "mapping was given"),
        ("SELECT %(a)s", (1,), "sequence was given"),
        ("SELECT %(a)s", {"b": 1}, "'a'"),
        ("SELECT 5 % 3, %s", (1,), "percent sign is %%"),
        ("SELECT %s %", (1,), "percent sign is %%"),
        ("SELECT %d", (1,), "'%d'"),
        ("SELECT %s", "x", "sequence"),
        ("SELECT %s", 1, "sequence"),
    ],
)
def test_placeholders_that_do_not_fit(statement, parameters, problem):
    with pytest.raises(ProgrammingError, match=problem):
        filled(DOLLAR, statement, parameters)


PIECES = st.sampled_from(
    [":a", ":b", "':a'", '":a"', "[:a]", "`:b`", "/* :a */ 1", "'it''s :b'", "1", "-- :a\n1", "@b", "$a", "''"]
)


@given(st.lists(PIECES, min_size=1, max_size=6))
def test_named_placeholders_of_sqlite_are_found_where_sqlite_finds_them(pieces):
    statement = "SELECT " + ", ".join(pieces)
    raw = sqlite3.connect(":memory:")
    parameters = {"a": "first", "b": 2}

    def run(*arguments):
        try:
            return raw.execute(*arguments).fetchall()
        except sqlite3.OperationalError as error:
            return str(error)

    try:
        assert run(*filled("qmark", statement, parameters)) == run(statement, parameters)
    finally:
        raw.close()


def test_what_is_no_name_of_sqlites_stays():
    assert filled("qmark", "SELECT ?", (1,)) == ("SELECT ?", (1,))
    assert filled("qmark", "SELECT ':a'", None) == ("SELECT ':a'", ())
