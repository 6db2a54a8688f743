"""Ids of executions: "e-" and 16 characters that sort by the time at which they were made."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

#: Crockford's base 32, in lower case: no letter is taken for a digit, and the order is that of ASCII.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME_CHARACTERS = 11
_RANDOM_CHARACTERS = 5
_CHARACTER_BITS = 5


class ExecutionIds:
    """Each id is greater than the one before it, even when the clock is set back while the host runs."""

    def __init__(self) -> None:
        self._last_micros = 0
        #: Hosts must not make the same; nobody need be kept from guessing. The system's own chance would cost a call of
        #: the kernel for each character, and each may hand the interpreter to another thread.
        self._chance = random.Random()  # noqa: S311 - no secret

    def next(self, now: datetime) -> str:
        micros = (now - _EPOCH) // timedelta(microseconds=1)
        self._last_micros = max(self._last_micros + 1, micros)
        return "e-" + _encode(self._last_micros, _TIME_CHARACTERS) + self._random()

    def _random(self) -> str:
        return _encode(self._chance.getrandbits(_RANDOM_CHARACTERS * _CHARACTER_BITS), _RANDOM_CHARACTERS)


def earliest(at: datetime) -> str:
    """What the ids of all that is accepted from then on are greater than."""
    return "e-" + _encode(max(0, (at - _EPOCH) // timedelta(microseconds=1)), _TIME_CHARACTERS)


def _encode(number: int, length: int) -> str:
    return "".join(_ALPHABET[(number >> (_CHARACTER_BITS * place)) & 31] for place in reversed(range(length)))
