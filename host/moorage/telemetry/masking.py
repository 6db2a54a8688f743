"""Secrets that a plugin was given must not stand in its log, nor in anything else that people are shown.

Whoever writes a text also chooses how much work it is to look for secrets in it, and a plugin may write secrets of its
own. So the work is proportional to the text, whatever there is to look for: the beginnings of all secrets are one
regular expression in the form of a tree, which takes at most ``_HEAD`` steps at each place.
"""

from __future__ import annotations

import base64
import bisect
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from moorage.models.installation import InstallationId
from moorage.telemetry.plain import neutralise

#: What stands where a secret stood.
MASK = "[masked]"

#: Shorter texts are not masked: they occur in everything.
SHORTEST = 4

#: What a plugin wrote itself is masked in texts about others only from this length on, and without white space in it,
#: as a token is. Otherwise it could have words taken out of the audit, and out of the host's log.
_SHORTEST_TOKEN = 20

#: Shorter encoded forms, as well.
_SHORTEST_ENCODED = 6

#: Of a longer secret so many characters of its beginning are masked wherever they stand, and what follows as far as it
#: is the secret's.
_HEAD = 16


class Masker:
    """Replaces known secrets in texts and in nested values, also where they are encoded as Base64, hexadecimal, JSON or
    for a URL. Lines of a secret that has several are masked alone too: output arrives line by line."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        parts = {part for secret in secrets for part in _forms(secret)}
        self._parts = sorted(parts)
        self._longest = max(map(len, parts), default=0)
        heads = {part[:_HEAD] for part in parts}
        self._pattern = re.compile(_tree(heads)) if heads else None
        #: What a text may end with that was cut within a secret.
        self._beginnings = {part[:length] for part in parts for length in range(SHORTEST, min(len(part), _HEAD))}

    def text(self, text: str) -> str:
        if self._pattern is None or (found := self._pattern.search(text)) is None:
            return text
        pieces, end = [], 0
        while found is not None:
            pieces += [text[end : found.start()], MASK]
            end = self._end(text, found)
            found = self._pattern.search(text, end)
        return "".join([*pieces, text[end:]])

    def beginning(self, text: str) -> str:
        """Of a text that was cut: the part of a secret that stands at its end is masked too."""
        text = self.text(text)
        lengths = range(min(len(text), _HEAD - 1), SHORTEST - 1, -1)
        half = next((length for length in lengths if text[-length:] in self._beginnings), 0)
        return text[: len(text) - half] + MASK if half else text

    def value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(key): self.value(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(item) for item in value]
        # Bytes, and numbers: what they look like in a text.
        text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
        shown = self.text(text)
        return value if shown == text else shown

    def _end(self, text: str, found: re.Match[str]) -> int:
        """Where the secret ends, or ceases to be one."""
        begin, end = found.span()
        if end - begin < _HEAD:
            return end
        rest = text[begin : begin + self._longest]
        place = bisect.bisect_right(self._parts, rest)
        neighbours = self._parts[max(0, place - 1) : place + 1]
        return end + max(_common(rest[_HEAD:], each[_HEAD:]) for each in neighbours if each[:_HEAD] == rest[:_HEAD])


class Maskers:
    """Of all installations: each with its own secrets."""

    def __init__(self) -> None:
        self._secrets: dict[InstallationId, frozenset[str]] = {}
        #: Of these, what is masked in texts about others too.
        self._everywhere: dict[InstallationId, frozenset[str]] = {}
        self._maskers: dict[InstallationId, Masker] = {}
        self._everything: Masker | None = None

    def set(self, installation: InstallationId, secrets: Iterable[str], own: Iterable[str] = ()) -> None:
        """In place of those named before; ``own`` are those that the plugin wrote itself."""
        given, own = frozenset(secrets), frozenset(own)
        if given | own != self._secrets.get(installation, frozenset()):
            self._secrets[installation] = given | own
            self._maskers.pop(installation, None)
        everywhere = given | frozenset(filter(_is_token, own))
        if everywhere != self._everywhere.get(installation, frozenset()):
            self._everywhere[installation] = everywhere
            self._everything = None

    def forget(self, installation: InstallationId) -> None:
        self.set(installation, ())

    def of(self, installation: InstallationId) -> Masker:
        """Made when it is first needed: secrets may change often."""
        secrets = self._secrets.get(installation)
        if not secrets:
            return _NOTHING_SECRET
        return self._maskers.get(installation) or self._maskers.setdefault(installation, Masker(secrets))

    def plain(self, installation: InstallationId, text: str) -> str:
        """A text of the installation's as people may see it: without its secrets, and harmless."""
        return self.of(installation).text(neutralise(text))

    def everything(self, text: str) -> str:
        """A text that may be about any installation, such as one of the host's own log, without a secret of any."""
        if self._everything is None:
            self._everything = Masker(secret for secrets in self._everywhere.values() for secret in secrets)
        return self._everything.text(text)


_NOTHING_SECRET = Masker()


def _is_token(secret: str) -> bool:
    return len(secret) >= _SHORTEST_TOKEN and not any(map(str.isspace, secret))


def _forms(secret: str) -> Iterator[str]:
    """How it may look in a text."""
    plain = {secret, *secret.splitlines()}
    # Texts come with their control characters escaped; of a secret in them, those are escaped too.
    for form in plain | {neutralise(part) for part in plain} | {json.dumps(secret)[1:-1]}:
        if len(form) >= SHORTEST:
            yield form
    if len(secret) >= SHORTEST:
        yield from (form for form in _encoded(secret) if len(form) >= _SHORTEST_ENCODED)


def _encoded(secret: str) -> Iterator[str]:
    data = secret.encode("utf-8", "surrogatepass")
    yield from (quote(data, safe=""), quote(data), quote_plus(data))
    yield from (data.hex(), data.hex().upper())
    # In what was encoded together with something before it, three bytes are four characters: three ways to begin.
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + data).decode()
        whole = encoded[-(-offset * 8 // 6) : (offset + len(data)) * 8 // 6]
        yield whole
        yield whole.translate(_URL_SAFE)


_URL_SAFE = str.maketrans("+/", "-_")


def _tree(heads: Iterable[str]) -> str:
    """A regular expression for all of them, the longest first, in which no two branches begin with the same letter."""
    branches: dict[str, set[str]] = {}
    ends_here = False
    for head in heads:
        if head:
            branches.setdefault(head[0], set()).add(head[1:])
        else:
            ends_here = True
    if not branches:
        return ""
    choices = [re.escape(letter) + _tree(rest) for letter, rest in sorted(branches.items())]
    if len(choices) == 1 and not ends_here:
        return choices[0]
    return f"(?:{'|'.join(choices)}){'?' if ends_here else ''}"


def _common(one: str, other: str) -> int:
    """How many characters they begin with alike."""
    low, high, step = 0, min(len(one), len(other)), 1
    while low < high:
        # In growing steps: mostly they part soon.
        middle = min(low + step, high)
        if one[low:middle] == other[low:middle]:
            low, step = middle, step * 2
        elif middle == low + 1:
            return low
        else:
            high, step = middle - 1, 1
    return low
