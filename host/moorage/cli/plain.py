"""Text from elsewhere (plugins' names, logs, errors) made safe to print. Pure.

A terminal obeys control characters: they can move the cursor over what was printed before, rename the window, or, with
bidirectional overrides, show another order of letters than is there. They are printed as escapes instead.
"""

from __future__ import annotations

import re

#: Joiners that scripts and emoji need, and the no-break space.
_KEPT = "\u200c\u200d\xa0"

_SUSPECT = re.compile(r"[^ -~]")


def one_line(text: object) -> str:
    """The text with everything escaped that is not printable, line ends too."""
    return _SUSPECT.sub(_escaped, str(text))


def lines(text: object) -> str:
    """The same, but line ends and tabs stay: for tracebacks and sentences."""
    kept = str(text).replace("\r\n", "\n").expandtabs(4)
    return "\n".join(one_line(line) for line in kept.split("\n"))


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    if character.isprintable() or character in _KEPT:
        return character
    return character.encode("unicode_escape").decode()
