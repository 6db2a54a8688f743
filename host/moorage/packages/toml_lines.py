"""On which line of a TOML text each key stands.

The standard library's reader says nothing of positions, and the libraries that do rewrite documents and know lines of
errors only. A text that ``tomllib`` has accepted needs no checking a second time, so this scanner is small: it follows
keys, brackets and strings, and leaves values alone. Grammar: https://toml.io/en/v1.0.0.
"""

from __future__ import annotations

import bisect
import re
from typing import Mapping, Sequence, Union

import tomllib

#: A path through tables and arrays: ("tool", "moorage", "required", 0, "allow").
KeyPath = tuple[Union[str, int], ...]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:\\.|(?!""")[^\\])*"{3,5}'  # the closing quotes may stand beside two quotes of the text
    r"|'''(?:(?!''').)*'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}#\n]*")


def locate(text: str) -> Mapping[KeyPath, int]:
    """Line numbers, counted from 1, of every key, table header and array element in a valid TOML text."""
    return _Scanner(text.replace("\r\n", "\n")).document()


def line_of(lines: Mapping[KeyPath, int], path: Sequence[str | int]) -> int:
    """The line of a key, or of the nearest table around it where the key is missing; 1 where there is neither."""
    known = tuple(path)
    while known and known not in lines:
        known = known[:-1]
    return lines.get(known, 1)


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._lines: dict[KeyPath, int] = {}
        #: Last index of each array of tables.
        self._arrays: dict[KeyPath, int] = {}

    def document(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        while self._skip(_BLANK) < len(self._text):
            if self._text.startswith("[", self._at):
                table = self._header()
            else:
                self._pair(table)
        return self._lines

    def _header(self) -> KeyPath:
        start = self._at
        is_array = self._text.startswith("[[", start)
        self._at += 2 if is_array else 1
        path: KeyPath = ()
        for key in self._keys():
            if path in self._arrays:  # a table in the last element of an array
                path = (*path, self._arrays[path])
            path = (*path, key)
            self._note(path, start)
        self._at += 2 if is_array else 1
        if is_array:
            self._arrays[path] = self._arrays.get(path, -1) + 1
            path = (*path, self._arrays[path])
        self._lines[path] = self._line(start)
        return path

    def _pair(self, table: KeyPath) -> None:
        start = self._skip(_SPACE)
        path = table
        for key in self._keys():
            path = (*path, key)
            self._note(path, start)
        self._at += 1  # the equals sign
        self._value(path)

    def _keys(self) -> list[str]:
        keys = []
        while True:
            self._skip(_SPACE)
            keys.append(self._key())
            self._skip(_SPACE)
            if not self._text.startswith(".", self._at):
                return keys
            self._at += 1

    def _key(self) -> str:
        token = self._take(_STRING) or self._take(_BARE_KEY)
        return str(tomllib.loads(f"key = {token}")["key"]) if token[0] in "\"'" else token

    def _value(self, path: KeyPath) -> None:
        self._skip(_SPACE)
        if self._text.startswith("[", self._at):
            self._array(path)
        elif self._text.startswith("{", self._at):
            self._inline_table(path)
        elif not self._take(_STRING):
            self._take(_SCALAR)

    def _array(self, path: KeyPath) -> None:
        self._at += 1
        index = 0
        while not self._closes("]"):
            self._lines[(*path, index)] = self._line(self._at)
            self._value((*path, index))
            index += 1

    def _inline_table(self, path: KeyPath) -> None:
        self._at += 1
        while not self._closes("}"):
            self._pair(path)

    def _closes(self, bracket: str) -> bool:
        """Goes on to the next element; whether there is none."""
        self._skip(_BLANK)
        if self._text.startswith(",", self._at):
            self._at += 1
            self._skip(_BLANK)
        if self._text.startswith(bracket, self._at):
            self._at += 1
            return True
        return False

    def _note(self, path: KeyPath, at: int) -> None:
        self._lines.setdefault(path, self._line(at))

    def _line(self, at: int) -> int:
        return bisect.bisect_right(self._starts, at)

    def _skip(self, pattern: re.Pattern[str]) -> int:
        self._take(pattern)
        return self._at

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            return ""
        self._at = match.end()
        return match[0]
