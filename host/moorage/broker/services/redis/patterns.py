"""Redis' patterns for the embedded server, in time that grows with name and pattern alone.

fakeredis makes a regular expression of a pattern, in which each ``*`` tries all that follows anew: five of them
hold the event loop for minutes. A ``*`` takes as little as it can here, and is not asked again; where all
other parts have a fixed length that finds the same.
"""

from __future__ import annotations

import functools
import importlib
import re
from typing import Any

#: Of what fakeredis makes: an escaped character, a set, what stands for a ``*``, any other.
_TOKEN = re.compile(rb"\\.|\[(?:\\.|[^\]])*\]|\.\*|.", re.DOTALL)

_STAR = b".*"


#: Of fakeredis, which make expressions of patterns.
_MODULES = (
    *("commands_mixins._mixin_base", "commands_mixins.generic_mixin", "commands_mixins.pubsub_mixin"),
    "_socket._notifications",
)


@functools.cache
def tame() -> None:
    """Has fakeredis use such expressions."""
    original = importlib.import_module("fakeredis._helpers").compile_pattern
    tamed = functools.lru_cache(maxsize=256)(lambda pattern: quick(original(pattern)))
    for name in _MODULES:
        module: Any = importlib.import_module(f"fakeredis.{name}")
        assert module.compile_pattern is original, "what is replaced is there"
        module.compile_pattern = tamed


def quick(expression: re.Pattern[bytes]) -> re.Pattern[bytes]:
    """One that matches the same."""
    segments = [b""]
    for token in _TOKEN.findall(expression.pattern):
        if token == _STAR:
            segments.append(b"")
        else:
            segments[-1] += token
    first, *middle = segments
    if not middle:
        return expression
    *middle, last = middle
    inner = b"".join(b"(?>.*?" + segment + b")" for segment in middle if segment)
    return re.compile(first + inner + _STAR + last, expression.flags)
