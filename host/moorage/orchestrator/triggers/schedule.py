"""When a schedule fires: its ticks, their jitter, and what is done about those that were missed. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Protocol, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from moorage.errors import Invalid
from moorage.models.manifest import Trigger
from moorage.models.trigger import TriggerId, TriggerState
from moorage.orchestrator.triggers.cron import Cron
from moorage.orchestrator.triggers.interval import Interval
from moorage.packages.units import parse_duration

#: A tick that comes this late was missed. Quartz has the same; a host is started again in less.
MISFIRE_AFTER = timedelta(minutes=1)

#: Of the bits of a hash, those that a float holds exactly.
_BITS = 53


class Misfire(StrEnum):
    """What is done about ticks that were missed: the host was down, the schedule paused, its installation stopped."""

    #: They are counted, and that is all.
    SKIP = "skip"
    #: One execution stands for all of them.
    ONCE = "once"
    #: Each is run, the oldest first.
    ALL = "all"


class Ticks(Protocol):
    """Instants, aware and in UTC."""

    def after(self, instant: datetime) -> datetime | None:
        """The next tick, strictly after; None: there is none."""

    def last(self, after: datetime, until: datetime) -> datetime | None:
        """The last tick later than the one and not later than the other."""

    def count(self, after: datetime, until: datetime) -> int:
        """Ticks later than the one and not later than the other."""


class ScheduleInvalid(Invalid):
    code = "schedule_invalid"

    def __init__(self, trigger: TriggerId, problem: str) -> None:
        super().__init__(f"{trigger} has no schedule that can be followed: {problem.rstrip('.')}.")


@dataclass(frozen=True)
class Schedule:
    trigger: TriggerId
    ticks: Ticks
    #: Longest delay of a tick, which spreads schedules that are due at the same time.
    jitter: timedelta = timedelta(0)
    misfire: Misfire = Misfire.ONCE
    misfire_after: timedelta = MISFIRE_AFTER

    @classmethod
    def of(cls, state: TriggerState, now: datetime) -> Self:
        """``now``: the anchor of an interval that has no tick yet. Raises ScheduleInvalid."""
        options = state.trigger.options
        given = options.get("misfire_after")
        try:
            return cls(
                state.id,
                _ticks(state.trigger, state.next_at or now),
                parse_duration(options.get("jitter", 0)),
                Misfire(options.get("misfire", Misfire.ONCE)),
                _misfire_after(state.trigger) if given is None else parse_duration(given),
            )
        except ZoneInfoNotFoundError:
            zone = options["timezone"]
            raise ScheduleInvalid(state.id, f"{zone!r:.80} is no time zone that this host knows") from None
        except ValueError as error:
            raise ScheduleInvalid(state.id, str(error)) from None

    def after(self, instant: datetime) -> datetime | None:
        return self.ticks.after(instant)

    def fires_at(self, tick: datetime) -> datetime:
        """The tick with its jitter: the same each time that it is asked for, and always before the next tick."""
        return self._delayed(tick, self.after(tick)) if self.jitter else tick

    def is_late(self, tick: datetime, now: datetime) -> bool:
        return now - self.fires_at(tick) > self.misfire_after

    def latest(self, after: datetime, until: datetime) -> datetime | None:
        """The last tick that has fired, or should have, by ``until``; of those later than ``after``."""
        last = self.ticks.last(after, until)
        if last is not None and self.fires_at(last) > until:
            # Its jitter is not over; that of the one before is, as it ends before the next tick.
            last = self.ticks.last(after, last - timedelta.resolution)
        return last

    def runs(self, first: datetime | None, count: int) -> tuple[datetime, ...]:
        """The instants at which this tick and those after it fire."""
        found: list[datetime] = []
        tick = first
        while tick is not None and len(found) < count:
            following = self.after(tick)
            found.append(self._delayed(tick, following))
            tick = following
        return tuple(found)

    def _delayed(self, tick: datetime, following: datetime | None) -> datetime:
        room = self.jitter if following is None else min(self.jitter, following - tick)
        return tick + room * self._chance(tick) if room else tick

    def _chance(self, tick: datetime) -> float:
        """From 0 to 1, 1 excluded; evenly spread over triggers and ticks."""
        digest = hashlib.sha256(f"{self.trigger}@{tick.astimezone(UTC).isoformat()}".encode()).digest()
        return (int.from_bytes(digest[:8]) >> (64 - _BITS)) / (1 << _BITS)


def next_runs(state: TriggerState, now: datetime, count: int) -> tuple[datetime, ...]:
    """When it fires next, with jitter, for people; none while it is paused or removed. A tick that is waiting counts as
    one of now. Raises ScheduleInvalid.
    """
    if state.paused or state.removed or not state.is_schedule:
        return ()
    schedule = Schedule.of(state, now)
    tick = state.next_at or schedule.after(now)
    if tick is None or tick > now or schedule.fires_at(tick) > now:
        return schedule.runs(tick, count)
    return (now, *schedule.runs(schedule.after(now), count - 1))


def _ticks(trigger: Trigger, anchor: datetime) -> Ticks:
    if trigger.kind == "interval":
        return Interval(parse_duration(trigger.source), anchor)
    if trigger.kind == "cron":
        return _cron(trigger.source, trigger.options.get("timezone", "UTC"))
    raise ValueError(f"its kind is {trigger.kind!r}, which has no times of its own")


@lru_cache(maxsize=1_000)
def _cron(expression: str, zone: str) -> Cron:
    """Ten thousand schedules have few expressions, and are asked for their ticks all the time."""
    return Cron(expression, ZoneInfo(zone))


def _misfire_after(trigger: Trigger) -> timedelta:
    """Of one that does not say. The next tick of an interval is always before it is over: no two come at one time."""
    return min(MISFIRE_AFTER, parse_duration(trigger.source)) if trigger.kind == "interval" else MISFIRE_AFTER
