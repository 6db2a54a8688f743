from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage_proto.link.failures import Violation
from moorage_proto.link.ids import PeerIds
from moorage_proto.link.limits import Side


@given(st.sampled_from(Side), st.permutations(range(12)))
def test_each_id_is_admitted_once_in_whatever_order_lanes_bring_it(side, order):
    ids = PeerIds(side, 64)
    seen = set()
    for position in order:
        call_id = side.value + 2 * position
        assert not ids.used(call_id)
        ids.admit(call_id)
        seen.add(call_id)
        for other in range(30):
            assert ids.used(other) == (other in seen)
    for call_id in seen:
        with pytest.raises(Violation, match="never reused"):
            ids.admit(call_id)


@pytest.mark.parametrize(("side", "wrong"), [(Side.WORKER, 2), (Side.HOST, 1), (Side.HOST, 0), (Side.WORKER, 0)])
def test_an_id_of_the_other_side_is_refused(side, wrong):
    with pytest.raises(Violation, match="the worker's are odd, the host's even"):
        PeerIds(side, 64).admit(wrong)


def test_ids_that_are_skipped_are_bounded():
    ids = PeerIds(Side.WORKER, 4)
    ids.admit(1 + 2 * 4)
    with pytest.raises(Violation, match="go up by two"):
        ids.admit(13)
    ids.admit(1)
    ids.admit(13)


def test_a_huge_id_costs_no_memory():
    with pytest.raises(Violation):
        PeerIds(Side.WORKER, 4096).admit(2**63 + 1)
