from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage_proto.link.credit import ReceiveCredit, SendCredit, cost
from moorage_proto.link.failures import Violation


@given(st.lists(st.integers(0, 5000), max_size=200), st.data())
def test_both_accounts_agree_whatever_is_sent_and_consumed(sizes, data):
    initial = 4096
    sender, receiver = SendCredit(initial), ReceiveCredit(initial)
    waiting: list[int] = []
    for size in sizes:
        while not sender.open:
            assert waiting, "the sender waits for credit, and the receiver holds nothing whose credit it could return"
            sender.grant(receiver.consume(cost(waiting.pop(0))))
        receiver.check()
        sender.spend(size)
        receiver.receive(size)
        waiting.append(size)
        for _ in range(data.draw(st.integers(0, len(waiting)))):
            sender.grant(receiver.consume(cost(waiting.pop(0))))
        assert receiver.unconsumed == sum(cost(size) for size in waiting)
        # One message may go beyond the credit, never two.
        assert receiver.unconsumed <= initial + cost(5000)


def test_an_item_without_credit_is_a_violation():
    receiver = ReceiveCredit(100)
    receiver.check()
    receiver.receive(100)
    with pytest.raises(Violation, match="without credit"):
        receiver.check()
    assert receiver.consume(cost(100)) == cost(100)
    receiver.check()


def test_empty_items_are_not_free():
    receiver = ReceiveCredit(320)
    for _ in range(10):
        receiver.check()
        receiver.receive(0)
    with pytest.raises(Violation):
        receiver.check()


def test_credit_goes_back_in_halves():
    receiver = ReceiveCredit(1000)
    for _ in range(6):
        receiver.receive(100)
    assert [receiver.consume(cost(100)) for _ in range(6)] == [0, 0, 0, 4 * cost(100), 0, 0]
