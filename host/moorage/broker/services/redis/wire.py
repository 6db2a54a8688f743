"""Replies of Redis as the contract's messages."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from moorage_proto import redis_pb2
from moorage_proto.redis_access import OWN_NAME, Examined

#: Of all replies of one call. A message of a link may have 16 MiB, and each item takes some bytes besides its own,
#: on the link and more of them in the host's memory.
MAX_REPLY_BYTES = 14 * 1024 * 1024
ITEM_BYTES = 64

#: Of arrays in arrays, which scripts may nest; protobuf ends at 100 messages, and each array takes two.
MAX_DEPTH = 32

#: More items than this are translated in a thread, lest they hold up the other links.
SMALL_ITEMS = 2_000


class ReplyTooLarge(Exception):
    """More than may be kept for one call."""


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
    if _has_many_items(replies):
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


_FLAT = {bytes, int, ServerError, type(None)}


def reply_bytes(reply: Any) -> int:
    """What it takes, roughly; of one that is too large, not all is counted. Raises ReplyTooLarge for one too deep."""
    size = 0
    level: list[Any] = [reply]
    for _ in range(MAX_DEPTH):
        # By kinds: most are many of one, and this is the host's event loop.
        kinds = set(map(type, level))
        texts = level if kinds == {bytes} else [item for item in level if isinstance(item, bytes)]
        size += ITEM_BYTES * len(level) + sum(map(len, texts))
        level = [item for items in level if isinstance(items, (list, tuple)) for item in items] if kinds - _FLAT else []
        if not level or size > MAX_REPLY_BYTES:
            return size
    raise ReplyTooLarge


def _has_many_items(replies: Sequence[Any]) -> bool:
    items = 0
    left: list[Any] = [replies]
    while left and items <= SMALL_ITEMS:
        reply = left.pop()
        if isinstance(reply, (list, tuple)):
            items += len(reply)
            left.extend(reply[:SMALL_ITEMS])
    return items > SMALL_ITEMS
