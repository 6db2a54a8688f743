"""The contiguous watermark against what it promises: below it nothing is without an outcome."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from moorage.orchestrator.triggers.watermark import Watermark

#: With holes, as compaction and transactions leave them.
logs = st.lists(st.integers(0, 200), unique=True, min_size=1, max_size=40).map(sorted)


def test_nothing_was_delivered() -> None:
    assert Watermark().committable is None
    assert Watermark().missing is None


@given(logs, st.randoms(use_true_random=False))
def test_it_is_the_lowest_that_is_open_whatever_ends_first(log: list[int], random: object) -> None:
    mark = Watermark()
    for offset in log:
        assert mark.arrive(offset)
        assert mark.committable == log[0]
    left = list(log)
    random.shuffle(left)
    while left:
        mark.done(left.pop())
        assert mark.committable == min(left, default=log[-1] + 1)


@given(logs, st.data())
def test_delivered_taken_done_and_given_back_in_any_order(log: list[int], data: st.DataObject) -> None:
    """A partition as its consumer sees it: now and then one is not taken, and it is read again from there."""
    mark = Watermark()
    position, taken, done = 0, set(), set()
    last = 0
    for _ in range(300):
        if done == set(log):
            break
        can = ["deliver"] * (position < len(log)) + ["done", "give back"] * bool(taken)
        can += ["rewind"] * (mark.missing is not None)
        step = data.draw(st.sampled_from(can))
        if step == "deliver" and mark.missing is None:
            offset = log[position]
            position += 1
            assert mark.arrive(offset) is (offset not in taken and offset not in done)
            taken |= {offset} - done
        elif step == "rewind":
            position = log.index(mark.missing)
            offset = log[position]
            position += 1
            assert mark.arrive(offset)
            taken.add(offset)
            # What was delivered between comes again, and what was given back there is taken again.
            while mark.missing is not None:
                again = log[position]
                position += 1
                if mark.arrive(again):
                    taken.add(again)
        elif step == "done":
            offset = data.draw(st.sampled_from(sorted(taken)))
            mark.done(offset)
            taken.remove(offset)
            done.add(offset)
        elif step == "give back":
            offset = data.draw(st.sampled_from(sorted(taken)))
            mark.give_back(offset)
            taken.remove(offset)
        if mark.committable is not None:
            assert all(offset in done for offset in log if offset < mark.committable)
            assert mark.committable >= last, "it never goes back"
            last = mark.committable


def test_what_was_given_back_and_is_gone_from_the_partition_holds_nothing_up() -> None:
    mark = Watermark()
    for offset in (4, 5, 7):
        mark.arrive(offset)
    mark.give_back(4)
    mark.give_back(5)
    mark.done(7)
    assert (mark.missing, mark.committable) == (4, 4)
    # Compaction took 4 away before it was read again.
    assert mark.arrive(5)
    assert (mark.missing, mark.committable) == (None, 5)
    mark.done(5)
    assert mark.committable == 8


def test_one_that_is_done_or_in_hand_is_not_taken_again() -> None:
    mark = Watermark()
    mark.arrive(1)
    mark.arrive(2)
    mark.done(1)
    assert not mark.arrive(1)
    assert not mark.arrive(2)
    assert mark.committable == 2
