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
        for part in re.findall(r"\*\*|\*|[^*]", pattern):
            bit = 1 << position
            if part == "**":
                self._any |= bit
            elif part == "*":
                self._some |= bit
            else:
                self._letters[part] = self._letters.get(part, 0) | bit
            position += 1
        self._end = 1 << position

    def matches(self, text: str) -> bool:
        states = self._spread(1)
        for character in text:
            states = self._spread(
                (states & self._letters.get(character, 0)) << 1
                | states & self._any
                | (0 if character in self._stops else states & self._some)
            )
            if not states:
                return False
        return bool(states & self._end)

    def includes(self, pattern: str) -> bool:
        """Whether all that fits the other pattern fits this one; says no in doubt."""
        return self.matches(pattern.replace("**", ANY).replace("*", SOME))

    def _spread(self, states: int) -> int:
        """Wildcards stand for nothing too."""
        while True:
            more = states | (states & (self._any | self._some)) << 1
            if more == states:
                return states
            states = more


@functools.lru_cache(maxsize=4096)
def compiled(pattern: str, stops: str) -> Glob:
    return Glob(pattern, stops)
