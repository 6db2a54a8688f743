from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import tomllib
from hypothesis import given
from hypothesis import strategies as st

from moorage.packages.toml_lines import KeyPath, line_of, locate

TEXT = '''\
# a comment with [brackets] and key = "value"
title = "a # no comment"
"quoted.key" = 'literal ] }'
dotted.inner.key = 1979-05-27 07:32:00

[table]
list = [
  1,  # one
  [2, 3], { a = 4, b.c = """
five " \\""" [no.header]
six""""" },
]
lines = \'\'\'
[not.a.table]
key = 1\'\'\'
after = true

[[entries]]
name = "first"
[entries.sub]
key = 1
[[entries]]
name = "second"
  [[entries.deep]]
  key = 2
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("title",), 2),
        (("quoted.key",), 3),
        (("dotted",), 4),
        (("dotted", "inner", "key"), 4),
        (("table",), 6),
        (("table", "list", 0), 8),
        (("table", "list", 1, 1), 9),
        (("table", "list", 2, "b", "c"), 9),
        (("table", "lines"), 13),
        (("table", "after"), 16),
        (("entries", 0), 18),
        (("entries", 0, "name"), 19),
        (("entries", 0, "sub", "key"), 21),
        (("entries", 1), 22),
        (("entries", 1, "deep", 0, "key"), 25),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_each_key_is_found_where_it_stands(path: KeyPath, line: int, newline: str) -> None:
    assert locate(TEXT.replace("\n", newline))[path] == line


def test_a_missing_key_is_said_to_be_in_its_table() -> None:
    lines = locate(TEXT)
    assert line_of(lines, ("table", "nothing", 3)) == 6
    assert line_of(lines, ("nowhere",)) == 1


SCALARS = st.one_of(st.integers(-9, 9).map(str), st.sampled_from(["true", "1.5", "1979-05-27 07:32:00", "inf"]))
STRINGS = st.text(st.sampled_from("ab\"'\\#[]{}=,\n."), max_size=8)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + escaped.replace("\n", "\\n") + '"'


def _multiline(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"""\n{escaped}"""'


KEYS = st.one_of(st.text("abc", min_size=1, max_size=2), STRINGS.map(_quoted))
VALUES = st.recursive(
    st.one_of(SCALARS, STRINGS.map(_quoted), STRINGS.map(_multiline)),
    lambda below: st.one_of(
        st.lists(below, max_size=3).map(lambda entries: "[\n" + "".join(f" {entry}, # ]\n" for entry in entries) + "]"),
        st.lists(below, max_size=3).map(
            lambda entries: "{ " + ", ".join(f"k{index} = {entry}" for index, entry in enumerate(entries)) + " }"
        ),
    ),
    max_leaves=6,
)
HEADERS = st.lists(KEYS, min_size=1, max_size=2).map(".".join)
STATEMENTS = st.one_of(
    st.tuples(KEYS, VALUES).map(lambda pair: f"{pair[0]} = {pair[1]}\n"),
    HEADERS.map(lambda path: f"[{path}]\n"),
    HEADERS.map(lambda path: f"[[ {path} ]] # more\n"),
)


@given(st.lists(STATEMENTS, max_size=6).map("".join))
def test_exactly_the_keys_of_a_document_are_found(text: str) -> None:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    lines = locate(text)
    assert set(lines) == set(_paths(data, ()))
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())


def _paths(value: Any, path: KeyPath) -> Iterator[KeyPath]:
    if path:
        yield path
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in entries:
        yield from _paths(below, (*path, key))
