"""How deep a statement's parse tree may become, from its tokens: known before it is parsed. Pure.

Each operator of a chain (``1 + 1 + 1``) nests what stands before it one level deeper. The parser takes stack for each
level, and time that grows with the square of their number: a chain of 130,000 keeps a core for 20 s.
"""

from __future__ import annotations

from postgast import scan
from postgast.pg_query_pb2 import Token

#: Levels that are parsed; the tree that PostgreSQL's grammar then makes may still be nested too deep to be read.
MAX_LEVELS = 2000


def levels(text: str) -> int:
    """An upper bound. Raises PgQueryError for a text that has no tokens."""
    deepest = count = base = best = 0
    outside: list[tuple[int, int]] = []
    for found in scan(text).tokens:
        token = found.token
        if token in _FLAT:
            continue
        if token in _SEPARATING:
            # Lists, and conditions joined by AND or OR, are not nested.
            best, count = max(best, count), base
        elif token in _OPENING:
            outside.append((base, best))
            count += 1
            base = best = count
        elif token in _CLOSING and outside:
            # What follows may be a chain that begins with what was in the parentheses.
            count = max(best, count)
            base, best = outside.pop()
        else:
            count += 1
        deepest = max(deepest, count)
    return deepest


#: Names, constants and comments nest nothing.
_FLAT = frozenset(
    {
        Token.IDENT,
        Token.UIDENT,
        Token.FCONST,
        Token.SCONST,
        Token.USCONST,
        Token.BCONST,
        Token.XCONST,
        Token.ICONST,
        Token.PARAM,
        Token.ASCII_46,
        Token.SQL_COMMENT,
        Token.C_COMMENT,
    }
)
_SEPARATING = frozenset({Token.ASCII_44, Token.ASCII_59, Token.AND, Token.OR})
_OPENING = frozenset({Token.ASCII_40, Token.ASCII_91})
_CLOSING = frozenset({Token.ASCII_41, Token.ASCII_93})
