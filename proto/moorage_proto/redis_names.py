"""Keys, channels and Redis' glob patterns as the text of capabilities. Pure."""

from __future__ import annotations

import re
from typing import List, Tuple

#: Longer ones are refused: each is compared with every right, and remembered.
MAX_NAME_BYTES = 4096

#: What bytes that are not UTF-8 are written with; itself doubled, so that no two names have the same text.
_MARK = "\N{REPLACEMENT CHARACTER}"

_ESCAPED = re.compile(rb"\\(.)|\*+|\?|\[(?:\\.|[^\]])*(?:\]|$)", re.DOTALL)


def name_text(name: bytes) -> str:
    """A key's or channel's text: itself where it is UTF-8."""
    try:
        text = name.decode()
    except UnicodeDecodeError:
        return "".join(_parts(name))
    return text.replace(_MARK, _MARK * 2) if _MARK in text else text


def pattern_text(pattern: bytes) -> Tuple[str, bool]:
    """A Redis glob (stringmatchlen of its util.c) as a capability's, which stands for as much or more; and whether it
    is wild at all.
    """
    parts: List[str] = []
    wild = False
    end = 0
    for match in _ESCAPED.finditer(pattern):
        parts.append(name_text(pattern[end : match.start()]))
        end = match.end()
        if match[1] is None:
            wild = True
            if parts[-1] or not parts[:-1] or parts[-2] != "**":
                parts.append("**")
        else:
            # A star that stands for itself is a wildcard in a capability, and so is a part of more.
            wild = wild or match[1] == b"*"
            parts.append(name_text(match[1]))
    parts.append(name_text(pattern[end:]))
    return "".join(parts), wild


def glob_pattern(glob: str) -> Tuple[str, bool]:
    """A capability's glob as a Redis glob, and whether it stands for exactly the same: ``*`` of a capability ends with
    the segment, and Redis knows no such thing.
    """
    parts = re.split(r"(\*\*|\*)", glob)
    exact = "*" not in parts
    return "".join("*" if part in ("*", "**") else _literal(part) for part in parts), exact


def _literal(text: str) -> str:
    return re.sub(r"([\\*?\[\]])", r"\\\1", text)


def _parts(name: bytes) -> List[str]:
    parts = []
    # Surrogates stand for the bytes that could not be read.
    for character in name.decode(errors="surrogateescape"):
        if "\udc80" <= character <= "\udcff":
            parts.append(f"{_MARK}{ord(character) - 0xDC00:02x}")
        else:
            parts.append(_MARK * 2 if character == _MARK else character)
    return parts
