"""How long commands wait that wait for others, and how to have them wait less. Pure."""

from __future__ import annotations

from typing import Optional, Sequence, Tuple

from moorage_proto.redis_access import Examined


def waiting_seconds(examined: Examined) -> Optional[float]:
    """How long a blocking command waits by its own arguments; 0: without end; None: they do not tell."""
    found = _waiting_at(examined.name, examined.arguments)
    if found is None:
        return None
    position, in_milliseconds = found
    try:
        return max(0.0, float(examined.arguments[position])) / (1000 if in_milliseconds else 1)
    except ValueError:
        return None


def waiting_limited(examined: Examined, seconds: float) -> Optional[Tuple[bytes, ...]]:
    """The arguments of a blocking command that waits no longer than this; None: it does not anyhow."""
    own = waiting_seconds(examined)
    found = _waiting_at(examined.name, examined.arguments)
    if found is None or own is None or 0 < own <= seconds:
        return None
    words = list(examined.arguments)
    position, in_milliseconds = found
    words[position] = b"%d" % max(1, int(seconds * 1000)) if in_milliseconds else b"%.3f" % max(0.001, seconds)
    return tuple(words)


#: Options of XREAD and XREADGROUP, and how many words follow each.
_XREAD_OPTIONS = {b"block": 1, b"count": 1, b"group": 2, b"noack": 0, b"claim": 1}


def _block_of_xread(words: Sequence[bytes]) -> Optional[int]:
    """As the server reads them, of several the last. What follows STREAMS are keys, which may be called so too."""
    position, found = 1, None
    while position < len(words) and words[position].lower() in _XREAD_OPTIONS:
        option = words[position].lower()
        if option == b"block":
            found = position + 1
        position += 1 + _XREAD_OPTIONS[option]
    is_whole = position < len(words) and words[position].lower() == b"streams"
    return found if is_whole else None


def _waiting_at(name: str, words: Sequence[bytes]) -> Optional[Tuple[int, bool]]:
    """Where the time stands that it waits, and whether it is in milliseconds."""
    if name.startswith("xread"):
        found = _block_of_xread(words)
        return None if found is None else (found, True)
    position = 1 if name in ("blmpop", "bzmpop") else len(words) - 1
    return (position, name in ("wait", "waitaof")) if 0 < position < len(words) else None
