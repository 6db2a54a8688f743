"""HTTP/2 frames by hand (RFC 9113), for clients that follow no rule but the one of a test."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
from pathlib import Path

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 5, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS = 0x1, 0x1, 0x4

#: Of SETTINGS: SETTINGS_INITIAL_WINDOW_SIZE.
INITIAL_WINDOW_SIZE = 4

WAIT_SECONDS = 10.0


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def settings(*pairs: tuple[int, int]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in pairs))


def ping(data: bytes = bytes(8), *, ack: bool = False) -> bytes:
    return frame(PING, ACK if ack else 0, 0, data)


def rst_stream(stream: int, code: int = 8) -> bytes:
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


def window_update(stream: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))


def literal(name: bytes, value: bytes) -> bytes:
    """A header field without indexing and without Huffman coding (RFC 7541, 6.2.2)."""
    return b"\x00" + _length(name) + name + _length(value) + value


def indexed_literal(name: bytes, value: bytes) -> bytes:
    """One that goes into the peer's dynamic table, too (RFC 7541, 6.2.1)."""
    return b"\x40" + _length(name) + name + _length(value) + value


def request_block(path: bytes = b"/moorage.v1.LinkService/Link", extra: bytes = b"") -> bytes:
    """The header block of a gRPC request."""
    fields = (
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", path),
        (b":authority", b"localhost"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
    )
    return b"".join(literal(name, value) for name, value in fields) + extra


def headers(stream: int, block: bytes | None = None, *, flags: int = END_HEADERS) -> bytes:
    return frame(HEADERS, flags, stream, request_block() if block is None else block)


def bomb(stream: int) -> bytes:
    """A request whose headers are large in the peer's memory and small on the wire, given up at once."""
    large = indexed_literal(b"x-b", b"v" * 3900)
    return headers(stream, request_block(extra=large + b"\xbe" * 4000)) + rst_stream(stream)


def message_head(size: int) -> bytes:
    """gRPC's prefix: not compressed, so many bytes."""
    return struct.pack(">BI", 0, size)


def message(data: bytes) -> bytes:
    return message_head(len(data)) + data


def _length(text: bytes) -> bytes:
    """An integer with a seven-bit prefix (RFC 7541, 5.1)."""
    left = len(text)
    if left < 127:
        return bytes((left,))
    left -= 127
    out = bytearray((127,))
    while left >= 128:
        out.append(left % 128 + 128)
        left //= 128
    out.append(left)
    return bytes(out)


class RawConnection:
    """A blocking socket to a worker's door."""

    def __init__(self, path: Path | str, *, greet: bool = True) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(WAIT_SECONDS)
        try:
            self.socket.connect(str(path))
        except OSError:
            self.socket.close()
            raise
        self.cut_off = False
        if greet:
            self.send(PREFACE + settings())

    def send(self, data: bytes) -> bool:
        """False once the host has ended the connection, or takes nothing any more for as long as tests wait."""
        try:
            self.socket.sendall(data)
        except OSError:
            self.cut_off = True
        return not self.cut_off

    def drain(self) -> bytes:
        """What has arrived by now."""
        got = bytearray()
        with contextlib.suppress(OSError):
            while select.select([self.socket], [], [], 0)[0]:
                data = self.socket.recv(1 << 16)
                if not data:
                    self.cut_off = True
                    break
                got += data
        return bytes(got)

    def ended(self) -> bool:
        """Whether the host ends the connection while tests wait."""
        with contextlib.suppress(ConnectionError):
            try:
                while self.socket.recv(1 << 16):
                    continue
            except TimeoutError:
                return False
        return True

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> RawConnection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
