"""Values of AMQP 1.0 to and from bytes (OASIS AMQP 1.0, part 1, section 1.6).

Integers, floats and symbols keep their AMQP type in classes of their own, so that what is read can be written again as
it was. Everything that arrives is bounded by the bytes it came in: a count that they cannot hold is malformed.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

#: Of lists, maps, arrays and descriptors inside each other.
MAX_DEPTH = 32


class Malformed(ValueError):
    """The bytes are no AMQP value; the connection that sent them ends."""


class Number(int):
    """An integer with its type on the wire: constructor code and struct format."""

    code: int
    format: str


class UByte(Number):
    code, format = 0x50, ">B"


class UShort(Number):
    code, format = 0x60, ">H"


class UInt(Number):
    code, format = 0x70, ">I"


class ULong(Number):
    code, format = 0x80, ">Q"


class Byte(Number):
    code, format = 0x51, ">b"


class Short(Number):
    code, format = 0x61, ">h"


class Int(Number):
    code, format = 0x71, ">i"


class Long(Number):
    code, format = 0x81, ">q"


class Timestamp(Number):
    """Milliseconds since 1970 UTC."""

    code, format = 0x83, ">q"


class Float(float):
    """32 bits; Python's own float is AMQP's double."""


class Symbol(str):
    """ASCII text with a meaning of the protocol's."""

    __slots__ = ()


class Array(list[Any]):
    """Values of one type."""


class Described:
    """A value and what it is."""

    __slots__ = ("descriptor", "value")

    def __init__(self, descriptor: Any, value: Any) -> None:
        self.descriptor = descriptor
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Described) and (self.descriptor, self.value) == (other.descriptor, other.value)

    __hash__ = None  # type: ignore[assignment]  # its value may be a list

    def __repr__(self) -> str:
        return f"Described({self.descriptor!r}, {self.value!r})"


class Opaque(bytes):
    """A char or a decimal: its constructor code and its bytes, passed on as they came."""


_NULL: Final = 0x40
_DESCRIBED: Final = 0x00
_UUID: Final = 0x98
_CONSTANTS: Final[Mapping[int, Callable[[], Any]]] = {
    0x40: lambda: None,
    0x41: lambda: True,
    0x42: lambda: False,
    0x43: lambda: UInt(0),
    0x44: lambda: ULong(0),
    0x45: list,
}
#: Widths by constructor code; what is short for a wider type stands beside it.
_FIXED: Final[Mapping[int, tuple[struct.Struct, Callable[[Any], Any]]]] = {
    **{kind.code: (struct.Struct(kind.format), kind) for kind in Number.__subclasses__()},
    0x52: (struct.Struct(">B"), UInt),
    0x53: (struct.Struct(">B"), ULong),
    0x54: (struct.Struct(">b"), Int),
    0x55: (struct.Struct(">b"), Long),
    0x56: (struct.Struct(">B"), bool),
    0x72: (struct.Struct(">f"), Float),
    0x82: (struct.Struct(">d"), float),
}
_OPAQUE_WIDTHS: Final = {0x73: 4, 0x74: 4, 0x84: 8, 0x94: 16}
_BINARY, _STRING, _SYMBOL = 0xA0, 0xA1, 0xA3
_LIST, _MAP, _ARRAY = 0xC0, 0xC1, 0xE0


class Decoder:
    """Reads values from the start of some bytes to their end. Every method raises Malformed."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    @property
    def at_end(self) -> bool:
        return self.position >= len(self._data)

    def value(self, depth: int = 0) -> Any:
        return self._of(self._byte(), depth)

    def take(self, count: int) -> bytes:
        end = self.position + count
        if end > len(self._data):
            raise Malformed(f"{count} bytes are announced, and {len(self._data) - self.position} are left")
        taken = self._data[self.position : end]
        self.position = end
        return taken

    def rest(self) -> bytes:
        return self.take(len(self._data) - self.position)

    def _byte(self) -> int:
        return self.take(1)[0]

    def _of(self, code: int, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise Malformed(f"values are nested deeper than {MAX_DEPTH} levels")
        if code in _CONSTANTS:
            return _CONSTANTS[code]()
        if code in _FIXED:
            layout, kind = _FIXED[code]
            return kind(layout.unpack(self.take(layout.size))[0])
        if code == _DESCRIBED:
            return Described(self.value(depth + 1), self.value(depth + 1))
        if code == _UUID:
            return UUID(bytes=self.take(16))
        if code in _OPAQUE_WIDTHS:
            return Opaque(bytes([code]) + self.take(_OPAQUE_WIDTHS[code]))
        return self._variable(code, depth)

    def _variable(self, code: int, depth: int) -> Any:
        """Binary and text, lists, maps and arrays: one byte of length, or four where bit 0x10 is set."""
        width = 4 if code & 0x10 else 1
        short = code & ~0x10
        if short in (_BINARY, _STRING, _SYMBOL):
            return _text(short, self.take(self._length(width)))
        if short not in (_LIST, _MAP, _ARRAY):
            raise Malformed(f"0x{code:02x} is no constructor of AMQP 1.0")
        inner = Decoder(self.take(self._length(width)))
        count = inner._length(width)
        value = inner._array(count, depth) if short == _ARRAY else inner._items(count, depth)
        if not inner.at_end:
            raise Malformed("a list, map or array is longer than its values")
        return _mapped(value) if short == _MAP else value

    def _length(self, width: int) -> int:
        return int.from_bytes(self.take(width), "big")

    def _items(self, count: int, depth: int) -> list[Any]:
        self._check_count(count)
        return [self.value(depth + 1) for _ in range(count)]

    def _array(self, count: int, depth: int) -> Array:
        code = self._byte()
        if code == _DESCRIBED or code in _CONSTANTS:
            # Of no width: a few bytes would stand for any number of values.
            raise Malformed("arrays of described or constant values are not understood here")
        self._check_count(count)
        return Array(self._of(code, depth + 1) for _ in range(count))

    def _check_count(self, count: int) -> None:
        if count > len(self._data) - self.position:
            raise Malformed(f"{count} values are announced in {len(self._data) - self.position} bytes")


def decode(data: bytes) -> Any:
    """The one value that the bytes hold. Raises Malformed."""
    decoder = Decoder(data)
    value = decoder.value()
    if not decoder.at_end:
        raise Malformed("bytes are left after the value")
    return value


def _text(code: int, raw: bytes) -> Any:
    if code == _BINARY:
        return raw
    try:
        return raw.decode() if code == _STRING else Symbol(raw.decode("ascii"))
    except UnicodeDecodeError as error:
        raise Malformed(f"text is not encoded as its type says: {error}") from error


def _mapped(items: list[Any]) -> dict[Any, Any]:
    if len(items) % 2:
        raise Malformed("a map has a key without a value")
    try:
        return dict(zip(items[::2], items[1::2], strict=True))
    except TypeError as error:
        raise Malformed(f"a map has a key that cannot be one: {error}") from error


def encode(value: Any) -> bytes:
    """Raises TypeError for what AMQP has no type for, struct.error or OverflowError for a number out of range."""
    if value is None:
        return b"\x40"
    if isinstance(value, bool):
        return b"\x41" if value else b"\x42"
    if isinstance(value, Opaque):
        return bytes(value)
    if isinstance(value, int):
        return _integer(value if isinstance(value, Number) else Long(value))
    if isinstance(value, (str, bytes, bytearray, memoryview)):
        return _sized(*_raw(value))
    if isinstance(value, Described):
        return b"\x00" + encode(value.descriptor) + encode(value.value)
    if isinstance(value, float):
        return struct.pack(">Bf", 0x72, value) if isinstance(value, Float) else struct.pack(">Bd", 0x82, value)
    if isinstance(value, UUID):
        return bytes([_UUID]) + value.bytes
    return _compound(value)


def _integer(value: Number) -> bytes:
    if isinstance(value, (UInt, ULong)) and value < 256:
        small = 0x52 if isinstance(value, UInt) else 0x53
        return bytes([small, value]) if value else bytes([0x43 if small == 0x52 else 0x44])
    return _wide(value)


def _wide(value: Number) -> bytes:
    return bytes([value.code]) + struct.pack(value.format, value)


def _raw(value: str | bytes | bytearray | memoryview) -> tuple[int, bytes]:
    if isinstance(value, Symbol):
        return _SYMBOL, value.encode("ascii")
    if isinstance(value, str):
        return _STRING, value.encode()
    return _BINARY, bytes(value)


def _sized(code: int, raw: bytes) -> bytes:
    if len(raw) < 256:
        return bytes([code, len(raw)]) + raw
    return struct.pack(">BI", code | 0x10, len(raw)) + raw


def _compound(value: Any) -> bytes:
    if isinstance(value, Array):
        return _encoded_array(value)
    if isinstance(value, Mapping):
        return _counted(_MAP, [part for pair in value.items() for part in pair])
    if isinstance(value, Sequence):
        return _counted(_LIST, value) if value else b"\x45"
    raise TypeError(f"AMQP has no type for {type(value).__name__}")


def _counted(code: int, values: Sequence[Any]) -> bytes:
    body = b"".join(map(encode, values))
    if len(values) < 256 and len(body) < 255:
        return bytes([code, len(body) + 1, len(values)]) + body
    return struct.pack(">BII", code | 0x10, len(body) + 4, len(values)) + body


def _encoded_array(values: Array) -> bytes:
    """All its values have one constructor, so each is written in the widest form of its type."""
    items = [_widest(value) for value in values]
    codes = {item[0] for item in items} or {_NULL}
    if len(codes) > 1:
        raise TypeError("the values of an AMQP array are of one type")
    if codes == {_NULL}:
        # There is no array of nothing: an empty one says some type.
        codes = {Long.code}
    body = bytes(codes) + b"".join(item[1:] for item in items)
    return struct.pack(">BII", _ARRAY | 0x10, len(body) + 4, len(values)) + body


def _widest(value: Any) -> bytes:
    if isinstance(value, bool):
        return bytes([0x56, value])
    if isinstance(value, Number):
        return _wide(value)
    if isinstance(value, (str, bytes)) and not isinstance(value, Opaque):
        code, raw = _raw(value)
        return struct.pack(">BI", code | 0x10, len(raw)) + raw
    if isinstance(value, (UUID, float, Opaque)):
        return encode(value)
    raise TypeError(f"an AMQP array of {type(value).__name__} is not written here")
