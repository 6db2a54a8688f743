from __future__ import annotations

import pytest

from moorage_proto.link.assembly import Assembly, Kind
from moorage_proto.link.failures import Violation


def test_pieces_of_several_messages_interleave():
    assembly = Assembly(1000, 10)
    assembly.begin(1, Kind.REPLY, b"a")
    assembly.begin(3, Kind.ITEM, b"")
    assert assembly.add(1, b"b", more=True) is None
    three = assembly.add(3, b"xyz", more=False)
    one = assembly.add(1, b"c", more=False)
    assert (one.kind, one.data) == (Kind.REPLY, b"abc")
    assert (three.kind, three.data) == (Kind.ITEM, b"xyz")
    assert assembly.size == 0
    assert len(assembly) == 0


def test_all_partial_messages_share_one_bound():
    assembly = Assembly(10, 10)
    assembly.begin(1, Kind.REPLY, b"12345")
    assembly.begin(3, Kind.REPLY, b"12345")
    with pytest.raises(Violation, match="the bound is 10"):
        assembly.add(3, b"6", more=False)


def test_what_is_dropped_or_complete_makes_room():
    assembly = Assembly(10, 10)
    assembly.begin(1, Kind.REPLY, b"123456789")
    assert assembly.drop(1)
    assert not assembly.drop(1)
    assembly.begin(3, Kind.REPLY, b"12345")
    assert assembly.add(3, b"67890", more=False).data == b"1234567890"
    assembly.begin(5, Kind.REPLY, b"1234567890")


def test_the_number_of_partial_messages_is_bounded():
    assembly = Assembly(10, 2)
    assembly.begin(1, Kind.CALL, b"")
    assembly.begin(3, Kind.CALL, b"")
    with pytest.raises(Violation, match="more than 2 messages"):
        assembly.begin(5, Kind.CALL, b"")


def test_an_empty_chunk_may_not_promise_more():
    assembly = Assembly(10, 2)
    assembly.begin(1, Kind.CALL, b"")
    with pytest.raises(Violation, match="empty chunk"):
        assembly.add(1, b"", more=True)
