from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from moorage.orchestrator.identifiers import ExecutionIds
from moorage.orchestrator.line import Line


class LineAgainstLists(RuleBasedStateMachine):
    """The line and a model of plain lists see the same things happen."""

    def __init__(self) -> None:
        super().__init__()
        self.line = Line(capacity=2, concurrency=2)
        self.reserved = 0
        self.waiting: list[str] = []
        self.running: list[str] = []
        self.made = 0

    @rule()
    def reserve(self) -> None:
        free = max(0, self.line.concurrency - len(self.running))
        room = self.reserved + len(self.waiting) < 2 + free
        assert self.line.reserve() is room
        self.reserved += room

    @precondition(lambda self: self.reserved)
    @rule()
    def add(self) -> None:
        self.made += 1
        self.line.add(str(self.made))
        self.reserved -= 1
        self.waiting.append(str(self.made))

    @rule()
    def restore(self) -> None:
        """However full the queue is."""
        self.made += 1
        self.line.restore(str(self.made))
        self.waiting.append(str(self.made))

    @precondition(lambda self: self.reserved)
    @rule()
    def give_back(self) -> None:
        self.line.give_back()
        self.reserved -= 1

    @rule(concurrency=st.integers(1, 3))
    def begin(self, concurrency: int) -> None:
        self.line.concurrency = concurrency
        places = max(0, concurrency - len(self.running))
        turn, self.waiting = self.waiting[:places], self.waiting[places:]
        assert list(self.line.begin()) == turn
        self.running += turn

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        ended = data.draw(st.sampled_from(self.running))
        self.line.done(ended)
        self.running.remove(ended)

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        chosen = data.draw(st.sampled_from([*self.waiting, *self.running, "unknown"]))
        assert self.line.remove(chosen) is (chosen in self.waiting)
        if chosen in self.waiting:
            self.waiting.remove(chosen)

    @invariant()
    def both_agree(self) -> None:
        assert list(self.line.waiting) == self.waiting
        assert self.line.running == set(self.running)


LineAgainstLists.TestCase.settings = settings(stateful_step_count=20)
TestLine = LineAgainstLists.TestCase


def test_ids_sort_by_time_and_never_come_twice(clock) -> None:
    ids = ExecutionIds()
    first = [ids.next(clock.now()) for _ in range(50)]
    clock.advance(seconds=1)
    later = ids.next(clock.now())
    clock.advance(hours=-1)
    after_the_clock_was_set_back = ids.next(clock.now())

    made = [*first, later, after_the_clock_was_set_back]
    assert made == sorted(set(made))
    assert all(len(identifier) == 18 and identifier.startswith("e-") for identifier in made)
