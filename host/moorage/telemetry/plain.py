"""Plugins' text made harmless for terminals, logs and pages. Pure."""

from __future__ import annotations

import re

#: Colours of a terminal (ECMA-48 SGR): they carry nothing, and are left out.
_COLOURS = re.compile(r"\x1b\[[0-9;:]{0,64}m")

#: What moves a cursor, hides text or turns its direction: C0 and C1 controls but tab and newline, line and paragraph
#: separators, bidirectional controls (Unicode TR9), characters without width or shape, tags, lone surrogates.
_DANGEROUS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028\u2029"
    "\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff\ud800-\udfff]"
)


def neutralise(text: str) -> str:
    """Colours are gone; what else could mislead a reader is written as its escape: ``\\x1b``, ``\\u202e``."""
    if _DANGEROUS.search(text) is None:
        return text
    text = _COLOURS.sub("", text.replace("\r\n", "\n"))
    return _DANGEROUS.sub(_escape, text)


def cut(text: str, limit: int) -> str:
    """At most ``limit`` characters and a mark that tells how many are gone."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]} [{len(text) - limit} characters cut]"


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
