"""Sample calls of every command that a Redis server has, made from what it says of its commands' arguments."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

_VALUES: dict[bytes, list[bytes]] = {
    b"string": [b"text", b"store", b"GET"],
    b"integer": [b"0", b"1", b"2"],
    b"double": [b"1.5"],
    b"pattern": [b"h*llo"],
    b"unix-time": [b"1"],
    b"pure-token": [],
}


class CallMaker:
    """Makes random calls that are right in their form, as far as the documentation of a command tells."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._number = 0

    def call(self, name: bytes, arguments: list[Any]) -> list[bytes]:
        self._number = 0
        return [*name.split(b"|"), *self._all(arguments)]

    def _all(self, arguments: list[Any]) -> Iterator[bytes]:
        for argument in arguments:
            yield from self._one(fields(argument))

    def _one(self, argument: dict[bytes, Any]) -> Iterator[bytes]:
        flags = argument.get(b"flags", [])
        if b"optional" in flags and self._random.random() < 0.4:
            return
        times = self._random.randint(1, 3) if b"multiple" in flags else 1
        for number in range(times):
            if b"token" in argument and (number == 0 or b"multiple_token" in flags):
                yield argument[b"token"]
            yield from self._value(argument)

    def _value(self, argument: dict[bytes, Any]) -> Iterator[bytes]:
        kind = argument[b"type"]
        if kind == b"oneof":
            yield from self._one(fields(self._random.choice(argument[b"arguments"])))
        elif kind == b"block":
            yield from self._all(argument[b"arguments"])
        elif kind == b"key":
            self._number += 1
            yield b"key%d" % self._number
        elif argument[b"name"] == b"numkeys":
            yield b"numkeys"
        elif kind != b"pure-token":
            yield self._random.choice(_VALUES[kind])


def fields(flat: list[Any]) -> dict[bytes, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def counted(call: list[bytes]) -> list[bytes]:
    """With the number of keys that follow where their number is to stand."""
    if b"numkeys" not in call:
        return call
    at = call.index(b"numkeys")
    following = 0
    while at + 1 + following < len(call) and call[at + 1 + following].startswith(b"key"):
        following += 1
    return [*call[:at], b"%d" % following, *call[at + 1 :]]
