"""W3C trace context: https://www.w3.org/TR/trace-context/"""

from __future__ import annotations

import re
import secrets

_TRACEPARENT = re.compile(r"00-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})")


def new_traceparent() -> str:
    """The first span of a new, sampled trace."""
    return f"00-{_identifier(16)}-{_identifier(8)}-01"


def child_of(traceparent: str) -> str:
    """Another span of the same trace; of a new one where the text is no traceparent."""
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None or not int(match["trace"], 16) or not int(match["span"], 16):
        return new_traceparent()
    return f"00-{match['trace']}-{_identifier(8)}-{match['flags']}"


def _identifier(size: int) -> str:
    """All zeroes means: none."""
    while True:
        text = secrets.token_hex(size)
        if int(text, 16):
            return text
