"""Open executions of this host: who waits in which line, until when, and whose turn it is."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta

from moorage.clock import Alarm, Clock
from moorage.models.installation import Installation, InstallationId
from moorage.orchestrator.job import Job
from moorage.orchestrator.line import Line
from moorage.orchestrator.policies import PolicyOf
from moorage.orchestrator.room import Rooms
from moorage.orchestrator.turns import Turns

#: An alarm for a time of day is set for no longer, because the wall clock may be set in between.
LONGEST_ALARM = timedelta(hours=1)

#: A patient execution whose installation may not run is tried again after so long, whatever is or is not announced.
HINDRANCE = timedelta(minutes=1)

_NOW = timedelta(0)


class Queues:
    """Decides who begins, and lets ``begin`` do it. Waits with the clock's alarms alone."""

    def __init__(self, clock: Clock, policy_of: PolicyOf, most: int | None, begin: Callable[[Job], None]) -> None:
        self.jobs: dict[str, Job] = {}
        #: Being written down, and not in a line yet: by id, whose they are, and of which group.
        self.coming: dict[str, tuple[InstallationId, str]] = {}
        self.rooms = Rooms()
        self._clock = clock
        self._policy_of = policy_of
        self._begin = begin
        self._turns = Turns(most)
        self._known: dict[InstallationId, Installation] = {}
        #: By execution: those that begin only when it is gone.
        self._followers: dict[str, list[Job]] = {}
        #: By execution: until its time has come. By installation: until its rate, or a hindrance, is over.
        self._alarms: dict[str, Alarm] = {}
        self._rate_alarms: dict[InstallationId, tuple[timedelta, Alarm]] = {}
        self._hindered: dict[InstallationId, Alarm] = {}

    # -- lines ---------------------------------------------------------------------------------------------------

    def line(self, installation: Installation) -> Line:
        """As its policy has it now."""
        policy = self._policy_of(installation)
        self._known[installation.id] = installation
        line = self._turns.lines.get(installation.id)
        if line is None:
            line = Line(capacity=policy.queue, concurrency=policy.concurrency, rate=policy.rate)
            self._turns.lines[installation.id] = line
        line.capacity, line.concurrency, line.rate = policy.queue, policy.concurrency, policy.rate
        return line

    def known(self, installation: InstallationId) -> Installation | None:
        """As it was when it was seen last; None: nothing of it was ever in a line."""
        return self._known.get(installation)

    def hinder(self, job: Job) -> None:
        """It could not run when its turn came: it and those after it wait."""
        installation = job.execution.installation
        self._turns.back(installation, job.id)
        self.line_of(job).paused = job.hindrance
        alarm = self._hindered.get(installation)
        if alarm is not None:
            alarm.cancel()
        self._hindered[installation] = self._clock.call_later(HINDRANCE, lambda: self.unhinder(installation))
        self.begin()

    def unhinder(self, installation: InstallationId) -> None:
        """It may run again, for all that is known."""
        alarm = self._hindered.pop(installation, None)
        if alarm is not None:
            alarm.cancel()
        line = self._turns.lines.get(installation)
        if line is not None:
            line.paused = ""
            self.look(installation)
        self.tell_room(installation)

    def has_room(self, installation: InstallationId) -> bool:
        """For all that is known in memory."""
        line = self._turns.lines.get(installation)
        return line is None or (not line.paused and line.has_room)

    def tell_room(self, installation: InstallationId) -> None:
        """To those who wait for it, if there is any now."""
        line = self._turns.lines.get(installation)
        if line is None:
            self.rooms.changed(installation)
        elif not line.paused:
            self.rooms.changed(installation, line.room)

    def unhinder_all(self) -> None:
        for installation in tuple(self._turns.lines):
            self.unhinder(installation)

    def look(self, installation: InstallationId) -> None:
        """Something has changed: its policy, say."""
        known = self._known.get(installation)
        if known is not None:
            self.line(known)
            self._turns.look(installation)
            self.begin()

    def look_at_all(self) -> None:
        for installation in tuple(self._turns.lines):
            self.look(installation)

    # -- jobs ----------------------------------------------------------------------------------------------------

    def of(self, installation: InstallationId | None = None) -> Iterator[Job]:
        """Oldest first."""
        return (job for job in tuple(self.jobs.values()) if installation in (None, job.execution.installation))

    def add(self, job: Job) -> None:
        """In the place that was reserved for it. Who calls it calls ``begin`` afterwards."""
        self.line_of(job).add(job.id, patient=job.execution.patient)
        self._take(job)

    def restore(self, job: Job) -> None:
        """One that was accepted before; as ``add``."""
        self.line_of(job).restore(job.id, patient=job.execution.patient)
        self._take(job)

    def follow(self, job: Job, others: Iterable[Job]) -> None:
        """It does not begin before the others are gone. Before it is added."""
        for other in others:
            job.behind.add(other.id)
            self._followers.setdefault(other.id, []).append(job)

    def _take(self, job: Job) -> None:
        self.jobs[job.id] = job
        self._place(job)
        self._turns.look(job.execution.installation)

    def withdraw(self, job: Job) -> bool:
        """Out of its line, if it waits there."""
        alarm = self._alarms.pop(job.id, None)
        if alarm is not None:
            alarm.cancel()
        return self.line_of(job).remove(job.id)

    def again(self, job: Job) -> None:
        """It ran, and waits for its next attempt."""
        installation = job.execution.installation
        self._turns.done(installation, job.id)
        self.line_of(job).restore(job.id, patient=job.execution.patient)
        job.rests_until = self._clock.elapsed() + self._until_due(job)
        self._place(job)
        self.begin()

    def stopped(self, job: Job) -> None:
        """It ran, and runs no more; what becomes of it is still being recorded."""
        self._turns.done(job.execution.installation, job.id)

    def leave(self, job: Job) -> None:
        """There is nothing more to do for it here: the next one's turn."""
        installation = job.execution.installation
        del self.jobs[job.id]
        for follower in self._followers.pop(job.id, ()):
            follower.behind.discard(job.id)
            if self.jobs.get(follower.id) is follower:
                self._come(follower)
        self._turns.look(installation)
        self.tell_room(installation)
        self.begin()

    def begin(self) -> None:
        """Lets begin whose turn it is."""
        now = self._clock.elapsed()
        while (turn := self._turns.begin(now)) is not None:
            job = self.jobs[turn[1]]
            job.policy = self._policy_of(self._known[turn[0]])
            self._begin(job)
        for installation, at in self._turns.take_held_up():
            self._wait_for_rate(installation, at, now)

    def silence(self) -> None:
        """No alarm rings any more."""
        by_rate = (alarm for _, alarm in self._rate_alarms.values())
        for alarm in (*self._alarms.values(), *by_rate, *self._hindered.values()):
            alarm.cancel()
        self._alarms.clear()
        self._rate_alarms.clear()
        self._hindered.clear()

    def _place(self, job: Job) -> None:
        """It is in the order of its line, unless its time has not come."""
        delay = self._delay(job)
        if job.behind or delay > _NOW:
            self.line_of(job).postpone(job.id)
            self._wait(job, delay)

    def _come(self, job: Job) -> None:
        """Its time may have come."""
        delay = self._delay(job)
        if job.behind or delay > _NOW:
            self._wait(job, delay)
            return
        self.line_of(job).due(job.id)
        self._turns.look(job.execution.installation)
        self.begin()

    def _wait(self, job: Job, delay: timedelta) -> None:
        if job.behind or job.id in self._alarms:
            return

        def ring() -> None:
            del self._alarms[job.id]
            self._come(job)

        self._alarms[job.id] = self._clock.call_later(min(delay, LONGEST_ALARM), ring)

    def _delay(self, job: Job) -> timedelta:
        if job.rests_until is not None:
            return max(_NOW, job.rests_until - self._clock.elapsed())
        return self._until_due(job)

    def _until_due(self, job: Job) -> timedelta:
        """By the time of day."""
        due = job.execution.due_at
        return _NOW if due is None else max(_NOW, due - self._clock.now())

    def _wait_for_rate(self, installation: InstallationId, at: timedelta, now: timedelta) -> None:
        known = self._rate_alarms.get(installation)
        if known is not None:
            if known[0] <= at:
                return
            # The rate was another when it was set.
            known[1].cancel()
        alarm = self._clock.call_later(at - now, functools.partial(self._rate_over, installation))
        self._rate_alarms[installation] = at, alarm

    def _rate_over(self, installation: InstallationId) -> None:
        del self._rate_alarms[installation]
        self.look(installation)

    def line_of(self, job: Job) -> Line:
        return self._turns.lines[job.execution.installation]
