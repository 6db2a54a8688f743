"""The one question that is put to a statement's text: whether it joins tables by the names of their columns. Pure.

What a statement needs is told by SQLite's authorizer, never by the text; but of the columns that USING and NATURAL
compare, and that a FULL JOIN then returns, the authorizer is told nothing. The text is cut as SQLite's own tokenizer
cuts it (https://www.sqlite.org/src/file/src/tokenize.c), so that nothing is hidden in what only looks like a text.
"""

from __future__ import annotations

import re

_TOKENS = re.compile(
    r"""
    '(?:[^']|'')*(?:'|\Z) | "(?:[^"]|"")*(?:"|\Z) | `(?:[^`]|``)*(?:`|\Z) | \[[^\]]*(?:\]|\Z)   # texts, quoted names
    | --[^\n]* | /\*.*?(?:\*/|\Z)                                                               # comments
    | [$@\#:] (?:[A-Za-z0-9_$\u0080-\U0010ffff]|::)* (?:\([^\ \t\n\v\f\r)]*\)?)?                # parameters
    | (?P<word>[A-Za-z0-9_$\u0080-\U0010ffff]+)
    """,
    re.DOTALL | re.VERBOSE,
)

#: SQLite takes it for a space where a token could begin.
_BYTE_ORDER_MARK = "\ufeff"


def joins_by_name(statement: str) -> bool:
    """Whether USING or NATURAL stands in it, other than in texts, quoted names, parameters and comments."""
    words = ((token["word"] or "").lstrip(_BYTE_ORDER_MARK) for token in _TOKENS.finditer(statement))
    return any(word.upper() in ("USING", "NATURAL") for word in words)
