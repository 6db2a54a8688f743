"""Values survive the way over the wire, and bytes that are no values are said to be none."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.broker.services.servicebus.peer.codec import (
    MAX_DEPTH,
    Array,
    Byte,
    Described,
    Float,
    Int,
    Long,
    Malformed,
    Opaque,
    Short,
    Symbol,
    Timestamp,
    UByte,
    UInt,
    ULong,
    UShort,
    decode,
    encode,
)

_SIGNED, _UNSIGNED = (Byte, Short, Int, Long, Timestamp), (UByte, UShort, UInt, ULong)


def numbers(kind):
    bits = 8 * struct.calcsize(kind.format)
    low, high = (0, 2**bits - 1) if kind in _UNSIGNED else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return st.integers(low, high).map(kind)


symbols = st.text(st.characters(max_codepoint=127), max_size=300).map(Symbol)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    *(numbers(kind) for kind in (*_SIGNED, *_UNSIGNED)),
    st.floats(allow_nan=False),
    st.floats(allow_nan=False, width=32).map(Float),
    st.text(max_size=300),
    st.binary(max_size=300),
    symbols,
    st.uuids(),
    st.binary(min_size=4, max_size=4).map(lambda raw: Opaque(b"\x73" + raw)),
)
arrays = st.one_of(
    *(st.lists(numbers(kind), max_size=5).map(Array) for kind in (*_SIGNED, *_UNSIGNED)),
    st.lists(st.uuids(), max_size=5).map(Array),
    st.lists(symbols, max_size=5).map(Array),
    st.lists(st.booleans(), max_size=5).map(Array),
)
values = st.recursive(
    st.one_of(scalars, arrays),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.dictionaries(st.one_of(symbols, st.text(max_size=20)), inner, max_size=5),
        st.builds(Described, st.one_of(numbers(ULong), symbols), inner),
    ),
    max_leaves=20,
)


@given(values)
def test_what_was_written_is_read(value) -> None:
    found = decode(encode(value))
    assert found == value
    assert type(found) is type(value)


@given(values)
def test_what_was_read_is_written_as_it_was(value) -> None:
    assert encode(decode(encode(value))) == encode(value)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_malformed(data) -> None:
    with contextlib.suppress(Malformed):
        decode(data)


@given(values, st.data())
def test_what_is_cut_off_is_malformed(value, data) -> None:
    encoded = encode(value)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(Malformed):
        decode(encoded[:cut])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x3f",
        b"\xff\x00\x00\x00\x05\x00\x00\x00\x00\x00",
        b"\xd0\x00\x00\x00\x04\xff\xff\xff\xff",
        b"\xf0\x00\x00\x00\x05\xff\xff\xff\xff\x40",
        b"\xe0\x02\x01\x00",
        b"\xc1\x02\x01\x40",
        b"\xd1\x00\x00\x00\x07\x00\x00\x00\x02\x45\x40\x40",
        b"\xa1\x01\xff",
        b"\xa3\x02\xc3\xa9",
        b"\xc0\x04\x01\x40\x40\x40",
        b"\xb0\xff\xff\xff\xff",
        b"\x00" * 100,
        b"\xc0\x02\x01" * (MAX_DEPTH + 2),
    ],
    ids=lambda data: data[:8].hex(),
)
def test_bombs_and_nonsense(data) -> None:
    with pytest.raises(Malformed):
        decode(data)


def test_what_has_no_type_is_not_written() -> None:
    for value in (object(), Array([UInt(1), Long(1)]), Array([{}])):
        with pytest.raises(TypeError):
            encode(value)


def test_numbers_have_their_shortest_form() -> None:
    assert (encode(UInt(0)), encode(UInt(7)), encode(ULong(0)), encode([])) == (b"\x43", b"\x52\x07", b"\x44", b"\x45")
    assert encode(UInt(300)) == b"\x70\x00\x00\x01\x2c"
