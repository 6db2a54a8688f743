"""Times of a cron expression in a zone, as instants.

cronsim says which times of a wall clock fit; which instants those are is decided here, as Debian's cron does it:

- An expression that names its minutes and hours (neither field begins with ``*``) is for times of the day. A time that
  does not exist, as the clock was put forward over it, comes at the moment after the gap; several in one gap are one.
  A time that comes twice, as the clock was put back, counts once, the first time.
- With ``*`` as the beginning of the minutes or hours it is for what a clock on the wall shows: ``0 * * * *`` comes with
  each real hour. Times in a gap do not come; those that come twice come twice.

cronsim has rules for zones too. They are not used: asked for the tick after an instant in the repeated hour it answers
with an earlier one, and where the clock is changed by half an hour it misses ticks (cronsim 2.8: ``30 2 * * *`` in
Europe/Berlin after 2026-10-25T01:15Z; ``15 */3 * * *`` in Australia/Lord_Howe on 2026-10-04).
"""

from __future__ import annotations

import copy
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from moorage.packages.cron import parse_cron

_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Cron:
    """All instants are aware and in UTC."""

    expression: str
    zone: ZoneInfo

    def __post_init__(self) -> None:
        """Raises ValueError with a sentence that names the field and the rule."""
        parse_cron(self.expression)
        try:
            _ = self._rules
        except CronSimError as error:
            raise ValueError(f"{self.expression!r:.80} is not a cron expression: {error}") from None

    def after(self, instant: datetime) -> datetime | None:
        """The next tick, strictly after. None: there is none within fifty years."""
        local = instant.astimezone(self.zone)
        found = self._following(_wall(local), instant)
        if self._follows_the_wall and (put_back := self._put_back_within(local)) is not None:
            # The clock will show again what it shows now, and before what comes next.
            again = self._following(_wall(put_back.astimezone(self.zone)) - _SECOND, put_back - _SECOND)
            found = min((tick for tick in (found, again) if tick is not None), default=None)
        return found

    def last(self, after: datetime, until: datetime) -> datetime | None:
        """The last tick later than the one and not later than the other. By halving: there may be a million of them."""
        found = _not_later(self.after(after), until)
        end = until
        while found is not None and (following := _not_later(self.after(found), until)) is not None:
            found = following
            while (middle := found + (end - found) / 2) > found:
                if (later := _not_later(self.after(middle), until)) is not None:
                    found = later
                    break
                end = middle
        return found

    def count(self, after: datetime, until: datetime) -> int:
        """Ticks later than the one and not later than the other, without a walk through them, but where the clock is
        changed.
        """
        total = 0
        while after < until:
            end = min(until, self._next_midnight(after))
            total += self._count_within_a_day(after, end)
            after = end
        return total

    @cached_property
    def _rules(self) -> CronSim:
        return CronSim(self.expression, datetime.min)

    @cached_property
    def _follows_the_wall(self) -> bool:
        minute, hour, *_ = self.expression.split()
        return minute.startswith("*") or hour.startswith("*")

    @cached_property
    def _minutes(self) -> list[int]:
        return sorted(self._rules.minutes)

    @cached_property
    def _hours(self) -> list[int]:
        return sorted(self._rules.hours)

    def _following(self, wall: datetime, instant: datetime) -> datetime | None:
        """The first instant after ``instant`` at which the clock shows a fitting time later than ``wall``."""
        times = copy.copy(self._rules)  # parsed before
        times.dt = wall.replace(microsecond=0)
        for time_of_wall in times:
            for tick in self._instants(time_of_wall):
                if tick > instant:
                    return tick
        return None

    def _instants(self, wall: datetime) -> tuple[datetime, ...]:
        first, second = (wall.replace(tzinfo=self.zone, fold=fold).astimezone(UTC) for fold in (0, 1))
        if first == second:
            return (first,)
        if first > second:
            # In a gap; both are computed with the offset of the other side.
            return () if self._follows_the_wall else (self._change_between(second, first),)
        return (first, second) if self._follows_the_wall else (first,)

    def _put_back_within(self, local: datetime) -> datetime | None:
        """The instant at which the clock is put back, if what it shows now comes again."""
        again = local.replace(fold=1)
        if again.utcoffset() == local.utcoffset():
            return None
        return self._change_between(local.astimezone(UTC), again.astimezone(UTC))

    def _change_between(self, before: datetime, after: datetime) -> datetime:
        """The first instant of the later one's offset from UTC."""
        offset = after.astimezone(self.zone).utcoffset()
        while after - before > _SECOND:
            middle = before + (after - before) // _SECOND // 2 * _SECOND
            if middle.astimezone(self.zone).utcoffset() == offset:
                after = middle
            else:
                before = middle
        return after

    def _next_midnight(self, instant: datetime) -> datetime:
        day = instant.astimezone(self.zone).date() + _DAY
        return datetime.combine(day, time(), self.zone).astimezone(UTC)

    def _count_within_a_day(self, after: datetime, until: datetime) -> int:
        """``until`` is at most the next midnight."""
        first, last = after.astimezone(self.zone), until.astimezone(self.zone)
        if first.utcoffset() != last.utcoffset() or first.fold:
            return self._walk(after, until)
        count = self._shown_until(last) - self._shown_until(first)
        if first.date() != last.date() and self._fits(first.date()):
            count += len(self._hours) * len(self._minutes)
        return count

    def _fits(self, day: date) -> bool:
        return day.month in self._rules.months and self._rules.match_day(day)

    def _shown_until(self, local: datetime) -> int:
        """Times of this day that fit, and that a clock has shown."""
        if not self._fits(local.date()):
            return 0
        count = bisect_left(self._hours, local.hour) * len(self._minutes)
        return count + (bisect_right(self._minutes, local.minute) if local.hour in self._rules.hours else 0)

    def _walk(self, after: datetime, until: datetime) -> int:
        count, tick = 0, self.after(after)
        while tick is not None and tick <= until:
            count, tick = count + 1, self.after(tick)
        return count


def _wall(local: datetime) -> datetime:
    return local.replace(tzinfo=None, fold=0)


def _not_later(tick: datetime | None, until: datetime) -> datetime | None:
    return tick if tick is not None and tick <= until else None
