"""Frames of AMQP 1.0 and of its SASL layer (part 2, section 2.3; part 5, section 5.3)."""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass
from typing import Any

from moorage.broker.services.servicebus.peer.codec import Decoder, Malformed, encode
from moorage.broker.services.servicebus.peer.performatives import Performative, from_described, to_described

#: Of one frame, in both directions; what every peer must be able to read is 512.
MAX_FRAME_BYTES = 64 * 1024

HEADER = struct.Struct(">IBBH")
AMQP, SASL = 0, 1

#: "AMQP", protocol id, version 1.0.0.
PROTOCOL_HEADERS = {AMQP: b"AMQP\x00\x01\x00\x00", SASL: b"AMQP\x03\x01\x00\x00"}


@dataclass(frozen=True, slots=True)
class Frame:
    channel: int
    #: None: an empty frame, which says that the sender is alive.
    performative: Performative | None
    payload: bytes = b""


async def read_protocol_header(reader: asyncio.StreamReader) -> int:
    """AMQP or SASL. Raises Malformed, asyncio.IncompleteReadError."""
    header = await reader.readexactly(8)
    for kind, known in PROTOCOL_HEADERS.items():
        if header == known:
            return kind
    raise Malformed("the connection does not begin with a protocol header of AMQP 1.0")


async def read_frame(reader: asyncio.StreamReader, kind: int) -> Frame:
    """Raises Malformed, asyncio.IncompleteReadError."""
    size, offset, found, channel = HEADER.unpack(await reader.readexactly(HEADER.size))
    if not HEADER.size <= size <= MAX_FRAME_BYTES:
        raise Malformed(f"a frame of {size} bytes arrived, and {HEADER.size} to {MAX_FRAME_BYTES} are allowed")
    extended = offset * 4 - HEADER.size
    body = await reader.readexactly(size - HEADER.size)
    if found != kind or not 0 <= extended <= len(body):
        raise Malformed("a frame has another type, or another header, than this layer has")
    body = body[extended:]
    if not body:
        return Frame(channel, None)
    decoder = Decoder(body)
    performative = from_described(decoder.value())
    return Frame(channel, performative, decoder.rest())


def frame_bytes(channel: int, performative: Performative | None, payload: bytes = b"", kind: int = AMQP) -> bytes:
    body = (b"" if performative is None else encode(to_described(performative))) + payload
    return HEADER.pack(HEADER.size + len(body), 2, kind, channel) + body


def address_of(terminus: Any) -> str:
    """The address in a source or target; empty where there is none."""
    fields = getattr(terminus, "value", None)
    address = fields[0] if isinstance(fields, list) and fields else None
    return address if isinstance(address, str) else ""
