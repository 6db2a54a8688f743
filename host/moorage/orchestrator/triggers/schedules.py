"""The engine of schedules: it waits for the next tick, has it fired, and goes on to the one after.

Three things decide how this is built.

**Submitted first, then advanced.** The tick's execution is submitted under the key ``trigger@tick``, which the store
has once; only then does a compare-and-set move ``next_at`` on from that tick. Where the host dies between the two, the
next one finds the tick still due and submits the same key: it is told of the execution that exists. The other way
round, a host that dies after it advanced has lost the tick, and a trigger that selects may be half-way through its
executions; to find that out would take a mark of its own. So nothing is lost and nothing runs twice, at two prices:
hosts that share a store may submit the same tick side by side (one execution; one of them advances and counts), and
the number of missed ticks may count one that ran in the moment before the host died.

**The store knows.** What is kept here are the ticks of the next minutes, read anew each minute and whenever someone
says that something changed. Before a tick is fired its row is read once more: a pause on another host counts, and a
machine that slept for days does not fire what others have long fired.

**The wall clock may be set.** Alarms follow real time, ticks the wall: they are compared at least once a minute. A step
forward makes ticks late, and the misfire policy decides. After a step back ``next_at`` lies in the future already, and
what has fired does not fire again; with more than three hours (as in vixie cron) the clock was wrong before, and the
schedule goes on from the time that it is now. The keys still keep each tick from running twice.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from moorage.clock import Clock
from moorage.errors import MoorageError
from moorage.models.execution import Execution, ExecutionState
from moorage.models.trigger import TriggerId, TriggerState
from moorage.orchestrator.triggers import misfire
from moorage.orchestrator.triggers.base import NotNow
from moorage.orchestrator.triggers.misfire import Step
from moorage.orchestrator.triggers.schedule import Schedule, ScheduleInvalid
from moorage.orchestrator.triggers.tick import Tick
from moorage.owned import OwnedTasks
from moorage.store.errors import StoreClosed, StoreFailed
from moorage.store.triggers import Triggers

log = logging.getLogger(__name__)

#: Longest time between two looks at the store and at the wall clock.
LOOK_EVERY = timedelta(minutes=1)

#: Ticks that are read in advance: of twice that time, so that one look may fail.
AHEAD = 2 * LOOK_EVERY

#: What the wall clock and real time may drift apart between two looks without being a step.
DRIFT = timedelta(seconds=1)

#: A clock that was set back by more was wrong before.
WRONG_BEFORE = timedelta(hours=3)

#: Ticks that are fired beside each other. The rest waits: the store writes one after the other anyway.
TURNS = 16

#: Waits before a tick that could not be fired is tried again, doubled up to the longest.
RETRY_FIRST = timedelta(seconds=1)
RETRY_MOST = LOOK_EVERY

#: How long submissions that were begun may go on when the engine is stopped.
STOP = timedelta(seconds=5)

#: Ticks that are computed before others have their turn.
_AT_ONCE = 200


class Firing(Protocol):
    """What makes executions of ticks."""

    def obstacle(self, state: TriggerState) -> str:
        """Why it may not fire now, as far as is known without waiting; empty: it may. The tick stays due meanwhile."""

    async def fire(self, state: TriggerState, tick: Tick) -> Sequence[Execution]:
        """Submits what the tick starts, under ``tick.key``, and returns when it is written down: as many executions as
        there are installations, none where none is selected. The same tick may come again: what exists is returned.

        Raises NotNow (the tick stays due; the misfire policy decides when it goes on), StoreFailed (likewise), and
        other MoorageErrors where it will never be accepted: it is skipped, and the sentence becomes the trigger's
        problem.
        """


@dataclass(frozen=True)
class _Submitted:
    """A step whose tick was submitted, and from which the row is to be moved on."""

    due: datetime
    step: Step
    executions: Sequence[Execution] = ()
    problem: str = ""

    @property
    def rejected(self) -> int:
        if self.problem:
            return 1
        return sum(execution.state is ExecutionState.REJECTED for execution in self.executions)

    @property
    def fired(self) -> int:
        return 0 if self.problem else len(self.executions) - self.rejected


@dataclass
class _Waiting:
    """A schedule with a tick in the next minutes."""

    state: TriggerState
    #: When it is looked at next: at its tick, or when it is tried again. None: it is not in the queue.
    at: datetime | None = None
    failures: int = 0
    #: A task has it, and puts it back.
    busy: bool = False
    #: It was read while a task had it, which may have read it before: it is read once more.
    again: bool = False
    submitted: _Submitted | None = None


class Schedules:
    """All methods are called on the event loop's thread."""

    def __init__(self, triggers: Triggers, firing: Firing, *, clock: Clock) -> None:
        self._triggers = triggers
        self._firing = firing
        self._clock = clock
        self._waiting: dict[TriggerId, _Waiting] = {}
        #: Instants at which one of the waiting is looked at; those that do not hold any more are passed over.
        self._queue: list[tuple[datetime, TriggerId]] = []
        self._tasks = OwnedTasks()
        self._firings: set[asyncio.Task[None]] = set()
        self._runner: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        #: By real time.
        self._look_at = timedelta(0)
        #: Before it nobody looks, whoever asks: as long after the last look as that one took.
        self._rested_at = timedelta(0)
        self._failed_looks = 0
        #: All that was put off is tried at once.
        self._anew = False
        #: The wall clock was wrong until it showed this, or may have been; None: it was right.
        self._wrong_until: datetime | None = clock.now()
        self._seen = (clock.now(), clock.elapsed())

    async def start(self) -> None:
        """Fires from now on, also what was missed, as its policy says. May be called twice."""
        if self._runner is None:
            self.look()
            self._runner = self._tasks.start(self._run(), "schedules")

    async def stop(self) -> None:
        """Fires no more. Returns when what was begun is written down, or left to whoever starts next. May be called
        twice.
        """
        runner, self._runner = self._runner, None
        if runner is None:
            return
        runner.cancel()
        alarm = self._clock.call_later(STOP, self._cancel_firings)
        try:
            await self._tasks.settled()
        finally:
            alarm.cancel()
            self._cancel_firings()
            self._waiting.clear()
            self._queue.clear()

    def look(self) -> None:
        """Triggers were declared, changed, paused or resumed, or installations may run again: it counts at once."""
        self._look_at = self._rested_at
        self._failed_looks = 0
        self._anew = True
        self._wake.set()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            self._watch_the_clock()
            if self._look_at <= self._clock.elapsed():
                await self._look()
            self._begin()
            if self._wrong_until is not None and not self._failed_looks:
                await self._correct(self._wrong_until)
            alarm = self._clock.call_later(self._rest(), self._wake.set)
            try:
                await self._wake.wait()
            finally:
                alarm.cancel()

    def _rest(self) -> timedelta:
        """Until there is something to do."""
        rest = self._look_at - self._clock.elapsed()
        if self._queue and len(self._firings) < TURNS:
            rest = min(rest, self._queue[0][0] - self._clock.now())
        return max(rest, timedelta(0))

    def _watch_the_clock(self) -> None:
        before, self._seen = self._seen, (self._clock.now(), self._clock.elapsed())
        step = (self._seen[0] - before[0]) - (self._seen[1] - before[1])
        if abs(step) <= DRIFT:
            return
        log.warning("the clock was set by %s; schedules go on by the new time", step)
        if step < timedelta(0):
            # It may have been set right after it was seen last: ticks since then are due.
            self._wrong_until = before[0] + step
        self.look()

    # -- what is due in the next minutes -----------------------------------------------------------------------------

    async def _look(self) -> None:
        # What is asked for from here on comes after this look.
        anew, self._anew = self._anew, False
        began = self._clock.elapsed()
        self._look_at = began + LOOK_EVERY
        try:
            await self._compute_first_ticks()
            self._take(await self._triggers.due(self._clock.now() + AHEAD), anew=anew)
        except Exception as error:  # noqa: BLE001 - without its engine nothing would fire any more
            _warn("schedules could not be read, and are tried again", error)
            self._anew |= anew
            self._failed_looks += 1
            self._look_at = self._clock.elapsed() + _backoff(self._failed_looks)
            return
        self._failed_looks = 0
        ended = self._clock.elapsed()
        self._rested_at = ended + (ended - began)
        if self._look_at < ended:
            # Someone asked meanwhile.
            self._look_at = self._rested_at

    def _take(self, found: Iterable[TriggerState], *, anew: bool) -> None:
        states = {state.id: state for state in found}
        gone = [each for each, waiting in self._waiting.items() if each not in states and not waiting.busy]
        for each in gone:
            del self._waiting[each]
        for state in states.values():
            waiting = self._waiting.get(state.id)
            if waiting is None:
                self._waiting[state.id] = waiting = _Waiting(state)
                self._put(waiting)
            elif waiting.busy:
                waiting.again = True
            else:
                changed = anew or _spec(state) != _spec(waiting.state)
                waiting.state = state
                if changed:
                    waiting.failures = 0
                    self._put(waiting)

    def _put(self, waiting: _Waiting, at: datetime | None = None) -> None:
        """It is looked at then, or at its tick."""
        if at is None:
            at = self._fires_at(waiting.state)
        if waiting.at != at:
            waiting.at = at
            heapq.heappush(self._queue, (at, waiting.state.id))

    def _fires_at(self, state: TriggerState) -> datetime:
        now = self._clock.now()
        try:
            return now if state.next_at is None else Schedule.of(state, now).fires_at(state.next_at)
        except ScheduleInvalid:
            # Told when it is due.
            return now

    async def _compute_first_ticks(self) -> None:
        """Of those that are new, or have another schedule than before. Where it may not fire yet, because its plugin
        was just installed and nothing is granted, it begins when it may: nothing has been missed before that.
        """
        now = self._clock.now().replace(microsecond=0)
        found = await self._triggers.unscheduled()
        await self._reschedule([state for state in found if not self._firing.obstacle(state)], now)

    async def _correct(self, since: datetime) -> None:
        """Those whose next tick passes over ticks that nobody has fired: it was computed while the clock was wrong."""
        try:
            corrected = await self._reschedule(await self._triggers.later(since), since)
        except Exception as error:  # noqa: BLE001 - without its engine nothing would fire any more
            _warn("schedules could not be set right, which is tried again", error)
            return
        if self._wrong_until == since:
            self._wrong_until = None
        if corrected:
            self.look()

    async def _reschedule(self, states: Sequence[TriggerState], after: datetime) -> int:
        ticks = {}
        for number, state in enumerate(states):
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
            try:
                tick = Schedule.of(state, after).after(after)
            except ScheduleInvalid as error:
                await self._tell(state, str(error))
                continue
            if _passes_over(state, tick, after):
                ticks[state.id] = (state.next_at, tick)
        if ticks:
            await self._triggers.schedule(ticks)
        return len(ticks)

    async def _tell(self, state: TriggerState, problem: str) -> None:
        if state.problem != problem:
            await self._triggers.problem(state.id, problem)

    # -- firing ------------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Has fired what is due, as far as there are turns."""
        now = self._clock.now()
        while self._queue and self._queue[0][0] <= now and len(self._firings) < TURNS:
            at, trigger = heapq.heappop(self._queue)
            waiting = self._waiting.get(trigger)
            if waiting is None or waiting.busy or waiting.at != at:
                continue
            waiting.at, waiting.busy, waiting.again = None, True, False
            task = self._tasks.start(self._fire(waiting), f"schedule {trigger}")
            self._firings.add(task)
            task.add_done_callback(self._fired)

    def _fired(self, task: asyncio.Task[None]) -> None:
        self._firings.discard(task)
        self._wake.set()

    def _cancel_firings(self) -> None:
        for task in tuple(self._firings):
            task.cancel()

    async def _fire(self, waiting: _Waiting) -> None:
        """One step. It is put back, to be looked at when the next one is due."""
        try:
            if self._firing.obstacle(waiting.state):
                # Its misfire policy decides when there is none any more.
                self._put(waiting, self._clock.now() + LOOK_EVERY)
                return
            goes_on = await self._go_on(waiting)
        except (NotNow, StoreFailed, StoreClosed) as error:
            log.info("%s is tried again: %s", waiting.state.id, error)
            self._put_off(waiting)
        except Exception as error:
            log.exception("%s could not fire, and is tried again", waiting.state.id)
            self._put_off(waiting)
            await self._try_to_tell(waiting.state, f"It could not fire ({type(error).__name__}), and is tried again.")
        else:
            waiting.failures = 0
            if waiting.again:
                self._put(waiting, self._clock.now())
            elif goes_on:
                self._put(waiting)
            else:
                self._waiting.pop(waiting.state.id, None)
        finally:
            waiting.busy = False

    def _put_off(self, waiting: _Waiting) -> None:
        waiting.failures += 1
        self._put(waiting, self._clock.now() + _backoff(waiting.failures))

    async def _try_to_tell(self, state: TriggerState, problem: str) -> None:
        try:
            await self._triggers.problem(state.id, problem)
        except (StoreFailed, StoreClosed):
            log.warning("the problem of %s could not be stored", state.id)

    async def _go_on(self, waiting: _Waiting) -> bool:
        """False: it has no tick in the next minutes."""
        due = await self._read(waiting)
        if due is None:
            return False
        submitted = waiting.submitted
        if submitted is None or submitted.due != due:
            submitted = await self._submit(waiting.state, due)
            waiting.submitted = submitted
        next_at = submitted.step.next_at
        if next_at == due:
            waiting.submitted = None
            return True
        advanced = await self._advance(waiting.state.id, submitted)
        waiting.submitted = None
        if not advanced:
            # Another host was faster, or it was changed: it is still due as far as is known here, and read again.
            return True
        waiting.state = replace(waiting.state, next_at=next_at)
        return next_at is not None and next_at <= self._clock.now() + AHEAD

    async def _read(self, waiting: _Waiting) -> datetime | None:
        """Its tick as the store has it now. None: it has none in the next minutes, is paused, or was removed."""
        found = await self._triggers.find([waiting.state.id])
        if not found or found[0].paused:
            return None
        waiting.state = found[0]
        due = waiting.state.next_at
        return due if due is not None and due <= self._clock.now() + AHEAD else None

    async def _submit(self, state: TriggerState, due: datetime) -> _Submitted:
        now = self._clock.now()
        try:
            step = misfire.step(Schedule.of(state, now), due, now)
        except ScheduleInvalid as error:
            return _Submitted(due, Step(None, None), problem=str(error))
        if step.fire is None:
            return _Submitted(due, step)
        try:
            executions = await self._firing.fire(state, Tick(state.id, step.fire, now, step.missed))
        except (NotNow, StoreFailed, StoreClosed):
            raise
        except MoorageError as error:
            return _Submitted(due, step, problem=str(error))
        return _Submitted(due, step, executions)

    async def _advance(self, trigger: TriggerId, submitted: _Submitted) -> bool:
        step, executions = submitted.step, submitted.executions
        return await self._triggers.fire(
            trigger,
            submitted.due,
            step.next_at,
            last_at=step.fire if submitted.fired else None,
            execution=executions[-1].id if executions else "",
            fired=submitted.fired,
            skipped=step.skipped + submitted.rejected,
            problem=submitted.problem,
        )


def _passes_over(state: TriggerState, tick: datetime | None, now: datetime) -> bool:
    """Whether the tick after now is to be its next one. What fired within the last hours does not fire again."""
    if tick is None or state.next_at is None:
        return state.next_at is not tick
    if state.next_at <= tick:
        return False
    return state.last_at is None or not tick <= state.last_at <= now + WRONG_BEFORE


def _warn(what: str, error: Exception) -> None:
    """With the traceback of what nobody expected."""
    log.warning("%s: %s", what, error, exc_info=not isinstance(error, (StoreFailed, StoreClosed)))


def _spec(state: TriggerState) -> tuple[object, ...]:
    return (state.trigger, state.next_at)


def _backoff(failures: int) -> timedelta:
    return min(RETRY_FIRST * (1 << min(failures - 1, 10)), RETRY_MOST)
