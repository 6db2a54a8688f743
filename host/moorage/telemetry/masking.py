"""Secrets that a plugin was given must not stand in its log."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from moorage.telemetry.plain import neutralise

#: What stands where a secret stood.
MASK = "[masked]"

#: Shorter texts are not masked: they occur in everything.
SHORTEST = 4


class Masker:
    """Replaces known secrets in texts and in nested values. Lines of a secret that has several are masked alone too:
    output arrives line by line."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = {part for secret in secrets for part in (secret, *secret.splitlines())}
        # Texts come with their control characters escaped; of a secret in them, those are escaped too.
        parts = {part for part in known | {neutralise(part) for part in known} if len(part) >= SHORTEST}
        longest_first = sorted(parts, key=lambda part: (-len(part), part))
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None
        self._parts = longest_first

    def text(self, text: str) -> str:
        return text if self._pattern is None else self._pattern.sub(MASK, text)

    def beginning(self, text: str) -> str:
        """Of a text that was cut: the part of a secret that stands at its end is masked too."""
        text = self.text(text)
        half = max((_overlap(text, part) for part in self._parts), default=0)
        return text[: len(text) - half] + MASK if half >= SHORTEST else text

    def value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(key): self.value(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(item) for item in value]
        return value


def _overlap(text: str, secret: str) -> int:
    """How many of the secret's first characters the text ends with."""
    longest = min(len(text), len(secret) - 1)
    return next((length for length in range(longest, SHORTEST - 1, -1) if text.endswith(secret[:length])), 0)
