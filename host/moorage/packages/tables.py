"""Typed reading of a TOML table: each wrong value becomes a problem, and reading goes on, so that all are reported."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Any, Callable, Mapping, TypeVar, cast

from moorage.packages.document import Document, Problem, dotted
from moorage.packages.toml_lines import KeyPath

Value = TypeVar("Value")

_KIND_NAMES: Mapping[type, str] = {
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "a table",
}


class Table:
    """One table of a document. Keys that nothing has asked for by ``close`` are unknown ones, and errors."""

    def __init__(self, document: Document, path: KeyPath, data: Mapping[str, Any], problems: list[Problem]) -> None:
        self._document = document
        self._path = path
        self._data = data
        self._problems = problems
        self._known: set[str] = set()

    def problem(self, sentence: str, *path: str | int) -> None:
        """Notes what is wrong with the key at the path below this table, or with the table itself."""
        whole = (*self._path, *path)
        self._problems.append(Problem(self._document.line(whole), dotted(whole), sentence))

    def know(self, *keys: str) -> None:
        """These keys are allowed and belong to other tools."""
        self._known.update(keys)

    def has(self, key: str) -> bool:
        return key in self._data

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def raw(self, key: str) -> Any:
        self._known.add(key)
        return self._data.get(key)

    def value(self, key: str, kind: type[Value]) -> Value | None:
        """The value where it is there and of that type."""
        found = self.raw(key)
        if found is None:
            return None
        if _is(found, kind):
            return cast("Value", found)
        self.problem(f"this is {_described(found)} and has to be {_KIND_NAMES[kind]}.", key)
        return None

    def text(self, key: str, *, longest: int = 1000) -> str:
        """A text for people: one line, without control or invisible characters; empty where there is none."""
        found = self.value(key, str) or ""
        complaint = _complaint(found, longest)
        if complaint:
            self.problem(complaint, key)
            return ""
        return found

    def required_text(self, key: str, why: str) -> str:
        if not self.has(key):
            self._known.add(key)
            self.problem(f"this key is missing; {why}.", key)
            return ""
        found = self.text(key)
        if self._data[key] == "":
            self.problem(f"this is empty; {why}.", key)
        return found

    def parsed(self, key: str, parse: Callable[[Any], Value], default: Value) -> Value:
        """What ``parse`` makes of the value; its ValueError is the sentence of the problem."""
        found = self.raw(key)
        if found is None:
            return default
        try:
            return parse(found)
        except ValueError as error:
            self.problem(f"{str(error).rstrip('.')}.", key)
            return default

    def texts(self, key: str) -> Iterator[tuple[int, str]]:
        """The texts of a list, with their places."""
        for index, entry in enumerate(self.value(key, list) or ()):
            if not isinstance(entry, str):
                self.problem(f"this is {_described(entry)} and has to be a text.", key, index)
                continue
            complaint = _complaint(entry, 1000)
            if complaint:
                self.problem(complaint, key, index)
            else:
                yield index, entry

    def table(self, key: str) -> Table:
        """A table below this one; an empty one where there is none."""
        return self._below((key,), self.value(key, dict) or {})

    def tables(self, key: str) -> Iterator[Table]:
        """The tables of a list."""
        for index, entry in enumerate(self.value(key, list) or ()):
            if isinstance(entry, dict):
                yield self._below((key, index), entry)
            else:
                self.problem(f"this is {_described(entry)} and has to be a table.", key, index)

    def close(self) -> None:
        """Reports the keys that nothing asked for, each with the nearest known one."""
        for key in self._data:
            if key not in self._known:
                self.problem(f"unknown key{nearest(key, self._known)}", key)

    def _below(self, path: KeyPath, data: Mapping[str, Any]) -> Table:
        return Table(self._document, (*self._path, *path), data, self._problems)


def nearest(key: str, known: set[str]) -> str:
    """The end of a sentence about an unknown key."""
    close = difflib.get_close_matches(key, sorted(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known here are {', '.join(sorted(known))}."


def _is(found: object, kind: type) -> bool:
    if kind is float:
        return isinstance(found, (int, float)) and not isinstance(found, bool)
    return isinstance(found, kind) and not (kind is int and isinstance(found, bool))


def _described(found: object) -> str:
    for kind, name in _KIND_NAMES.items():
        if _is(found, kind):
            return name
    return "a date or time"


def _complaint(text: str, longest: int) -> str:
    """What is wrong with a text that is shown to people. Direction marks can make a text read as another one."""
    if len(text) > longest:
        return f"this is {len(text)} characters long; {longest} are allowed."
    hidden = next((character for character in text if not character.isprintable()), "")
    if hidden:
        return f"this holds the invisible character U+{ord(hidden):04X}; write one line of visible text."
    return ""


def one_of(pattern: re.Pattern[str], rule: str) -> Callable[[Any], str]:
    """A parser of texts that fit a pattern as a whole; ``rule`` says in words what fits."""

    def parse(found: Any) -> str:
        if not isinstance(found, str) or not pattern.fullmatch(found):
            raise ValueError(f"{found!r:.80} is not allowed; {rule}")
        return found

    return parse
