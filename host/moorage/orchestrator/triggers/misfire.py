"""What is to be done about a schedule's next tick, now. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from moorage.orchestrator.triggers.schedule import Misfire, Schedule

#: Missed ticks that ``all`` runs at most; older ones are skipped.
MOST_MISSED = 100


@dataclass(frozen=True)
class Step:
    """One step on from the tick that is due."""

    #: The tick to be fired; None: none is.
    fire: datetime | None
    #: Where it goes on; the same tick as before: it is not due yet.
    next_at: datetime | None
    #: Ticks that are dropped, those among them for which the fired one stands.
    skipped: int = 0

    @property
    def missed(self) -> int:
        """What the fired tick is told."""
        return self.skipped if self.fire is not None else 0


def step(schedule: Schedule, due: datetime, now: datetime) -> Step:
    """A tick that comes in time, or late by ``misfire_after`` at most, is fired. With a later one the policy decides
    about all that are due.
    """
    if schedule.fires_at(due) > now:
        return Step(None, due)
    if not schedule.is_late(due, now):
        return Step(due, schedule.after(due))
    return _POLICIES[schedule.misfire](schedule, due, now)


def _skip(schedule: Schedule, due: datetime, now: datetime) -> Step:
    """On to the first that is not late; it is fired in a step of its own."""
    still_late = now - schedule.misfire_after - timedelta.resolution
    last_late = schedule.latest(due, still_late) or due
    return Step(None, schedule.after(last_late), skipped=1 + schedule.ticks.count(due, last_late))


def _once(schedule: Schedule, due: datetime, now: datetime) -> Step:
    latest = schedule.latest(due, now) or due
    return Step(latest, schedule.after(latest), skipped=schedule.ticks.count(due, latest))


def _all(schedule: Schedule, due: datetime, now: datetime) -> Step:
    latest = schedule.latest(due, now) or due
    too_many = 1 + schedule.ticks.count(due, latest) - MOST_MISSED
    if too_many <= 0:
        return Step(due, schedule.after(due))
    return Step(None, _first_of_the_last(schedule, latest), skipped=too_many)


def _first_of_the_last(schedule: Schedule, latest: datetime) -> datetime | None:
    """The oldest of as many as are run, ``latest`` included; by halving, as there may be a million before it."""
    before, after = latest - timedelta(hours=1), latest
    while (count := schedule.ticks.count(before, latest)) < MOST_MISSED:
        before, after = latest - 2 * (latest - before), before
    while count != MOST_MISSED:
        middle = before + (after - before) / 2
        count = schedule.ticks.count(middle, latest)
        before, after = (middle, after) if count >= MOST_MISSED else (before, middle)
    return schedule.after(before)


_POLICIES = {Misfire.SKIP: _skip, Misfire.ONCE: _once, Misfire.ALL: _all}
