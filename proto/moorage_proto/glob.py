"""Matching of ``*`` and ``**`` in time that grows with text and pattern alone: both may be a stranger's. Pure.

A regular expression with several wildcards takes time that grows with a power of the text.
"""

from __future__ import annotations

import functools
import re
from typing import Dict

#: What stands for the wildcards of the narrower of two patterns.
ANY, SOME = "\x01", "\x02"


class Glob:
    """A pattern, as a machine whose states are the bits of a number: bit i says that its first i parts are matched."""

    def __init__(self, pattern: str, stops: str) -> None:
        """``**`` stands for any characters, ``*`` for any that are not among ``stops``."""
        self._stops = frozenset(stops + ANY)
        self._any = self._some = 0
        self._letters: Dict[str, int] = {}
        position = 0
        for part in re.findall(r"\*+|[^*]", pattern):
            bit = 1 << position
            if part == "*":
                self._some |= bit
            elif part[0] == "*":
                # With a third star it stands for no more.
                self._any |= bit
            else:
                self._letters[part] = self._letters.get(part, 0) | bit
            position += 1
        self._end = 1 << position
        self._literals = re.split(r"\*+", pattern)
        #: Once its last part is reached, whatever follows fits.
        self._enough = self._end >> 1 & self._any

    def matches(self, text: str) -> bool:
        if not self._has_literals(text):
            return False
        if not self._some:
            return True
        wild = self._any | self._some
        # Wildcards stand for nothing too; no two of them follow each other.
        states = 1 | (1 & wild) << 1
        for character in text:
            if states & self._enough:
                return True
            states = (
                (states & self._letters.get(character, 0)) << 1
                | states & self._any
                | (0 if character in self._stops else states & self._some)
            )
            states |= (states & wild) << 1
            if not states:
                return False
        return bool(states & self._end)

    def _has_literals(self, text: str) -> bool:
        """Whether what stands between the wildcards is in the text, in this order: quickly found out, and mostly not.
        If all of them are ``**``, that is all there is to it.
        """
        first, *others = self._literals
        if not others:
            return text == first
        *between, last = others
        place, end = len(first), len(text) - len(last)
        if place > end or not text.startswith(first) or not text.endswith(last):
            return False
        for literal in between:
            place = text.find(literal, place, end)
            if place < 0:
                return False
            place += len(literal)
        return True

    def includes(self, pattern: str) -> bool:
        """Whether all that fits the other pattern fits this one; says no in doubt."""
        return self.matches(pattern.replace("**", ANY).replace("*", SOME))


@functools.lru_cache(maxsize=4096)
def compiled(pattern: str, stops: str) -> Glob:
    return Glob(pattern, stops)
