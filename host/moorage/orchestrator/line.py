"""The queue of one installation: who waits, who runs. Pure."""

from __future__ import annotations

import itertools
from collections import OrderedDict, deque
from collections.abc import Iterable
from datetime import timedelta
from typing import NamedTuple

from moorage.models.policy import Rate


class Place(NamedTuple):
    """In the order of a line."""

    number: int
    patient: bool


class Line:
    """First in, first out; bounded; so many at one time, and so many beginnings within some time.

    A place is reserved before the execution is written down, and filled after: the row exists before the work begins,
    and the queue cannot overflow in between.
    """

    def __init__(self, *, capacity: int, concurrency: int, rate: Rate | None = None) -> None:
        self.capacity = capacity
        self.concurrency = concurrency
        self.rate = rate
        #: Why the patient ones of it wait; empty: they do not. Others have their turn, and are told why they may not.
        self.paused = ""
        self._reserved = 0
        self._numbers = itertools.count()
        #: In the order of their turns.
        self._waiting: OrderedDict[str, Place] = OrderedDict()
        #: Not in the order yet, because their time has not come; true: patient.
        self._later: dict[str, bool] = {}
        self._running: dict[str, Place] = {}
        self._impatient = 0
        #: Of the latest beginnings, as many as the rate counts.
        self._beginnings: deque[timedelta] = deque()

    @property
    def has_room(self) -> bool:
        return self.room > 0

    @property
    def room(self) -> int:
        """How many more may come. Places of running executions do not count, free ones to run in do."""
        free_to_run = max(0, self.concurrency - len(self._running))
        return max(0, self.capacity + free_to_run - self._reserved - len(self._waiting) - len(self._later))

    def reserve(self) -> bool:
        """False: the queue is full."""
        if not self.has_room:
            return False
        self._reserved += 1
        return True

    def give_back(self) -> None:
        """Of a reserved place that will not be filled."""
        self._reserved -= 1

    def add(self, execution: str, *, patient: bool = False) -> None:
        """Fills a reserved place, at the end."""
        self._reserved -= 1
        self.restore(execution, patient=patient)

    def restore(self, execution: str, *, patient: bool = False) -> None:
        """One that was accepted before, at the end; it has its place, however full the queue is."""
        self._waiting[execution] = Place(next(self._numbers), patient)
        self._impatient += not patient

    def postpone(self, execution: str) -> None:
        """Out of the order until ``due``; it keeps its place in the queue."""
        patient = self._waiting.pop(execution).patient
        self._impatient -= not patient
        self._later[execution] = patient

    def due(self, execution: str) -> None:
        """Its time has come: to the end of the order. Of one that was removed meanwhile: does nothing."""
        patient = self._later.pop(execution, None)
        if patient is not None:
            self.restore(execution, patient=patient)

    def remove(self, execution: str) -> bool:
        """Takes one that waits out of the queue. False: it does not wait."""
        if self._later.pop(execution, None) is not None:
            return True
        place = self._waiting.pop(execution, None)
        if place is None:
            return False
        self._impatient -= not place.patient
        return True

    def begin(self, now: timedelta) -> str | None:
        """Moves the one whose turn it is from waiting to running; None: it is nobody's. ``now`` only grows."""
        if len(self._running) >= self.concurrency:
            return None
        execution = self._next()
        if execution is None or self.rate_allows_at(now) > now:
            return None
        place = self._waiting.pop(execution)
        self._impatient -= not place.patient
        self._running[execution] = place
        if self.rate is not None:
            self._beginnings.append(now)
        return execution

    def rate_allows_at(self, now: timedelta) -> timedelta:
        """When the rate lets the next one begin: ``now``, or later."""
        if self.rate is None:
            self._beginnings.clear()
            return now
        while len(self._beginnings) > self.rate.count:
            self._beginnings.popleft()
        if len(self._beginnings) < self.rate.count:
            return now
        return max(now, self._beginnings[0] + self.rate.per)

    def done(self, execution: str) -> None:
        self._running.pop(execution, None)

    def back(self, execution: str) -> None:
        """It could not run after all: from running to its old place in the order. Its beginning does not count."""
        place = self._running.pop(execution)
        self._waiting[execution] = place
        self._waiting = OrderedDict(sorted(self._waiting.items(), key=lambda each: each[1].number))
        self._impatient += not place.patient
        if self._beginnings:
            self._beginnings.pop()

    def _next(self) -> str | None:
        if not self.paused:
            return next(iter(self._waiting), None)
        if not self._impatient:
            return None
        return next(execution for execution, place in self._waiting.items() if not place.patient)

    @property
    def waits(self) -> bool:
        """Whether somebody would have a turn if there were room."""
        return self._next() is not None

    @property
    def waiting(self) -> Iterable[str]:
        """In the order of their turns, then those whose time has not come."""
        return (*self._waiting, *self._later)

    @property
    def running(self) -> frozenset[str]:
        return frozenset(self._running)
