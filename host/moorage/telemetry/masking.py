"""Secrets that a plugin was given must not stand in its log."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

#: What stands where a secret stood.
MASK = "[masked]"

#: Shorter texts are not masked: they occur in everything.
SHORTEST = 4


class Masker:
    """Replaces known secrets in texts and in nested values. Lines of a secret that has several are masked alone too:
    output arrives line by line."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        parts = {part for secret in secrets for part in (secret, *secret.splitlines()) if len(part) >= SHORTEST}
        longest_first = sorted(parts, key=lambda part: (-len(part), part))
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def text(self, text: str) -> str:
        return text if self._pattern is None else self._pattern.sub(MASK, text)

    def value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(key): self.value(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(item) for item in value]
        return value
