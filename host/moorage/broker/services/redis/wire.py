"""Replies of Redis as the contract's messages."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from moorage.broker.services.redis import refusals
from moorage_proto import redis_pb2
from moorage_proto.redis_access import OWN_NAME, Examined

#: Of all replies of one call. A message of a link may have 16 MiB, and each item takes a few bytes besides its own.
MAX_REPLY_BYTES = 14 * 1024 * 1024
ITEM_BYTES = 8

#: More items than this are translated in a thread, lest they hold up the other links.
SMALL_ITEMS = 2_000


@dataclass(frozen=True, slots=True)
class ServerError:
    """An error that the server answered. A reply like others, also among those of a transaction."""

    #: With its code: "WRONGTYPE Operation against a key holding the wrong kind of value".
    line: str

    @property
    def code(self) -> str:
        return self.line.partition(" ")[0]


_CLUSTER = "CLUSTERDOWN The server is a part of a cluster, and this host speaks to single servers."

#: Instead of what the server says, which names its users or others' addresses.
_SAID_OTHERWISE = {
    "ASK": _CLUSTER,
    "MOVED": _CLUSTER,
    "NOPERM": "NOPERM The Redis server itself does not let this installation do that, or does not let the script do it."
    " Its operator finds more in the server's ACL LOG.",
}


async def to_wire(replies: Sequence[Any]) -> list[redis_pb2.RedisReply]:
    """Raises CallError(MESSAGE_TOO_LARGE)."""
    size, items = _measured(replies)
    if size > MAX_REPLY_BYTES:
        raise refusals.too_large(MAX_REPLY_BYTES)
    if items > SMALL_ITEMS:
        return await asyncio.to_thread(lambda: [reply_to_wire(reply) for reply in replies])
    return [reply_to_wire(reply) for reply in replies]


def reply_to_wire(reply: Any) -> redis_pb2.RedisReply:
    wire = redis_pb2.RedisReply()
    _fill(wire, reply)
    return wire


def answer_of(examined: Examined, label: str) -> Any:
    """What the host answers in the server's place."""
    return label.encode() if examined.answer == OWN_NAME else examined.answer


def _fill(wire: redis_pb2.RedisReply, reply: Any) -> None:
    if isinstance(reply, bytes):
        wire.data = reply
    elif isinstance(reply, int):
        wire.integer = reply
    elif isinstance(reply, ServerError):
        wire.error = _SAID_OTHERWISE.get(reply.code, reply.line)
    elif isinstance(reply, (list, tuple)):
        wire.array.SetInParent()
        for item in reply:
            _fill(wire.array.items.add(), item)
    elif reply is not None:
        # The embedded server answers some numbers and words as Python's.
        wire.data = str(reply).encode()


def _measured(replies: Sequence[Any]) -> tuple[int, int]:
    """Bytes, as far as they matter, and items."""
    size = items = 0
    left: list[Any] = [replies]
    while left:
        reply = left.pop()
        items += 1
        size += ITEM_BYTES + (len(reply) if isinstance(reply, bytes) else 0)
        if size > MAX_REPLY_BYTES:
            break
        if isinstance(reply, (list, tuple)):
            left.extend(reply)
    return size, items
