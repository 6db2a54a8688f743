from __future__ import annotations

from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from moorage.models.policy import Rate
from moorage.orchestrator.identifiers import ExecutionIds
from moorage.orchestrator.line import Line
from moorage.orchestrator.turns import Turns


class LineAgainstLists(RuleBasedStateMachine):
    """The line and a model of plain lists see the same things happen."""

    def __init__(self) -> None:
        super().__init__()
        self.line = Line(capacity=2, concurrency=2)
        self.reserved = 0
        self.waiting: list[str] = []
        self.later: list[str] = []
        self.running: list[str] = []
        self.patient: set[str] = set()
        self.places: dict[str, int] = {}
        self.beginnings: list[timedelta] = []
        self.now = timedelta(0)
        self.made = 0

    @rule()
    def reserve(self) -> None:
        free = max(0, self.line.concurrency - len(self.running))
        room = self.reserved + len(self.waiting) + len(self.later) < 2 + free
        assert self.line.reserve() is room
        self.reserved += room

    def make(self, patient: bool) -> str:
        self.made += 1
        name = str(self.made)
        self.patient |= {name} if patient else set()
        self.enqueue(name)
        return name

    def enqueue(self, name: str) -> None:
        self.waiting.append(name)
        self.places[name] = max(self.places.values(), default=0) + 1

    @precondition(lambda self: self.reserved)
    @rule(patient=st.booleans())
    def add(self, patient: bool) -> None:
        self.line.add(self.make(patient), patient=patient)
        self.reserved -= 1

    @rule(patient=st.booleans())
    def restore(self, patient: bool) -> None:
        """However full the queue is."""
        self.line.restore(self.make(patient), patient=patient)

    @precondition(lambda self: self.reserved)
    @rule()
    def give_back(self) -> None:
        self.line.give_back()
        self.reserved -= 1

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def postpone(self, data: st.DataObject) -> None:
        chosen = data.draw(st.sampled_from(self.waiting))
        self.line.postpone(chosen)
        self.waiting.remove(chosen)
        self.later.append(chosen)

    @rule(data=st.data())
    def due(self, data: st.DataObject) -> None:
        chosen = data.draw(st.sampled_from([*self.later, "unknown"]))
        self.line.due(chosen)
        if chosen in self.later:
            self.later.remove(chosen)
            self.enqueue(chosen)

    @rule(reason=st.sampled_from(["", "it is disabled"]))
    def pause(self, reason: str) -> None:
        self.line.paused = reason

    @rule(rate=st.none() | st.builds(Rate, st.integers(1, 3), st.builds(timedelta, seconds=st.integers(1, 5))))
    def change_rate(self, rate: Rate | None) -> None:
        """What began before it does not count by another one."""
        self.line.rate = rate
        self.line.rate_allows_at(self.now)
        self.beginnings = self.beginnings[-rate.count :] if rate is not None else []

    @rule(concurrency=st.integers(1, 3), seconds=st.integers(0, 3))
    def begin(self, concurrency: int, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        self.line.concurrency = concurrency
        eligible = [each for each in self.waiting if not self.line.paused or each not in self.patient]
        assert self.line.waits is bool(eligible)
        allowed = self.rate_allows()
        turn = eligible[0] if eligible and len(self.running) < concurrency and allowed else None
        assert self.line.begin(self.now) == turn
        if turn is not None:
            self.waiting.remove(turn)
            self.running.append(turn)
            if self.line.rate is not None:
                self.beginnings.append(self.now)

    def rate_allows(self) -> bool:
        rate = self.line.rate
        if rate is None:
            return True
        return len(self.beginnings) < rate.count or self.beginnings[-rate.count] + rate.per <= self.now

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        ended = data.draw(st.sampled_from(self.running))
        self.line.done(ended)
        self.running.remove(ended)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def back(self, data: st.DataObject) -> None:
        """To where it was, as far as those around it still wait."""
        chosen = data.draw(st.sampled_from(self.running))
        self.line.back(chosen)
        self.running.remove(chosen)
        self.waiting = sorted([*self.waiting, chosen], key=lambda each: self.places[each])
        if self.line.rate is not None and self.beginnings:
            self.beginnings.pop()

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        chosen = data.draw(st.sampled_from([*self.waiting, *self.later, *self.running, "unknown"]))
        assert self.line.remove(chosen) is (chosen in self.waiting or chosen in self.later)
        self.waiting = [each for each in self.waiting if each != chosen]
        self.later = [each for each in self.later if each != chosen]

    @invariant()
    def both_agree(self) -> None:
        assert list(self.line.waiting) == [*self.waiting, *self.later]
        assert self.line.running == set(self.running)


LineAgainstLists.TestCase.settings = settings(stateful_step_count=30)
TestLine = LineAgainstLists.TestCase


def test_few_places_go_round_all_who_wait() -> None:
    turns = Turns(most=2)
    for name in ("busy", "calm", "quiet"):
        line = turns.lines[name] = Line(capacity=10, concurrency=5)
        for number in range(6 if name == "busy" else 1):
            line.restore(f"{name}-{number}")
        turns.look(name)

    began = []
    running = []
    while True:
        while (turn := turns.begin(timedelta(0))) is not None:
            running.append(turn)
        assert len(running) <= 2
        if not running:
            break
        began.append(running[0][1])
        turns.done(*running.pop(0))

    assert began == ["busy-0", "calm-0", "quiet-0", "busy-1", "busy-2", "busy-3", "busy-4", "busy-5"]


def test_without_a_bound_each_line_has_its_own() -> None:
    turns = Turns()
    for name in ("one", "two"):
        line = turns.lines[name] = Line(capacity=10, concurrency=2)
        for number in range(3):
            line.restore(f"{name}-{number}")
        turns.look(name)
    begun = [turns.begin(timedelta(0)) for _ in range(5)]
    assert begun == [("one", "one-0"), ("two", "two-0"), ("one", "one-1"), ("two", "two-1"), None]


def test_who_is_held_up_by_a_rate_is_told_of_once() -> None:
    turns = Turns()
    line = turns.lines["one"] = Line(capacity=10, concurrency=9, rate=Rate(1, timedelta(seconds=5)))
    line.restore("e-1")
    line.restore("e-2")
    turns.look("one")
    assert turns.begin(timedelta(seconds=1)) == ("one", "e-1")
    assert turns.begin(timedelta(seconds=2)) is None
    assert turns.take_held_up() == (("one", timedelta(seconds=6)),)
    assert turns.take_held_up() == ()
    turns.look("one")
    assert turns.begin(timedelta(seconds=6)) == ("one", "e-2")


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
