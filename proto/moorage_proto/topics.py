"""Topics of events: words with dots. Pure; both sides use it."""

from __future__ import annotations

import re

MAX_LENGTH = 200

_TOPIC = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_PATTERN = re.compile(r"[A-Za-z0-9_*-]+(\.[A-Za-z0-9_*-]+)*")


def problem_of(topic: str) -> str:
    """Why nothing can be published under it, as a sentence; empty: it can."""
    return _problem(topic, _TOPIC, "track.playing")


def problem_of_pattern(pattern: str) -> str:
    """As ``problem_of``, where ``*`` stands for any characters of a word, and ``**`` for any at all."""
    return _problem(pattern, _PATTERN, "track.*")


def _problem(text: str, allowed: re.Pattern[str], example: str) -> str:
    if len(text) <= MAX_LENGTH and allowed.fullmatch(text):
        return ""
    shown = text if len(text) <= MAX_LENGTH else text[:MAX_LENGTH] + "..."
    return (
        f"{shown!r} is no topic of events: words of letters, digits, '-' and '_' with dots between them, at most "
        f"{MAX_LENGTH} characters, such as {example}."
    )
